"""aHash as ImageHash computes it."""

from hashprobe.tensors import Images, Logits
from hashprobe.victims.perceptual.imagehash_bits import ByImageHash
from hashprobe.victims.perceptual.resampling import shrunk_grey


SIDE = 8
SCALE = 1 / 40
"""Brings outputs of photographs to a size of about 1."""


class AHash(ByImageHash):
    """aHash (Krawetz, 2011) as `imagehash.average_hash` has it: 64 bits, matched up to 8 to 12.

    The grey picture is resized to 8 x 8 by Lanczos; a bit is 1 where a pixel is lighter than their
    mean. The torch form rounds to 8 bits where Pillow does, with straight-through gradients; 0 lies
    between the mean and the next value that a difference can have.

    Example:
        >>> import torch
        >>> victim = AHash()
        >>> picture = torch.rand(1, 3, 128, 96)
        >>> victim(picture).shape, victim.codes(picture).bits
        (torch.Size([1, 64]), 64)
    """

    name, function = "ahash", "average_hash"

    def outputs(self, images: Images) -> Logits:
        """Differences to the mean, row by row."""
        small = shrunk_grey(images, SIDE, SIDE).flatten(1)
        smallest = 1 / small.shape[1]
        return (small - small.mean(1, keepdim=True) - smallest / 2) * SCALE
