"""Pictures as data addresses: small ones exact, large ones reduced so that the page mails well."""

import base64
import io
from collections.abc import Iterable

import numpy as np

from hashprobe.errors import HashprobeError
from hashprobe.report.content import Picture


CRISP = 64
"""Pictures of at most this many pixels a side are kept exactly and shown with hard pixels."""
QUALITY, ROUGH = 88, 70
"""Of JPEG for pictures, and for amplified differences: noise takes most bytes and says least."""


def data_address(picture: Picture, side: int, *, smooth: bool = True) -> str:
    """A picture as text that an `<img>` can show without any file.

    Args:
        picture: (3, H, W) uint8; or frames, (n, 3, H, W), which are put side by side.
        side: pictures and frames above this many pixels a side are reduced to it.
        smooth: how they are reduced; False, for differences, keeps single pixels, whose fine
            pattern an average would wipe out, and spends fewer bytes on their shades.

    Returns:
        `data:image/png;...` (exact) up to 64 pixels a side, else `data:image/jpeg;...`.

    Raises:
        HashprobeError: the picture is neither (3, H, W) nor (n, 3, H, W) uint8.

    Example:
        >>> data_address(np.zeros((3, 8, 8), np.uint8), 64)[:15]
        'data:image/png;'
    """
    from PIL import Image

    if picture.dtype != np.uint8 or picture.ndim not in (3, 4) or picture.shape[-3] != 3:
        raise HashprobeError(
            f"a picture must be (3, H, W) uint8; got {picture.shape} {picture.dtype}"
        )
    image = Image.fromarray(side_by_side(picture))
    stream = io.BytesIO()
    if crisp(picture):
        image.save(stream, "PNG", optimize=True)
        kind = "png"
    else:
        resample = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
        image.thumbnail((side * (frame_count(picture) or 1), side), resample)
        image.save(stream, "JPEG", quality=QUALITY if smooth else ROUGH, subsampling=0)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def frame_count(picture: Picture) -> int | None:
    """How many frames of a clip a picture shows; None for an image.

    Args:
        picture: (3, H, W) or (n, 3, H, W).

    Example:
        >>> frame_count(np.zeros((7, 3, 8, 8), np.uint8))
        7
    """
    return len(picture) if picture.ndim == 4 else None


def side_by_side(picture: Picture) -> np.ndarray:
    """The pixels as they are shown, the frames of a clip in a row.

    Args:
        picture: (3, H, W) or (n, 3, H, W).

    Returns:
        (H, W, 3), or (H, n W, 3).

    Example:
        >>> side_by_side(np.zeros((7, 3, 8, 8), np.uint8)).shape
        (8, 56, 3)
    """
    row = picture if picture.ndim == 3 else np.concatenate(list(picture), axis=2)
    return np.ascontiguousarray(row.transpose(1, 2, 0))


def crisp(picture: Picture) -> bool:
    """Whether a picture, or a frame of it, is so small that it is shown with hard pixels.

    Args:
        picture: (3, H, W) or (n, 3, H, W) uint8.

    Example:
        >>> crisp(np.zeros((3, 32, 32), np.uint8))
        True
    """
    height, width = picture.shape[-2:]
    return bool(height <= CRISP and width <= CRISP)


def amplification(pairs: Iterable[tuple[Picture, Picture]]) -> int:
    """The whole factor by which all differences of a page can be multiplied without clipping.

    Args:
        pairs: picture and attacked picture of one shape, uint8.

    Returns:
        At least 1; 1 where nothing differs.

    Example:
        >>> grey = np.full((3, 2, 2), 100, np.uint8)
        >>> amplification([(grey, grey + np.uint8(8))])
        15
    """
    largest = max((int(np.abs(change(a, b)).max(initial=0)) for a, b in pairs), default=0)
    return max(1, 127 // largest) if largest else 1


def amplified_difference(picture: Picture, twin: Picture, factor: int) -> Picture:
    """What was added to a picture, multiplied, around mid grey (128 means unchanged).

    Args:
        picture: (3, H, W) or (n, 3, H, W) uint8.
        twin: the attacked picture, the same shape.
        factor: at least 1.

    Returns:
        The same shape, uint8, clipped to 0..255.

    Example:
        >>> grey = np.full((3, 1, 1), 100, np.uint8)
        >>> amplified_difference(grey, grey - np.uint8(8), 15)[:, 0, 0].tolist()
        [8, 8, 8]
    """
    grey: Picture = np.clip(128 + factor * change(picture, twin), 0, 255).astype(np.uint8)
    return grey


def change(picture: np.ndarray, twin: np.ndarray) -> np.ndarray:
    """What was added to a picture, in grey levels from -255 to 255."""
    difference: np.ndarray = np.subtract(twin, picture, dtype=np.int32)
    return difference
