"""What is refused of pixels, targets and outputs; each error is one line with what was seen."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hashprobe.errors import HashprobeError
from hashprobe.text import shortened


LINE = 300
"""Characters of a network's own error that are shown."""


HALVES = (torch.float16, torch.bfloat16)
"""Types of weights that pixels are not given in."""

GUARD = re.compile(r"size\(\)\[(?P<axis>\d)\] == (?P<count>\d+)")
"""How an exported network says that one axis of its pixels had to have another length."""


def check_images(images: Tensor) -> None:
    """Refuses anything but float32 or float64 RGB in [0, 1].

    Args:
        images: what should be (N, 3, H, W) in [0, 1], N at least 1.

    Raises:
        HashprobeError: another dtype, another shape, no images, NaN, or pixels out of range.

    Example:
        >>> try:
        ...     check_images(torch.full((1, 3, 2, 2), 2.64))
        ... except HashprobeError as error:
        ...     print(error)
        images must lie in [0, 1]; got max 2.64: already normalised?
    """
    if images.dtype == torch.uint8:
        raise HashprobeError("images must be float32 in [0, 1]; got uint8: divide by 255")
    if images.dtype not in (torch.float32, torch.float64):
        # Half precision has steps of 1/2048 or 1/256 near 1: too coarse to keep a budget.
        raise HashprobeError(f"images must be float32 or float64; got {name(images.dtype)}")
    check_shape(images)
    low, high = (bound.item() for bound in images.aminmax())
    if low != low or high != high:
        rows = images.isnan().flatten(1).any(1).nonzero().flatten().tolist()
        raise HashprobeError(f"images must be numbers; got NaN in row {rows[0]}")
    if low < 0:
        raise HashprobeError(f"images must lie in [0, 1]; got min {low:.3g}: already normalised?")
    if high > 1:
        hint = "divide by 255?" if high > 30 else "already normalised?"
        raise HashprobeError(f"images must lie in [0, 1]; got max {high:.3g}: {hint}")


def check_images8(images: Tensor) -> None:
    """Refuses anything but 8-bit RGB.

    Args:
        images: what should be uint8 (N, 3, H, W), N at least 1.

    Raises:
        HashprobeError: another dtype, another shape, or no images.

    Example:
        >>> check_images8(torch.zeros(1, 3, 2, 2))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: queries must be uint8 pixels in 0..255; got float32
    """
    if images.dtype != torch.uint8:
        raise HashprobeError(f"queries must be uint8 pixels in 0..255; got {name(images.dtype)}")
    check_shape(images)


def check_shape(images: Tensor) -> None:
    """Refuses anything but (N, 3, H, W), or (N, T, 3, H, W), with at least one pixel."""
    if images.ndim not in (4, 5) or images.shape[-3] != 3:
        raise HashprobeError(f"images must have shape (N, 3, H, W); got {tuple(images.shape)}")
    if not images.numel():
        raise HashprobeError(f"there are no images to attack: got shape {tuple(images.shape)}")


def check_targets(targets: Tensor, n: int, bits: int) -> None:
    """Refuses anything but one target code, or several, per image.

    Args:
        targets: what should be floating (n, bits), or (n, S, bits), with entries -1 and +1, or 0
            for a bit that is left alone.
        n: how many images there are.
        bits: code length K of the hasher.

    Raises:
        HashprobeError: another number of codes, another K, another dtype or other entries.

    Example:
        >>> check_targets(torch.ones(2, 16), 2, 32)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: target codes have 16 bits but the hasher gives 32
    """
    if targets.ndim not in (2, 3):
        raise HashprobeError(f"target codes must have shape (N, K); got {tuple(targets.shape)}")
    if not targets.is_floating_point():
        raise HashprobeError(f"target codes must be floating; got {name(targets.dtype)}")
    if targets.shape[-1] != bits:
        raise HashprobeError(
            f"target codes have {targets.shape[-1]} bits but the hasher gives {bits}"
        )
    if targets.shape[0] != n:
        raise HashprobeError(f"{targets.shape[0]} target codes for {n} images: give one per image")
    odd = targets[(targets.abs() != 1) & (targets != 0)]
    if odd.numel():
        raise HashprobeError(
            f"target codes must consist of -1 and +1 (or 0 for a tie); got {odd[0].item():.3g}"
        )


