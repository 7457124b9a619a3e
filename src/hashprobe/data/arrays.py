"""Pixels in any of the accepted forms: arrays, tensors and lists of pictures."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashprobe.checked import shown
from hashprobe.data.queries import Queries, QueryIds
from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import check_numbers
from hashprobe.tensors import Pixels


def as_pixels(values: Any, what: str = "images") -> Pixels:
    """Reads pixels as a tensor.

    Args:
        values: (N, 3, H, W) images or (N, T, 3, H, W) clips, an array, a tensor or a list of
            pictures: uint8 in 0..255, or floating in [0, 1].
        what: what an error calls them.

    Returns:
        uint8, or float32 in [0, 1].

    Raises:
        HashprobeError: another shape, another dtype, none at all, or values out of range.

    Example:
        >>> as_pixels([[[[0.5]], [[0.5]], [[0.5]]]]).shape
        torch.Size([1, 3, 1, 1])
    """
    if isinstance(values, list | tuple) and len(values) and hasattr(values[0], "shape"):
        shapes = {tuple(each.shape) for each in values}
        if len(shapes) > 1:
            seen = " and ".join(map(str, sorted(shapes)[:2]))
            raise HashprobeError(f"{what} must all have one shape; got {seen}")
    for each in values if isinstance(values, list | tuple) else [values]:
        if isinstance(each, np.ndarray):
            check_numbers(each, what)
    try:
        if isinstance(values, list | tuple) and len(values) and hasattr(values[0], "shape"):
            values = torch.stack([as_tensor(each) for each in values])
        pixels = values.detach() if isinstance(values, Tensor) else as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        seen = type(values).__name__
        raise HashprobeError(
            f"{what} must be an array, a tensor or a list of pictures; got {seen}"
        ) from error
    if pixels.is_meta or pixels.layout != torch.strided:
        raise HashprobeError(f"{what} must be a dense tensor with values; got {shown(pixels)}")
    check_shape(pixels, what)
    if pixels.dtype == torch.uint8:
        return pixels
    if not pixels.is_floating_point():
        raise HashprobeError(
            f"{what} must be uint8 in 0..255 or floating in [0, 1]; got "
            f"{str(pixels.dtype).removeprefix('torch.')}"
        )
    low, high = (bound.item() for bound in pixels.aminmax())
    if low != low or high != high:
        raise HashprobeError(f"{what} must be numbers; some are NaN")
    if not (low >= 0 and high <= 1):
        hint = "divide by 255?" if high > 30 else "already normalised?"
        raise HashprobeError(f"{what} must lie in [0, 1]; got {low:.3g} to {high:.3g}: {hint}")
    return pixels.float()


def as_tensor(values: Any) -> Tensor:
    """Values as a tensor; of an array that may not be written to, such as Pillow's, a copy."""
    read_only = isinstance(values, np.ndarray) and not values.flags.writeable
    return torch.as_tensor(values.copy() if read_only else values)


def by_size(pictures: Any) -> dict[tuple[int, int], list[int]]:
    """Which pictures have which size, so that those of one size can go through a victim together.

    Args:
        pictures: a list of (3, H, W) arrays or tensors.

    Returns:
        (H, W) to the places of the pictures of this size, in the order of the first of each; of
        anything else, nothing.

    Example:
        >>> tall, wide = np.zeros((3, 4, 2)), np.zeros((3, 2, 4))
        >>> by_size([tall, wide, tall])
        {(4, 2): [0, 2], (2, 4): [1]}
    """
    groups: dict[tuple[int, int], list[int]] = {}
    if not isinstance(pictures, list | tuple):
        return groups
    for place, picture in enumerate(pictures):
        shape = tuple(getattr(picture, "shape", ()))
        if len(shape) != 3:
            return {}
        groups.setdefault((int(shape[1]), int(shape[2])), []).append(place)
    return groups


def check_shape(pixels: Tensor, what: str) -> None:
    """Refuses pixels that are no images and no clips."""
    shape = tuple(pixels.shape)
    if pixels.ndim in (4, 5) and shape[-3] == 3 and pixels.numel():
        return
    hint = ""
    if pixels.ndim in (4, 5) and shape[-1] == 3:
        hint = ": put the channels before height and width"
    elif pixels.ndim == 3 and shape[0] == 3:
        hint = ": for one picture, add a dimension in front"
    raise HashprobeError(
        f"{what} must have shape (N, 3, H, W), clips (N, T, 3, H, W), N at least 1; "
        f"got {shape}{hint}"
    )


def as_bytes(pixels: Pixels) -> Tensor:
    """Pixels in 8 bits, as pictures are stored and sent.

    Example:
        >>> as_bytes(torch.full((1, 3, 1, 1), 0.5)).flatten()
        tensor([128, 128, 128], dtype=torch.uint8)
    """
    if not pixels.is_floating_point():
        return pixels
    return (pixels * 255).round_().to(torch.uint8)


def as_queries(values: Any, ids: QueryIds | None = None, lengths: Any = None) -> Queries:
    """Reads queries; floating pixels are rounded to 8 bits, as pictures are stored.

    Args:
        values: `Queries`, or pixels as for `as_pixels`.
        ids: (N,) whole numbers from 0; by default 0 to N - 1.
        lengths: (N,) frames of each clip; by default all.

    Raises:
        HashprobeError: as `as_pixels`, or as `Queries`.

    Example:
        >>> as_queries(torch.zeros(2, 5, 3, 8, 8)).lengths
        tensor([5, 5])
    """
    if isinstance(values, Queries):
        if not values.pixels.is_floating_point():
            return values
        return Queries(as_bytes(values.pixels), values.ids, values.lengths, values.labels)
    pixels = as_bytes(as_pixels(values, "queries"))
    if pixels.ndim == 5:
        lengths = [pixels.shape[1]] * len(pixels) if lengths is None else lengths
        lengths = torch.as_tensor(lengths, dtype=torch.int64)
    return Queries(pixels, tuple(ids) if ids is not None else (), lengths)
