"""What every remedy in front of a victim looks like, and how it draws by chance."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hashprobe.data.arrays import as_bytes
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Pixels


JUDGED, ATTACKED = 0, 1
"""Streams of chance: what the operator draws, and what an attacker draws who does not know that."""


@dataclass(frozen=True)
class Preprocessor(ABC):
    """A change of every picture before a victim sees it, with its options as fields.

    `apply` is what the operator runs, and what judges. `differentiable` is what an attacker takes
    gradients through who knows the remedy: the same map, with straight-through gradients where it
    has none (Athalye et al., ICML 2018, section 4.1), and draws of its own where it is random
    (section 4.2). Pictures keep their size.

    Both are functions of the pixels alone. A random one draws from the content of the picture in 8
    bits, its seed and a number: the same picture meets the same draws, in any batch. An attacker
    draws from another stream than the operator, and anew at each step, because the pixels are
    others.

    Example:
        >>> from hashprobe.defenses import Jpeg
        >>> Jpeg(quality=50).apply(torch.rand(2, 3, 16, 24)).shape
        torch.Size([2, 3, 16, 24])
    """

    name: ClassVar[str]
    """What it is called in options and files."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is called in tables, with its options."""

    @property
    def copies(self) -> int:
        """How many versions of a picture are judged; the majority of their bits is the code."""
        return 1

    @property
    def draws(self) -> int:
        """Over how many draws an attacker takes the mean at each step."""
        return 1

    @abstractmethod
    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """What the operator makes of pictures, in whole 8-bit levels.

        Args:
            pixels: (N, 3, H, W) in [0, 1].
            copy: which of the versions.

        Returns:
            The same shape and dtype.
        """

    @abstractmethod
    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same for an attacker: pixels with a gradient.

        Args:
            pixels: (N, 3, H, W) in [0, 1].
            draw: which of the draws.

        Returns:
            The same shape and dtype.
        """

    def to_json(self) -> dict[str, Any]:
        """The name and the options, as they go into files.

        Example:
            >>> from hashprobe.defenses import Jpeg
            >>> Jpeg().to_json()
            {'name': 'jpeg', 'quality': 75}
        """
        return {"name": self.name, **asdict(self)}


def eight_bits(pixels: Pixels) -> Images:
    """Pixels in [0, 1] at the nearest of 256 levels, without a gradient; uint8 ones as they are."""
    if not pixels.is_floating_point():
        return pixels.float() / 255
    return (pixels.detach().clamp(0, 1) * 255).round_().div_(255)


def straight_through(pixels: Tensor, changed: Tensor) -> Tensor:
    """Changed pixels with the gradient of the pixels themselves.

    Example:
        >>> pixels = torch.tensor([0.2], requires_grad=True)
        >>> straight_through(pixels, torch.tensor([0.7])).backward()
        >>> pixels.grad
        tensor([1.])
    """
    return changed + (pixels - pixels.detach())


def chances(pixels: Tensor, *key: int) -> Iterator[torch.Generator]:
    """A generator for each picture, by its content in 8 bits and a key of whole numbers."""
    for picture in as_bytes(pixels.detach()).cpu().numpy():
        content = zlib.crc32(np.ascontiguousarray(picture).tobytes())
        state = np.random.SeedSequence([content, *key]).generate_state(1, np.uint64)[0]
        yield torch.Generator().manual_seed(int(state >> 1))


def check_number(owner: Preprocessor, field: str, low: float, high: float) -> None:
    """Refuses an option out of its range."""
    value = getattr(owner, field)
    if not low <= value <= high:
        raise HashprobeError(f"{owner.name}: {field} must be {low:g} to {high:g}; got {value:g}")
