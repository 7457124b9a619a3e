import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.readers.base import StoredCodes, places
from hashprobe.errors import HashprobeError


def test_everything_is_one_a_code():
    codes = PackedCodes.from_signs(np.ones((2, 8)))
    assert StoredCodes(codes, places(2)).ids == ("0", "1")
    for wrong in ({"ids": ("a",)}, {"paths": ("a",) * 3}, {"floats": np.ones((1, 2), np.float32)}):
        with pytest.raises(HashprobeError, match="for 2 codes"):
            StoredCodes(**{"codes": codes, "ids": places(2), **wrong})
