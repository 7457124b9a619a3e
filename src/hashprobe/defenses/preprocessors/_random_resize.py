"""A picture of random size in front of a victim."""

from dataclasses import dataclass

import torch

from hashprobe.checked import checked
from hashprobe.defenses.preprocessors._resize import there_and_back
from hashprobe.defenses.preprocessors.base import (
    ATTACKED,
    JUDGED,
    Preprocessor,
    chances,
    check_number,
    eight_bits,
)
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images
from hashprobe.types import check_seed, check_whole


@checked
@dataclass(frozen=True)
class RandomResize(Preprocessor):
    """Makes every picture smaller by a random share and large again (Xie et al., ICLR 2018).

    The share is drawn from the content of the picture and the seed, so that the same picture always
    meets the same one. An attacker does not know it: the mean over draws of its own is attacked.

    Raises:
        HashprobeError: shares or draws out of range.

    Example:
        >>> pictures = torch.rand(2, 3, 16, 24)
        >>> bool((RandomResize().apply(pictures) == RandomResize().apply(pictures)).all())
        True
    """

    name = "random-resize"

    low: float = 0.5
    """Smallest share of the sides, 0.05 to 1."""
    high: float = 0.95
    """Largest share of the sides, at least `low`."""
    seed: int = 0
    """The operator's secret."""
    attack_draws: int = 3
    """Draws that an attacker takes the mean of at each step."""

    def __post_init__(self) -> None:
        check_number(self, "low", 0.05, 1)
        check_number(self, "high", 0.05, 1)
        if self.high < self.low:
            raise HashprobeError(f"{self.name}: high must be at least low; got {self.high:g}")
        check_seed(self.seed)
        check_whole("attack_draws", self.attack_draws, 1, 1000)

    @property
    def title(self) -> str:
        """Its name and range."""
        return f"random resize to {self.low:.0%} to {self.high:.0%} and back"

    @property
    def draws(self) -> int:
        """Draws of an attacker's step."""
        return self.attack_draws

    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """Pictures at a random size, and large again."""
        return eight_bits(self.resized(pixels.detach(), JUDGED, copy))

    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same with an attacker's draws, without rounding."""
        return self.resized(pixels, ATTACKED, draw)

    def resized(self, pixels: Images, stream: int, number: int) -> Images:
        """Pictures, each with a share of its own."""
        made = []
        for row, chance in enumerate(chances(pixels, self.seed, stream, number)):
            share = self.low + (self.high - self.low) * float(torch.rand((), generator=chance))
            made.append(there_and_back(pixels[row : row + 1], share))
        return torch.cat(made)
