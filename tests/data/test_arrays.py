"""Pixels in any of the accepted forms."""

import numpy as np
import torch

from hashprobe.data.arrays import as_pixels


def test_arrays_that_may_not_be_written_to_are_copied():
    """Pillow's arrays are such; torch would warn of them, and the network might write into them."""
    given = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    given.flags.writeable = False
    for values in (given, list(given)):
        pixels = as_pixels(values)
        assert torch.equal(pixels, torch.tensor(given.copy()))
        pixels[0] = 0
        assert given.any()
