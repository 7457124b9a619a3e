"""Fewer grey levels in front of a victim."""

from dataclasses import dataclass

from hashprobe.checked import checked
from hashprobe.defenses.preprocessors.base import Preprocessor, eight_bits, straight_through
from hashprobe.tensors import Images
from hashprobe.types import check_whole


@checked
@dataclass(frozen=True)
class BitDepth(Preprocessor):
    """Brings every picture to a few levels a channel (Xu et al., NDSS 2018, feature squeezing).

    An attacker goes through it by the straight-through gradient.

    Raises:
        HashprobeError: a depth out of range.

    Example:
        >>> import torch
        >>> pixels = torch.tensor([0.1, 0.4, 0.9]).view(1, 3, 1, 1)
        >>> BitDepth(1).apply(pixels).flatten()
        tensor([0., 0., 1.])
    """

    name = "bit-depth"

    bits: int = 4
    """Bits a channel, 1 to 8: 2^bits levels from black to white."""

    def __post_init__(self) -> None:
        check_whole("bits of bit-depth", self.bits, 1, 8)

    @property
    def title(self) -> str:
        """Its name and depth."""
        return f"{self.bits} bits a channel"

    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """Pictures at so many levels."""
        steps = 2**self.bits - 1
        # The nearest of the 8-bit levels that the few levels are stored as.
        return eight_bits((eight_bits(pixels) * steps).round() / steps)

    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same, with the gradient of the pixels themselves."""
        return straight_through(pixels, self.apply(pixels))
