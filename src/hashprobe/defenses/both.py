"""Two hashes that must agree: a match is one of both."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Logits
from hashprobe.types import check_whole
from hashprobe.victims.base import Hasher


class BothHashes(Hasher):
    """Two victims as one, whose code is that of the first followed by that of the second.

    An item matches where both parts match, each within a radius of its own: `parts` takes codes
    apart, and `match_both` compares. Logits of each part are divided by their mean size, so that an
    attack weighs the bits of both alike.

    Args:
        first: any victim of images.
        second: another one that takes pictures of the same size, or of any.

    Raises:
        HashprobeError: victims of clips, or of different sizes.

    Example:
        >>> from hashprobe.victims import perceptual_hash
        >>> both = BothHashes(perceptual_hash("pdq"), perceptual_hash("phash"))
        >>> both.bits, [part.bits for part in both.parts(both.codes(torch.rand(2, 3, 20, 30)))]
        (320, [256, 64])
    """

    @checked
    def __init__(self, first: Hasher, second: Hasher) -> None:
        contracts = [each.contract for each in (first, second)]
        sizes = {each.size for each in contracts if each.size}
        if any(each.frames for each in contracts) or len(sizes) > 1:
            seen = " and ".join("clips" if c.frames else f"{c.size} px" for c in contracts)
            raise HashprobeError(f"two hashes must take pictures of one size; these take {seen}")
        super().__init__(first.bits + second.bits, max(contracts, key=lambda each: each.size))
        self.first, self.second = first, second

    @property
    def reading(self) -> dict[str, Any]:
        """How both are read: part of an attack's recipe."""
        return {"both": [getattr(each, "reading", {}) for each in (self.first, self.second)]}

    def forward(self, images: Tensor) -> Logits:
        """Logits of the first, then of the second, each part of a mean size of 1.

        Args:
            images: (N, 3, H, W) in [0, 1].
        """
        # A copy: the first may write into what it is given.
        return alike(self.first(images.clone()), self.second(images))

    def operator_logits(self, images: Tensor) -> Logits:
        """The same of the logits that the operator gets.

        Args:
            images: (N, 3, H, W) in [0, 1].
        """
        first = self.first.operator_logits(images.clone())
        return alike(first, self.second.operator_logits(images))

    def codes(self, *given: Tensor) -> PackedCodes:
        """The judged codes of the first, followed by those of the second.

        Args:
            given: (N, 3, H, W) pixels in [0, 1].
        """
        parts = [self.first.codes(given[0].clone()), self.second.codes(given[0])]
        return PackedCodes.from_signs(np.hstack([part.signs() for part in parts]))

    def parts(self, codes: PackedCodes) -> tuple[PackedCodes, PackedCodes]:
        """The codes of the first and of the second out of codes of both.

        Args:
            codes: N codes of this victim.

        Raises:
            HashprobeError: codes of another length.
        """
        if codes.bits != self.bits:
            raise HashprobeError(f"codes of both hashes have {self.bits} bits; got {codes.bits}")
        if not len(codes):
            return PackedCodes.empty(self.first.bits), PackedCodes.empty(self.second.bits)
        first, second = np.split(codes.signs(), [self.first.bits], axis=1)
        return PackedCodes.from_signs(first), PackedCodes.from_signs(second)


def alike(*parts: Tensor) -> Logits:
    """Logits of several victims side by side, each part of a mean size of 1."""
    sizes = [part.detach().abs().mean(1, keepdim=True) for part in parts]
    tiny = torch.finfo(parts[0].dtype).tiny
    return torch.cat(
        [part / size.clamp_min(tiny) for part, size in zip(parts, sizes, strict=True)], 1
    )


@checked
def match_both(
    first: Integer[np.ndarray, "*shape"],
    second: Integer[np.ndarray, "*other"],
    first_radius: int,
    second_radius: int,
) -> Bool[np.ndarray, "*shape"]:
    """Which pairs match where two hashes must agree: each distance within its own radius.

    Args:
        first: distances of the first hash, of any shape.
        second: those of the second hash, of the same pairs.
        first_radius: largest distance at which the first matches.
        second_radius: largest distance at which the second does.

    Raises:
        HashprobeError: distances of different shapes, or a radius below 0.

    Example:
        >>> match_both(np.array([[3, 40]]), np.array([[4, 2]]), 31, 10)
        array([[ True, False]])
    """
    check_whole("first radius", first_radius, 0)
    check_whole("second radius", second_radius, 0)
    if first.shape != second.shape:
        raise HashprobeError(
            f"distances of two hashes must be of the same pairs; got shapes {first.shape} and "
            f"{second.shape}"
        )
    matches: np.ndarray = (first <= first_radius) & (second <= second_radius)
    return matches
