"""pHash as ImageHash computes it."""

import torch

from hashprobe.tensors import Images, Logits
from hashprobe.victims.perceptual.base import above_middle
from hashprobe.victims.perceptual.imagehash_bits import ByImageHash
from hashprobe.victims.perceptual.resampling import cosines, shrunk_grey


SIDE, KEPT = 32, 8
"""Side of the small picture, and frequencies kept of it per axis, 0 included."""
SCALE = 1 / 5000
"""Brings most outputs of photographs to a size of about 1; that of frequency 0 is far larger."""


class PHash(ByImageHash):
    """pHash (Zauner, 2010) as `imagehash.phash` has it: 64 bits, matched at a distance of 8 to 12.

    The grey picture is resized to 32 x 32 by Lanczos; a bit is 1 where one of the 8 x 8 lowest
    frequencies of a cosine transform, 0 included, is above their median. The torch form rounds to 8
    bits where Pillow does, with straight-through gradients.

    Example:
        >>> victim = PHash()
        >>> picture = torch.rand(1, 3, 128, 96)
        >>> victim(picture).shape, victim.codes(picture).bits
        (torch.Size([1, 64]), 64)
    """

    name = function = "phash"

    def outputs(self, images: Images) -> Logits:
        """Distances of the coefficients to their median, row by row."""
        # The frequency 0 is a thousand times as large as the others: float32 keeps too little.
        small = shrunk_grey(images, SIDE, SIDE).double()
        basis = torch.from_numpy(cosines(KEPT, SIDE)).to(small)
        frequencies = basis @ small @ basis.T
        return above_middle(frequencies.flatten(1) * SCALE).to(images.dtype)
