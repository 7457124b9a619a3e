"""Pictures at the size that a network expects: resized, cut out, or with borders."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hashprobe.types import Filter, Fit, InputContract


LONG = 8
"""How many times longer than wide a picture is at most when it is resized for a crop."""


def fit_image(
    image: UInt8[Tensor, "*t 3 h w"], contract: InputContract
) -> UInt8[Tensor, "*t 3 fit_h fit_w"]:
    """A picture, or all frames of a clip, at the size of the contract, with antialiasing.

    A contract of size 0 leaves every picture as it is.

    Args:
        image: (3, H, W) or (T, 3, H, W) RGB in 0..255.
        contract: size, filter, fit and resize_to.

    Returns:
        The same at (size, size); the picture itself if it has that size already.

    Example:
        >>> fit_image(torch.zeros(3, 20, 10, dtype=torch.uint8), InputContract(size=8)).shape
        torch.Size([3, 8, 8])
    """
    size, side = contract.size, contract.resize_to or contract.size
    if not size or (not contract.resize_to and image.shape[-2:] == (size, size)):
        return image
    if contract.fit == "crop":
        image = without_far_ends(image)
    resized = resize(image, resized_shape(image.shape[-2:], contract.fit, side), contract.filter)
    return centred(resized, side, size)


def resized_shape(shape: Sequence[int], fit: Fit, side: int) -> tuple[int, int]:
    """Height and width that a picture of some height and width is resized to.

    Example:
        >>> [resized_shape((20, 10), fit, 8) for fit in ("squash", "crop", "pad")]
        [(8, 8), (16, 8), (8, 4)]
    """
    if fit == "squash":
        return side, side
    height, width = shape
    # As torchvision rounds the longer side; black borders leave no part of a picture out.
    if fit == "crop":
        short = min(height, width)
        return int(side * height / short), int(side * width / short)
    long = max(height, width)
    return max(1, round(side * height / long)), max(1, round(side * width / long))


def resize(
    image: UInt8[Tensor, "*t 3 h w"], shape: tuple[int, int], filter: Filter
) -> UInt8[Tensor, "*t 3 _ _"]:
    """A picture, or all frames of a clip, at another height and width, with antialiasing."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    if filter not in ("lanczos", "box"):
        mode = InterpolationMode(filter)
        resized: Tensor = F.resize(image, list(shape), interpolation=mode, antialias=True)
        return resized
    from PIL import Image

    # torchvision has these filters for pictures of Pillow alone.
    frames = image.reshape(-1, *image.shape[-3:]).permute(0, 2, 3, 1).contiguous().numpy()
    how = Image.Resampling.LANCZOS if filter == "lanczos" else Image.Resampling.BOX
    done = [np.array(Image.fromarray(each).resize(shape[::-1], how)) for each in frames]
    stacked = torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2)
    return stacked.reshape(*image.shape[:-2], *shape)


def centred(image: UInt8[Tensor, "*t 3 h w"], side: int, size: int) -> UInt8[Tensor, "*t 3 s s"]:
    """The centre of a picture, after black borders where it is smaller than a side."""
    from torchvision.transforms.v2 import functional as F

    height, width = image.shape[-2:]
    down, right = max(0, side - height), max(0, side - width)
    if down or right:
        borders = [right // 2, down // 2, right - right // 2, down - down // 2]
        image = F.pad(image, borders)
    if image.shape[-2:] == (size, size):
        return image
    cut: Tensor = F.center_crop(image, [size, size])
    return cut


def without_far_ends(image: UInt8[Tensor, "*t 3 h w"]) -> UInt8[Tensor, "*t 3 _ _"]:
    """The middle of a picture that is much longer than wide, where the square of a crop lies.

    Only pixels too far from this square to have an effect on it are cut off, the same number at
    both ends; a picture of at most LONG times its width stays as it is.
    """
    height, width = image.shape[-2:]
    most = LONG * min(height, width)
    # Even numbers of rows keep the middle where `center_crop` rounds it to.
    top, left = max(0, height - most) // 4 * 2, max(0, width - most) // 4 * 2
    return image[..., top : height - top, left : width - left]
