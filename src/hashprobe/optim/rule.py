"""How a gradient becomes a move of pixels: all that differs from one gradient attack to another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jaxtyping import Float, Int64

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, TargetSets, Tensor
from hashprobe.types import check_whole


Steps: TypeAlias = Int64[Tensor, " n"]
"""How many steps each query has behind it."""
Objective: TypeAlias = Callable[[Logits, TargetSets, Steps], Float[Tensor, " n"]]
"""(logits, target codes, steps so far) -> one loss per query, to be made small."""
Step: TypeAlias = Callable[[Images, Steps], Images]
"""(gradient or momentum, steps so far) -> how to move, both in units of the budget's space."""

MARGIN = 0.05
"""Share of the mean |logit| that every bit of a reached code has behind it."""

Score: TypeAlias = Callable[[Logits, Tensor], Float[Tensor, " n"]]
"""(logits, what the attack gives for each query) -> one number per query, smaller is better."""

Compared: TypeAlias = Literal["codes", "logits", "features", "anything"]


@checked
@dataclass(frozen=True)
class UpdateRule:
    """How an attack lowers its objective: the objective, the step, and what is returned.

    Raises:
        HashprobeError: `eight_bit` with anything but codes.

    Example:
        >>> UpdateRule(
        ...     objective=lambda z, b, step: -(b * z).mean(1),
        ...     step=lambda gradient, step: -gradient.sign() / 255, steps=3).eight_bit
        False
    """

    objective: Objective
    """What is made small."""
    step: Step
    """How a gradient, or the momentum of several, becomes a move."""
    steps: int
    """Forward and backward passes per query."""
    momentum: float = 0.0
    """What is kept of earlier gradients."""
    raw: bool = False
    """Whether gradients go into the momentum as they are, as in torch's SGD; by default each is
    first divided by its mean absolute value, as in MI-FGSM (Dong et al., CVPR 2018)."""
    compared: Compared = "codes"
    """What the objective compares: logits with codes of -1, 0 and +1; logits with any real numbers,
    one a bit; what the hash layer is given with features of the same number; or logits with
    anything that the attack gives for each query, (N, ...)."""
    eight_bit: bool = False
    """Whether the victim sees every iterate rounded to 8 bits, and the best one is returned.

    A query then leaves as soon as its target code is reached with a margin. Without, all steps are
    taken, in floats, and the last iterate is returned, as papers do.
    """

    random_start: bool = False
    """Whether the descent begins at a random point of the budget, not at the clean query."""
    enough: int | None = None
    """How many bits of a target code have to be right; None: all. With several target codes a
    query, so many of each."""
    margin: float = MARGIN
    """A code counts as reached when the weakest bit that counts has this share of the mean |logit|
    behind it."""
    score: Score | None = None
    """What says which iterate is the best, in place of wrong bits; takes `eight_bit`. A query then
    leaves early only at 0 or below."""
    adam: tuple[float, float] | None = None
    """Decay of the first and of the second moment: the step is then given Adam's direction (Kingma
    and Ba, ICLR 2015), and takes all of it times a learning rate."""
    distortion: float = 0.0
    """Weight of the mean squared change of a query's values, which is added to the objective; the
    mean is over values that may change."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise HashprobeError(f"steps must be at least 1; got {self.steps}")
        if not 0 <= self.momentum < float("inf"):
            raise HashprobeError(f"momentum must be 0 or above; got {self.momentum}")
        if self.score is not None and not self.eight_bit:
            raise HashprobeError("score says which 8-bit iterate is the best: it takes eight_bit")
        if self.eight_bit and self.compared != "codes" and self.score is None:
            raise HashprobeError(
                f"eight_bit counts wrong bits of a code: it cannot go with {self.compared}"
            )
        if self.enough is not None:
            check_whole("enough", self.enough)
