"""CRDAT: a robust student of a clean teacher."""

from dataclasses import dataclass

from torch import Tensor

from hashprobe.checked import checked
from hashprobe.defenses.trainers.anchors import majority
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.training.hardening import Batch
from hashprobe.victims.features import hash_layer_input


@checked
@dataclass(frozen=True)
class Crdat(Trainer):
    """Robust distillation from a clean teacher (CRDAT, SIGIR 2025).

    The student learns to give for an adversarial item the code and the feature that the teacher
    gives for the clean one: -mean(u_adv sign(z_teacher)) + c mean((phi_adv - phi_teacher)^2). The
    adversary drives items away from the teacher's code. The teacher is the network at the start,
    so this hardens a trained one; the student sees adversarial items alone.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> Crdat.needs_trained
        True
    """

    name = "crdat"
    title = "CRDAT"
    needs_labels = False
    needs_trained = True
    sees_clean = False
    sees_features = True

    feature_weight: float = 1.0
    """c: weight of the mean squared difference of features, 0 or above."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within("feature_weight", 0, 1e6)

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """Away from the teacher's code."""
        code = majority(bench.teacher_logits(batch))
        return Aim(-code, code)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """Distance of code and feature from the teacher's."""
        assert bench.teacher is not None and outputs.features is not None
        with hash_layer_input(bench.teacher) as seen:
            bench.teacher_logits(batch)
        near = (outputs.attacked.tanh() * aim.own).mean()
        far = ((outputs.features - seen[-1]) ** 2).mean()
        return self.weight * -near + self.feature_weight * far
