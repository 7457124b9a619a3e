"""CgAT: adversarial training away from, and back to, the centre code of the own label."""

from dataclasses import dataclass

from torch import Tensor

from hashprobe.checked import checked
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.training.hardening import Batch


@checked
@dataclass(frozen=True)
class Cgat(Trainer):
    """Centre-guided adversarial training (Wang et al., WWW 2023).

    The centre code c of an item is the sign of the mean of the relevant codes less the mean of the
    others, from the live code memory. The adversary makes mean(u c) small, by 7 steps of eps / 4
    from a random start; the network learns the hashing loss and to make it large. The released code
    runs the attack with dropout (`attack_mode="train"`); here the network is in evaluation mode.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> Cgat().steps
        7
    """

    name = "cgat"
    title = "CgAT"

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """Away from the centre code."""
        centre = bench.anchors.centre(bench.memory, batch.where)
        return Aim(-centre, centre)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """The hashing loss of clean items less the mean of u_adv c."""
        assert outputs.clean is not None
        near = (outputs.attacked.tanh() * aim.own).mean()
        return bench.hash_loss(outputs.clean, batch) - self.weight * near
