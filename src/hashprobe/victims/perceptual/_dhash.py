"""dHash as ImageHash computes it."""

from hashprobe.tensors import Images, Logits
from hashprobe.victims.perceptual.imagehash_bits import ByImageHash
from hashprobe.victims.perceptual.resampling import shrunk_grey


SIDE = 8
SCALE = 1 / 20
"""Brings outputs of photographs to a size of about 1."""


class DHash(ByImageHash):
    """dHash (Krawetz, 2013) as `imagehash.dhash` has it: 64 bits, matched at a distance of 8 to 12.

    The grey picture is resized to 9 x 8 by Lanczos; a bit is 1 where a pixel is lighter than its
    left neighbour. The torch form rounds to 8 bits where Pillow does, with straight-through
    gradients; 0 lies between no difference and one grey level.

    Example:
        >>> import torch
        >>> victim = DHash()
        >>> picture = torch.rand(1, 3, 128, 96)
        >>> victim(picture).shape, victim.codes(picture).bits
        (torch.Size([1, 64]), 64)
    """

    name = function = "dhash"

    def outputs(self, images: Images) -> Logits:
        """Differences of neighbours in a row, row by row."""
        small = shrunk_grey(images, SIDE, SIDE + 1)
        return ((small[:, :, 1:] - small[:, :, :-1]).flatten(1) - 0.5) * SCALE
