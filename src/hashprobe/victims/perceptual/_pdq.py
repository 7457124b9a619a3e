"""PDQ, the 256-bit hash of ThreatExchange."""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.tensors import Images, Images8, Logits
from hashprobe.victims.perceptual.base import LUMA, PerceptualHash, above_middle


SIDE, KEPT = 64, 16
"""Side of the picture that the cosine transform is given, and frequencies kept of it per axis."""
PASSES = 2
"""Box filters along each axis."""
SCALE = 255 / 100
"""Brings outputs of photographs to a size of about 1."""


class PdqHash(PerceptualHash):
    """PDQ (ThreatExchange, "PDQ and TMK + PDQF", 2019): 256 bits, matched at a distance up to 31.

    Luma of 0 to 255; two box filters along each axis, with windows of ceil(n / 128) pixels that are
    cut at the borders; one pixel in each of 64 x 64 cells; the 16 x 16 lowest frequencies of a
    cosine transform, without those of 0; a bit is 1 where a coefficient is above their median. All
    of it up to the comparison is one matrix per axis.

    `pdqhash` judges, at the picture's own size, as ThreatExchange's Python package does. The
    command-line tools in C++ first bring pictures with a side above 512 to 512 x 512.

    Example:
        >>> victim = PdqHash()
        >>> picture = torch.rand(1, 3, 128, 128)
        >>> victim(picture).shape, victim.codes(picture).bits
        (torch.Size([1, 256]), 256)
    """

    name = "pdq"
    length = 256
    library = "pdqhash"
    decided_by = ("pdqhash",)
    least = 5

    def outputs(self, images: Images) -> Logits:
        """Distances of the coefficients to their median, in the order of the library's bits."""
        luma = torch.einsum("c,nchw->nhw", images.new_tensor(LUMA), images)
        down, across = (axis_map(n, images.dtype, images.device) for n in images.shape[-2:])
        frequencies = down @ (luma @ across.T)
        return above_middle(frequencies.flatten(1).flip(1) * SCALE)

    def judged(self, picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, " k"]:
        """The bits of `pdqhash.compute`."""
        return compute(picture)[0]


@checked
def pdq_quality(pictures: Images8) -> Int64[np.ndarray, " n"]:
    """PDQ's quality of pictures, by the library: how much there is to see in them.

    Matching systems drop pictures of quality 49 and below (ThreatExchange,
    hasher-matcher-actioner).

    Args:
        pictures: (N, 3, H, W) in 0..255.

    Returns:
        (N,) whole numbers from 0 to 100.

    Raises:
        HashprobeError: no such pictures, or `pdqhash` is not installed.

    Example:
        >>> pdq_quality(torch.full((1, 3, 64, 64), 200, dtype=torch.uint8))
        array([0])
    """
    PdqHash().check(pictures)
    rows = pictures.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return np.array([compute(picture)[1] for picture in rows], dtype=np.int64)


def compute(picture: UInt8[np.ndarray, "h w 3"]) -> tuple[Bool[np.ndarray, " k"], int]:
    """Bits and quality of one picture, by the library."""
    import pdqhash

    bits, quality = pdqhash.compute(picture)
    return np.asarray(bits, dtype=bool), int(quality)


@lru_cache(maxsize=256)
def axis_map(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(16, n): box filters, choice of pixels and cosine transform along one axis of n pixels."""
    weights = np.zeros((n, KEPT))
    np.add.at(weights, cells(n), cosines().T)
    for _ in range(PASSES):
        weights = before_box(weights)
    with torch.inference_mode(False):
        return torch.tensor(weights.T.copy(), dtype=dtype, device=device)


def before_box(weights: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n k"]:
    """Weights of n pixels, given those of the same pixels after a box filter.

    The filter takes means of ceil(n / 128) neighbours, fewer at the borders; a window of an even
    length reaches one pixel further ahead.
    """
    n = len(weights)
    window = -(-n // (2 * SIDE))
    ahead = (window + 2) // 2
    places = np.arange(n)
    first, last = np.maximum(places + ahead - window, 0), np.minimum(places + ahead, n)
    # Each share counts from the first pixel of its window up to the last.
    shares, steps = weights / (last - first)[:, None], np.zeros((n + 1, weights.shape[1]))
    np.add.at(steps, first, shares)
    np.subtract.at(steps, last, shares)
    return steps.cumsum(axis=0)[:-1]


def cells(n: int) -> Int64[np.ndarray, " s"]:
    """The pixels in the middle of 64 cells of an axis."""
    return ((np.arange(SIDE) + 0.5) * n / SIDE).astype(np.int64)


def cosines() -> Float64[np.ndarray, "k s"]:
    """The frequencies 1 to 16 of an orthonormal cosine transform of 64 values."""
    frequency, place = np.arange(1, KEPT + 1)[:, None], np.arange(SIDE)
    waves: np.ndarray = np.cos(math.pi / (2 * SIDE) * frequency * (2 * place + 1))
    return math.sqrt(2 / SIDE) * waves
