"""A vote of noisy copies in front of a victim."""

from dataclasses import dataclass

import torch

from hashprobe.checked import checked
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
class Smoothing(Preprocessor):
    """The majority of the codes of noisy copies, bit by bit (Cohen et al., ICML 2019).

    The noise is drawn from the content of the picture and the seed, so that the same picture always
    has the same code. An attacker does not know it: the mean of the logits over noise of its own is
    attacked, with every draw and its negative, so that a linear victim is attacked as it is.

    Raises:
        HashprobeError: a noise, copies or draws out of range, or an even number of copies.

    Example:
        >>> from hashprobe.defenses import defended
        >>> from hashprobe.victims import ImageHasher
        >>> victim = defended(ImageHasher("small", 16).eval(), Smoothing(votes=3))
        >>> victim.codes(torch.rand(2, 3, 32, 32))
        PackedCodes(2 x 16 bits)
    """

    name = "smoothing"

    sigma: float = 16 / 255
    """Standard deviation of the noise, 0.001 to 1, in units of white."""
    votes: int = 9
    """Noisy copies, odd, 1 to 1000."""
    seed: int = 0
    """The operator's secret."""
    attack_draws: int = 4
    """Draws that an attacker takes the mean of at each step, negatives included."""

    def __post_init__(self) -> None:
        check_number(self, "sigma", 0.001, 1)
        check_whole("votes", self.votes, 1, 1000)
        check_whole("attack_draws", self.attack_draws, 1, 1000)
        check_seed(self.seed)
        if self.votes % 2 == 0:
            raise HashprobeError(f"smoothing: votes must be odd; got {self.votes}")

    @property
    def title(self) -> str:
        """Its name, copies and noise."""
        return f"vote of {self.votes} copies with noise of {255 * self.sigma:.3g}/255"

    @property
    def copies(self) -> int:
        """Noisy copies that vote."""
        return self.votes

    @property
    def draws(self) -> int:
        """Draws of an attacker's step."""
        return self.attack_draws

    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """One noisy copy of each picture."""
        return eight_bits(self.noisy(pixels.detach(), JUDGED, copy))

    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same with an attacker's draws, without rounding."""
        pair, negative = divmod(draw, 2)
        return self.noisy(pixels, ATTACKED, pair, -1 if negative else 1)

    def noisy(self, pixels: Images, stream: int, number: int, sign: int = 1) -> Images:
        """Pictures, each with noise of its own, within black and white."""
        noise = torch.stack(
            [
                torch.randn(pixels.shape[1:], generator=chance)
                for chance in chances(pixels, self.seed, stream, number)
            ]
        )
        return (pixels + sign * self.sigma * noise.to(pixels)).clamp(0, 1)
