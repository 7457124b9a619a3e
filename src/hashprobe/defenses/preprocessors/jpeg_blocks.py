"""What JPEG keeps of a picture, as a linear map: the way for gradients."""

import math
from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from hashprobe.tensors import Images


SIDE = 8
"""Side of a block."""
TO_LUMA = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
"""RGB to luma and two channels of colour (ITU-T T.871)."""
REACH = 8.0
"""A coefficient that is dropped keeps half of its gradient at a step of this size, and less at
coarser ones: an attack may lift it to the first step."""


def kept_by_jpeg(pixels: Images, quality: int) -> Images:
    """Pictures without what JPEG drops, before it rounds what it keeps.

    In each block of 8 x 8 values of luma, and of colour at half the resolution, the coefficients of
    the cosine transform that JPEG rounds to 0 are made small; the others stay. For these pixels
    alone it is a linear map.

    Args:
        pixels: (N, 3, H, W) in [0, 1].
        quality: of Pillow's encoder, 1 to 100.

    Returns:
        The same shape.

    Example:
        >>> kept_by_jpeg(torch.full((1, 3, 5, 9), 0.5), 75).allclose(torch.tensor(0.5), atol=1e-3)
        True
    """
    height, width = pixels.shape[-2:]
    step = 2 * SIDE
    whole = pad(pixels * 255, (0, -width % step, 0, -height % step), mode="replicate")
    colours = pixels.new_tensor(TO_LUMA)
    luma, blue, red = torch.einsum("dc,nchw->dnhw", colours, whole)
    tables = steps_of(quality)
    parts = [large_in_blocks(luma - 128, tables[0]) + 128]
    for colour in (blue, red):
        small = large_in_blocks(avg_pool2d(colour.unsqueeze(1), 2).squeeze(1), tables[1])
        parts.append(interpolate(small.unsqueeze(1), scale_factor=2.0).squeeze(1))
    made = torch.einsum("cd,dnhw->nchw", torch.linalg.inv(colours), torch.stack(parts))
    return made[:, :, :height, :width] / 255


def large_in_blocks(
    values: Float[Tensor, "n h w"], table: Float64[np.ndarray, "8 8"]
) -> Float[Tensor, "n h w"]:
    """Values without the coefficients of their blocks that are rounded to 0."""
    count, height, width = values.shape
    shape = (count, height // SIDE, SIDE, width // SIDE, SIDE)
    basis = torch.from_numpy(cosines()).to(values)
    sizes = torch.from_numpy(table).to(values)
    coefficients = basis @ values.view(shape).transpose(2, 3) @ basis.T
    kept = (coefficients.detach().abs() >= sizes / 2).to(values)
    share = torch.maximum(kept, 1 / (1 + (sizes / REACH) ** 2))
    return (basis.T @ (coefficients * share) @ basis).transpose(2, 3).reshape(values.shape)


@lru_cache(maxsize=100)
def steps_of(quality: int) -> Float64[np.ndarray, "2 8 8"]:
    """The quantisation steps of Pillow's encoder, for luma and for colour."""
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]
    return np.array([tables[0], tables[1]], dtype=np.float64).reshape(2, SIDE, SIDE)


def cosines() -> Float64[np.ndarray, "k s"]:
    """The orthonormal cosine transform (type II) of 8 values."""
    frequency, place = np.arange(SIDE)[:, None], np.arange(SIDE)
    waves: np.ndarray = np.cos(math.pi / (2 * SIDE) * frequency * (2 * place + 1))
    return waves * np.where(frequency == 0, math.sqrt(1 / SIDE), math.sqrt(2 / SIDE))
