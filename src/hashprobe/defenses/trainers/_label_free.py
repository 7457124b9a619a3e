"""Label-free robust fine-tuning: a network keeps its own codes under attack."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from hashprobe.checked import checked
from hashprobe.defenses.trainers.anchors import majority
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.tensors import Logits
from hashprobe.training.hardening import Batch


SIZE = "size"


@checked
@dataclass(frozen=True)
class LabelFree(Trainer):
    """Robust fine-tuning without labels (DinoHash, arXiv 2503.11195).

    The frozen network of the start says what each bit should be. The adversary drives the code of
    an item away from it; the network learns BCE(a z_adv, sigmoid(a z_0)) + c BCE(a z, sigmoid(a
    z_0)), so that clean codes stay near what a database holds already; how near depends on the
    learning rate. Published are ten inner steps, a = 10, c = 500; here a is in units of the mean
    |z_0|, so that any network is taken as it is, and it is trained in evaluation mode.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> LabelFree.needs_labels
        False
    """

    name = "label-free"
    title = "Label-free"
    needs_labels = False
    needs_trained = True
    stays_in_eval = True
    step_share = None
    tuned_lr = 3e-5

    steps: int = 10
    """Forward and backward passes of the inner attack."""
    step_size: float | None = None
    """Length of an inner step in pixels; none: all of eps first, falling evenly to 0."""
    momentum: float = 0.6
    """What an inner step keeps of earlier gradients, from 0 to below 1."""
    clean_weight: float = 500.0
    """c: weight of the clean items' own cross-entropy, 0 or above."""
    sharpness: float = 10.0
    """a: slope at which a logit of mean size counts as a sure bit, above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within("clean_weight", 0, 1e6)
        self.within("sharpness", 0.01, 1e4)

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """Away from the code at the start."""
        logits = bench.teacher_logits(batch)
        if SIZE not in bench.numbers:
            bench.numbers[SIZE] = max(float(logits.abs().mean()), 1e-12)
        return Aim(-majority(logits), logits)

    def inner(
        self, logits: Logits, towards: Float[Tensor, "b k"], done: Float[Tensor, "b 1"]
    ) -> Float[Tensor, " b"]:
        """-mean_k b_k tanh(z_k / mean |z|)."""
        size = logits.detach().abs().mean(1, keepdim=True).clamp_min(1e-12)
        return -(towards * (logits / size).tanh()).mean(1)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """Cross-entropy of adversarial and of clean bits with those at the start."""
        assert outputs.clean is not None
        scale = self.sharpness / bench.numbers[SIZE]
        chance = (scale * aim.own).sigmoid()
        attacked = cross_entropy(scale * outputs.attacked, chance)
        clean = cross_entropy(scale * outputs.clean, chance)
        return self.weight * attacked + self.clean_weight * clean