def check_logits(logits: Any, count: int, bits: int | None) -> None:
    """Refuses outputs of a network that are no dense real tensor of one row a picture.

    Args:
        logits: what the network gave.
        count: how many pictures it was given.
        bits: code length K; None where any is right.

    Raises:
        HashprobeError: several outputs, a tensor of another layout, shape or dtype.

    Example:
        >>> check_logits((torch.zeros(2, 8), None), 2, 8)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: the network gave a tuple of 2, not a tensor of (N, K) ...
    """
    if not isinstance(logits, Tensor):
        raise HashprobeError(several_outputs(logits))
    if logits.is_meta:
        raise HashprobeError(
            "the network gave a tensor on the device meta, which has no values: load its weights"
        )
    if logits.layout != torch.strided or logits.is_nested:
        kind, remedy = name(logits.layout), "let it return .to_dense()"
        if logits.is_nested:
            kind, remedy = "nested", "let it return one (N, K) tensor"
        raise HashprobeError(f"the network gave a {kind} tensor, not dense (N, K) logits: {remedy}")
    if logits.is_quantized:
        raise HashprobeError(
            f"the network gave a quantised tensor ({name(logits.dtype)}): let it return "
            ".dequantize()"
        )
    shape = tuple(logits.shape)
    if logits.ndim != 2 or len(logits) != count or bits not in (None, shape[1]):
        wanted = f"({count}, {'K' if bits is None else bits})"
        raise HashprobeError(
            f"the network gave outputs of shape {shape} for {count} pictures; wanted is {wanted}"
            f"{shape_hint(shape, count, bits)}"
        )
    if not logits.is_floating_point():
        hint = "hand over the real outputs that they are made of"
        if logits.is_complex():
            hint = "let it return a real part of them"
        raise HashprobeError(f"the network gave {name(logits.dtype)}, not real logits: {hint}")


@contextmanager
def naming_pixels(pixels: Tensor, network: nn.Module) -> Iterator[None]:
    """Turns whatever a network raises in the block into one line with the shape of its pixels.

    Args:
        pixels: what the network is given.
        network: what is called.

    Raises:
        HashprobeError: the network failed. A lack of memory and our own errors pass as they are.

    Example:
        >>> with naming_pixels(torch.zeros(1, 3, 8, 8), nn.Identity()):
        ...     {}["x"]
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: the network failed on pixels of shape (1, 3, 8, 8) ...
    """
    try:
        yield
    except (HashprobeError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a network is code of the user's own
        if "allocate memory" in str(error):
            raise torch.OutOfMemoryError(str(error)) from error
        first = shortened((str(error) or type(error).__name__).strip().splitlines()[0], LINE)
        raise HashprobeError(
            f"the network failed on pixels of shape {tuple(pixels.shape)} "
            f"({type(error).__name__}: {first}): {remedy(network, first)}"
        ) from error


def several_outputs(given: Any) -> str:
    """What is wrong with outputs that are no tensor, and what to do about it."""
    kind, known = type(given).__name__, "a function around it that returns the (N, K) logits"
    if isinstance(given, Mapping) and given:
        keys = [key for key in given if isinstance(given[key], Tensor)] or list(given)
        known = f"hashprobe.Victim(..., output={keys[0]!r}), the one of them that holds the logits"
        kind += f" with {', '.join(map(repr, list(given)[:6]))}"
    elif isinstance(given, list | tuple) and given:
        places = [i for i, each in enumerate(given) if isinstance(each, Tensor)] or [0]
        known = f"hashprobe.Victim(..., output={places[0]}), the one of them that holds the logits"
        kind += f" of {len(given)}"
    return f"the network gave a {kind}, not a tensor of (N, K) logits: say {known}"


def shape_hint(shape: tuple[int, ...], count: int, bits: int | None) -> str:
    """What to do about outputs of a wrong shape, where it can be guessed."""
    if shape[:1] != (count,):
        return ": a network must give one row a picture, for any number of pictures"
    if len(shape) > 2 and all(side == 1 for side in shape[2:]) and bits in (None, shape[1]):
        return ": end it with torch.nn.Flatten()"
    if len(shape) > 2:
        return (
            ": pool it to one row a picture, or name another tensor by --output (output=), such as "
            "the input of the last layer"
        )
    return f": say bits={shape[1]}?"


def name(dtype: torch.dtype | torch.layout) -> str:
    """A dtype or a layout as users write it."""
    return str(dtype).removeprefix("torch.")


def remedy(victim: nn.Module, said: str) -> str:
    """What to do about a network that failed, by what torch said of it.

    Example:
        >>> remedy(nn.Linear(2, 2).bfloat16(), "mat1 and mat2 must have the same dtype")
        'its weights are bfloat16 and codes are made in float32: call .float() first'
    """
    odd = next((w.dtype for w in victim.parameters() if w.dtype in HALVES), None)
    if odd is not None:
        return f"its weights are {name(odd)} and codes are made in float32: call .float() first"
    if "more than 1 value per channel" in said:
        return (
            "let the network use no statistics of the batch (BatchNorm with "
            "track_running_stats=True, in evaluation mode)"
        )
    guard = GUARD.search(said)
    if guard is not None and guard["axis"] == "1":
        return f"it was exported for pictures of {guard['count']} channels, and pictures are RGB"
    if guard is not None and guard["axis"] == "3":  # the height was right
        return f"it was exported for a width of {guard['count']} pixels, and pictures are square"
    if guard is not None and guard["axis"] == "2":
        count = guard["count"]
        return f"it was exported for pictures of {count} pixels: say --size {count} (size={count})"
    if "Guard failed" in said:
        return "export it with dynamic_shapes, so that it takes any number of pictures at once"
    return "is it made for this size, and for any number of pictures at once?"
