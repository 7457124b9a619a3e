"""SAAT: adversarial training by the mainstay code."""

from dataclasses import dataclass

from torch import Tensor

from hashprobe.checked import checked
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.training.hardening import Batch


@checked
@dataclass(frozen=True)
class Saat(Trainer):
    """Semantic-aware adversarial training (IEEE TIFS 2023).

    The mainstay code of an item is the sign of the mean of the relevant codes, weighted by the
    cosine of the label vectors, less the mean of the others. The adversary makes mean(u b) small,
    by 7 steps of eps / 4 from a random start; the network learns the hashing loss, to make it
    large, and to keep adversarial codes near to signs.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> Saat().quantisation
        0.0001
    """

    name = "saat"
    title = "SAAT"

    quantisation: float = 1e-4
    """Weight of mean((u_adv - sign u_adv)^2), 0 or above; mu in the paper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within("quantisation", 0, 1e6)

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """Away from the mainstay code."""
        mainstay = bench.anchors.centre(bench.memory, batch.where, cosine=True)
        return Aim(-mainstay, mainstay)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """Hashing loss - lambda mean(u_adv b) + mu mean((u_adv - sign u_adv)^2)."""
        assert outputs.clean is not None
        codes = outputs.attacked.tanh()
        near, rest = (codes * aim.own).mean(), ((codes.abs() - 1) ** 2).mean()
        clean = bench.hash_loss(outputs.clean, batch)
        return clean - self.weight * near + self.quantisation * rest
