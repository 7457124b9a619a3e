"""Point-to-set adversarial training: what the DHTA paper announces as its next step."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.attacks._bit_margin import MOMENTUM, SHARP, SOFT, bit_margin_loss
from hashprobe.checked import checked
from hashprobe.defenses.trainers.anchors import Voters
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.defenses.trainers.bit_losses import bit_cross_entropy
from hashprobe.tensors import Logits
from hashprobe.training.hardening import Batch
from hashprobe.types import check_whole


@checked
@dataclass(frozen=True)
class P2s(Trainer):
    """Point-to-set adversarial training (announced in Bai et al., ECCV 2020, section 5).

    The adversary drives some items of a batch to the anchor code of a random other label, and the
    others away from the anchor code of their own; anchors are votes of n_t codes of the live code
    memory. The network learns the hashing loss on clean items, and to give adversarial items the
    anchor code of their own label. The anchor is the right point on both sides: of all codes it has
    the smallest mean distance to the set that it stands for (theorem 1). With n_t = 1 on both sides
    this is point-to-point adversarial training.

    The inner attack takes few steps down the bit-margin loss, with momentum and steps that fall
    from eps to 0.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> P2s(n_t="all").steps
        3
    """

    name = "p2s"
    title = "P2S"

    steps: int = 3
    """Forward and backward passes of the inner attack."""
    step_size: float | None = None
    """Length of an inner step in pixels; none: all of eps first, falling evenly to 0."""
    momentum: float = MOMENTUM
    """What an inner step keeps of earlier gradients, from 0 to below 1."""
    n_t: Voters = 9
    """How many codes vote on an anchor code, or all; 1 is point-to-point."""
    targeted: float = 0.5
    """Share of the items that are driven to another label, from 0 to 1; the others are driven away
    from their own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within("targeted", 0, 1)
        if self.n_t != "all":
            check_whole("n_t", self.n_t, 1, 100_000)

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """The anchor of another label for some items, the opposite of their own for the others."""
        own = bench.anchors.own(bench.memory, batch.where, self.n_t, batch.draws)
        labels = bench.anchors.other(batch.where, batch.draws)
        other = bench.anchors.of_groups(bench.memory, labels, self.n_t, batch.draws)
        driven = torch.rand(len(batch), generator=batch.draws).to(own) < self.targeted
        return Aim(torch.where(driven[:, None], other, -own), own)

    def inner(
        self, logits: Logits, towards: Float[Tensor, "b k"], done: Float[Tensor, "b 1"]
    ) -> Float[Tensor, " b"]:
        """`bit_margin_loss`, sharper from step to step as in the default attack."""
        return bit_margin_loss(logits, towards, SOFT * (SHARP / SOFT) ** done)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """The hashing loss of clean items plus `bit_cross_entropy` with the own anchor."""
        assert outputs.clean is not None
        attacked = bit_cross_entropy(outputs.attacked, aim.own).mean()
        return bench.hash_loss(outputs.clean, batch) + self.weight * attacked
