"""A detector by the bits that noise turns over."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.defenses.detectors.base import Detector, Penalty, Score
from hashprobe.defenses.preprocessors._smoothing import Smoothing
from hashprobe.defenses.preprocessors.base import ATTACKED, eight_bits
from hashprobe.tensors import Images, Logits
from hashprobe.types import check_whole
from hashprobe.victims.base import Hasher


@checked
@dataclass(frozen=True)
class Instability(Detector):
    """The share of bits that noisy copies of a query turn over (the vote of `Smoothing`).

    What an attack has found is often a narrow place: a little noise leads out of it. The noise is
    drawn from the content of the picture and a seed that the attacker does not know; a penalty
    takes other draws, and tanh in place of signs.

    Raises:
        HashprobeError: a noise or a number of copies out of range.

    Example:
        >>> Instability(copies=4).sigma == 8 / 255
        True
    """

    name = "instability"
    title = "Instability under noise"

    sigma: float = 8 / 255
    """Standard deviation of the noise, 0.001 to 1, in units of white."""
    copies: int = 8
    """Noisy copies, 1 to 1000."""
    seed: int = 0
    """The operator's secret."""
    attack_draws: int = 2
    """Draws that an attacker takes the mean of at each step."""

    def __post_init__(self) -> None:
        check_whole("copies", self.copies, 1, 1000)
        Smoothing(self.sigma, seed=self.seed, attack_draws=self.attack_draws)

    def made(
        self, victim: Hasher, logits: Logits, database: PackedCodes | None
    ) -> tuple[Score, Penalty]:
        """Share of bits of the judged code that turn over; and its form with a gradient."""
        noise = Smoothing(self.sigma, 9, self.seed)
        size = logits.abs().mean().clamp_min(1e-12)

        def score(images: Images) -> Float[Tensor, " n"]:
            code, turned = victim.codes(images), np.zeros(len(images))
            for copy in range(self.copies):
                turned += paired_hamming(victim.codes(noise.apply(images, copy)), code)
            return torch.from_numpy(turned / (self.copies * victim.bits))

        def penalty(images: Images, z: Logits) -> Float[Tensor, " n"]:
            total = torch.zeros(len(z), device=z.device)
            for draw in range(self.attack_draws):
                moved = noise.noisy(images, ATTACKED, draw)
                # Without the gradient of the rounding that the operator's copies go through.
                moved = moved + (eight_bits(moved) - moved).detach()
                total = total + (1 - (victim(moved) / size).tanh() * (z / size).tanh()).mean(1) / 2
            return total / self.attack_draws

        return score, penalty
