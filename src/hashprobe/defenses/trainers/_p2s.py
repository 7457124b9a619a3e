"""Point-to-set adversarial training: what the DHTA paper announces as its next step."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.attacks._bit_margin import MOMENTUM, SHARP, SOFT, bit_margin_loss
from hashprobe.checked import checked
from hashprobe.defenses.trainers.anchors import Voters
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.defenses.trainers.bit_losses import bit_cross_entropy
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Logits
from hashprobe.training.hardening import Batch
from hashprobe.types import check_whole


STEP = 0.75
"""Length of an inner step in units of eps."""
LARGE = 4.0
"""Mean |logit| beyond which logits are brought back to it before tanh, which has no gradient left
there."""
Own: TypeAlias = Literal["vote", "centre"]
Push: TypeAlias = Literal["margin", "product"]


@checked
@dataclass(frozen=True)
class P2s(Trainer):
    """Point-to-set adversarial training (announced in Bai et al., ECCV 2020, section 5).

    The adversary drives some items of a batch to the anchor code of a random other label, the vote
    of n_t codes of the live code memory, and the others away from the centre code of their own. The
    network learns the hashing loss on clean items, and to give adversarial items that centre code.
    Of all codes the anchor has the smallest mean distance to the set that it stands for (theorem
    1); the centre code has the smallest mean distance to its own set less that to all other codes.

    Two sign steps leave time for more epochs than the seven of other recipes. With `own="vote"` and
    n_t = 1 this is point-to-point adversarial training. The first defaults were `own="vote",
    push="margin", steps=3, momentum=0.6`; docs/results/defences.md says what was tried.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> P2s(n_t="all").steps
        2
    """

    name = "p2s"
    title = "P2S"
    step_share: ClassVar[float | None] = None
    later: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {**Trainer.later, "own": "vote", "push": "margin"}
    )
    first: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"own": "vote", "push": "margin", "steps": 3, "momentum": MOMENTUM}
    )

    steps: int = 2
    """Forward and backward passes of the inner attack."""
    step_size: float | None = None
    """Length of an inner step in pixels; none: three quarters of eps, and with margin all of eps
    first, falling evenly to 0."""
    n_t: Voters = 9
    """How many codes vote on an anchor code, or all; 1 is point-to-point. Items are driven to label
    vectors that at least so many items carry, or, where there is none, to those of the most items;
    with all, to any."""
    targeted: float = 0.5
    """Share of the items that are driven to another label, from 0 to 1; the others are driven away
    from their own."""
    own: Own = "centre"
    """What stands for an item's own label: the sign of the mean of its codes less the mean of all
    others (centre), or the vote of n_t of its codes."""
    push: Push = "product"
    """What the adversary makes small: minus the inner product of tanh(z) with where it goes, or the
    bit-margin loss (margin)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within("targeted", 0, 1)
        for option, known in (("own", Own), ("push", Push)):
            if (value := getattr(self, option)) not in get_args(known):
                choices = " or ".join(get_args(known))
                raise HashprobeError(f"{self.name}: {option} must be {choices}; got {value!r:.40}")
        if self.n_t != "all":
            check_whole("n_t", self.n_t, 1, 100_000)

    def steps_now(self, bench: Bench) -> tuple[int, float | None]:
        """Inner steps and their length."""
        if self.push == "margin" or self.step_size is not None:
            return self.steps, self.step_size
        return self.steps, STEP * self.eps

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """The anchor of another label for some items, away from their own for the others."""
        if self.own == "centre":
            own = bench.anchors.centre(bench.memory, batch.where)
        else:
            own = bench.anchors.own(bench.memory, batch.where, self.n_t, batch.draws)
        labels = bench.anchors.other(batch.where, batch.draws, self.n_t)
        other = bench.anchors.of_groups(bench.memory, labels, self.n_t, batch.draws)
        driven = torch.rand(len(batch), generator=batch.draws).to(own) < self.targeted
        return Aim(torch.where(driven[:, None], other, -own), own)

    def inner(
        self, logits: Logits, towards: Float[Tensor, "b k"], done: Float[Tensor, "b 1"]
    ) -> Float[Tensor, " b"]:
        """Minus the inner product, or `bit_margin_loss`, which is sharper from step to step."""
        if self.push == "product":
            size = logits.detach().abs().mean(1, keepdim=True)
            return super().inner(logits / (size / LARGE).clamp_min(1), towards, done)
        return bit_margin_loss(logits, towards, SOFT * (SHARP / SOFT) ** done)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """The hashing loss of clean items plus `bit_cross_entropy` with the code of their own."""
        assert outputs.clean is not None
        attacked = bit_cross_entropy(outputs.attacked, aim.own).mean()
        return bench.hash_loss(outputs.clean, batch) + self.weight * attacked
