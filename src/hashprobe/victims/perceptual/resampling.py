"""Pillow's grey pictures and its Lanczos resize as linear maps, rounded to 8 bits as there."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import PIL
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from hashprobe.tensors import Images


GREY = (19595.0, 38470.0, 7471.0)
"""Weights of red, green and blue in Pillow's mode L, in units of 1 / 65536."""
PILLOW_ROWS_FIRST = 13
"""The version of Pillow that began to resize tall pictures along their height first."""
REACH = 3.0
"""Half width of the Lanczos window, in pixels of the smaller picture."""


class Rounded(torch.autograd.Function):
    """Grey levels rounded and cut to 0..255, halves up; the gradient passes as it is."""

    @staticmethod
    def forward(_: Any, levels: Tensor) -> Tensor:
        """Whole levels."""
        return (levels + 0.5).floor_().clamp_(0, 255)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        """The same gradient."""
        return gradient


def rounded(levels: Tensor) -> Tensor:
    """Grey levels as 8 bits hold them, with the gradient of what they were.

    Example:
        >>> rounded(torch.tensor([0.4, 0.5, 300.0]))
        tensor([  0.,   1., 255.])
    """
    whole: Tensor = Rounded.apply(levels)
    return whole


def shrunk_grey(images: Images, height: int, width: int) -> Float[Tensor, "n small_h small_w"]:
    """What Pillow makes of pictures by `convert("L")` and a resize with LANCZOS, in grey levels.

    Args:
        images: (N, 3, H, W) in [0, 1].
        height: of the result.
        width: of the result.

    Returns:
        (N, height, width), whole numbers from 0 to 255, with straight-through gradients.

    Example:
        >>> shrunk_grey(torch.ones(1, 3, 9, 9), 2, 2).flatten()
        tensor([255., 255., 255., 255.])
    """
    weights = images.new_tensor(GREY) * (255 / 65536)
    grey = rounded(torch.einsum("c,nchw->nhw", weights, images))
    down, across = images.shape[-2:]
    rows = axis_map(down, height, images.dtype, images.device)
    columns = axis_map(across, width, images.dtype, images.device)
    if rows_come_first(down - height, across - width):
        return rounded(rounded(rows @ grey) @ columns.T)
    return rounded(rows @ rounded(grey @ columns.T))


def rows_come_first(fewer_rows: int, fewer_columns: int) -> bool:
    """Whether Pillow resizes along the height first: from version 13 on, where it shrinks more."""
    if int(PIL.__version__.partition(".")[0]) < PILLOW_ROWS_FIRST:
        return False
    return fewer_rows > max(0, 2 * fewer_columns)


@lru_cache(maxsize=256)
def axis_map(n: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, n): the resize of an axis of n pixels."""
    with torch.inference_mode(False):
        return torch.tensor(lanczos(n, size), dtype=dtype, device=device)


def lanczos(n: int, size: int) -> Float64[np.ndarray, "s n"]:
    """Weights of n pixels in each of `size`; the window is as wide as a smaller picture needs."""
    if n == size:
        return np.eye(n)
    scale = n / size
    wide = max(scale, 1.0)
    weights = np.zeros((size, n))
    for place in range(size):
        centre = (place + 0.5) * scale
        first = max(int(centre - REACH * wide + 0.5), 0)
        last = min(int(centre + REACH * wide + 0.5), n)
        window = (np.arange(first, last) - centre + 0.5) / wide
        inside = np.sinc(window) * np.sinc(window / REACH) * (np.abs(window) < REACH)
        weights[place, first:last] = inside / inside.sum()
    return fixed_point(weights)


def fixed_point(weights: Float64[np.ndarray, "s n"]) -> Float64[np.ndarray, "s n"]:
    """Weights as Pillow holds them, in 22 bits."""
    one = 1 << 22
    whole: np.ndarray = np.copysign(np.floor(np.abs(weights) * one + 0.5), weights)
    return whole / one


def cosines(kept: int, size: int) -> Float64[np.ndarray, "k s"]:
    """The lowest frequencies of SciPy's unnormalised cosine transform (type II)."""
    frequency, place = np.arange(kept)[:, None], np.arange(size)
    waves: np.ndarray = np.cos(math.pi / (2 * size) * frequency * (2 * place + 1))
    return 2 * waves
