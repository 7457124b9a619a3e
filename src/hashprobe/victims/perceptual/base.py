"""What all perceptual hashes share: the library judges, the torch form gives gradients."""

from abc import abstractmethod
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from hashprobe.codes.packed import PackedCodes
from hashprobe.data.arrays import as_bytes
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits
from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher, check_range
from hashprobe.victims.passes import note


OWN_SIZE = InputContract(size=0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""The contract of a hash that takes every picture at its own size and normalises nothing."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""
TINY = 1e-9
"""What makes an output below 0 that is 0 in floating point and whose bit is 0."""


class PerceptualHash(Hasher):
    """A perceptual hash: linear maps of the luma, then a comparison with a threshold.

    `forward` computes it in torch, with gradients. `codes`, which judges, rounds the pixels to 8
    bits and asks the library that defines the hash. Pictures keep their own size; those of one call
    have the same.

    Raises:
        HashprobeError: the library is not installed.

    Example:
        >>> from hashprobe.victims.perceptual import perceptual_hash
        >>> victim = perceptual_hash("ahash")
        >>> victim(torch.rand(2, 3, 20, 30)).shape, len(victim.codes(torch.rand(2, 3, 20, 30)))
        (torch.Size([2, 64]), 2)
    """

    name: ClassVar[str]
    """What it is called."""
    length: ClassVar[int]
    """Bits of a code."""
    library: ClassVar[str]
    """The module that judges."""
    decided_by: ClassVar[tuple[str, ...]]
    """The distributions that decide on the code, that of the module first."""
    least: ClassVar[int] = 1
    """Pixels that each side must have at least."""

    def __init__(self) -> None:
        super().__init__(self.length, OWN_SIZE)
        self.title = self.name
        if find_spec(self.library) is None:
            raise HashprobeError(
                f"{self.name} is judged by {self.decided_by[0]}, which is not installed: pip "
                "install 'hashprobe[perceptual]' (this compiles pdqhash, with a C++ compiler)"
            )

    @property
    def reading(self) -> dict[str, Any]:
        """Which hash it is: part of an attack's recipe, as there are no weights."""
        return {"perceptual hash": self.name}

    @property
    def judged_by(self) -> str:
        """The libraries that decide on the code, with their versions.

        Example:
            >>> from hashprobe.victims.perceptual import perceptual_hash
            >>> perceptual_hash("ahash").judged_by
            'ImageHash ..., Pillow ...'
        """
        return ", ".join(f"{name} {version(name)}" for name in self.decided_by)

    def forward(self, images: Tensor) -> Logits:
        """Real outputs whose signs are the bits of the torch form, with gradients.

        Args:
            images: (N, 3, H, W) in [0, 1], of any size.

        Returns:
            (N, K), about 1 in size for photographs.

        Raises:
            HashprobeError: no such images, too small ones, or pixels that are not in [0, 1].
        """
        if not images.is_floating_point():
            seen = str(images.dtype).removeprefix("torch.")
            raise HashprobeError(f"images must be floating in [0, 1]; got {seen}: divide by 255")
        self.check(images)
        return self.outputs(images)

    def codes(self, *given: Tensor) -> PackedCodes:
        """The code that the library gives for the pixels, rounded to 8 bits.

        Args:
            given: (N, 3, H, W) pixels in [0, 1], or uint8.

        Raises:
            HashprobeError: as `forward`.
        """
        images = given[0].detach()
        self.check(images)
        bytes_ = as_bytes(images).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        bits = np.stack([self.judged(picture) for picture in bytes_])
        note(torch.from_numpy(bits.astype(np.float32)))
        return PackedCodes.from_signs(bits)

    def check(self, images: Tensor) -> None:
        """Refuses what are no pictures that it can hash."""
        if images.ndim != 4 or images.shape[1] != 3 or not len(images):
            raise HashprobeError(
                f"{self.name} takes images (N, 3, H, W); got shape {tuple(images.shape)}"
            )
        height, width = images.shape[-2:]
        if min(height, width) < self.least:
            raise HashprobeError(
                f"{self.name} takes pictures of at least {self.least}x{self.least} pixels; got "
                f"{height}x{width}"
            )
        if images.is_floating_point():
            check_range(images, "images")

    @abstractmethod
    def outputs(self, images: Images) -> Logits:
        """Logits of pictures that are in order."""

    @abstractmethod
    def judged(self, picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, " k"]:
        """The bits that the library gives for one picture."""


def above_middle(values: Tensor) -> Tensor:
    """Distances of values to the middle between the two median ones of each row.

    A value above the median is above the middle, too, and one that is not is below it: the bit is
    `value > median`, and a tie with the median is no bit.

    Args:
        values: (N, K), K even.

    Returns:
        (N, K), never 0 where a value is at most the median.

    Example:
        >>> above_middle(torch.tensor([[4.0, 1.0, 2.0, 8.0]]))
        tensor([[ 1., -2., -1.,  5.]])
    """
    half = values.shape[1] // 2
    ordered = values.sort(1).values[:, half - 1 : half + 1]
    middle = ordered.mean(1, keepdim=True)
    at_most = (values <= ordered[:, :1]).to(values.dtype)
    return values - middle - TINY * at_most
