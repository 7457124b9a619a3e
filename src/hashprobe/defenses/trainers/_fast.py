"""Fast adversarial training: one step from a random start, watched for catastrophic overfitting."""

from dataclasses import dataclass

from hashprobe.checked import checked
from hashprobe.defenses.trainers._p2s import Own, P2s, Push
from hashprobe.defenses.trainers.base import Bench, Turned


FAIR, FEW = 2.5, 0.1
"""Single steps are not trusted any more when ten turn over so many times as many bits, and at least
such a share of them."""
RESCUE = "rescued"


@checked
@dataclass(frozen=True)
class Fast(P2s):
    """Single-step adversarial training (Wong et al., ICLR 2020) with the goals of P2S.

    One sign step of 1.25 eps from a random start. Such a training can break down: the network
    learns to resist single steps alone. After each epoch an attack of ten steps is compared with
    the single one on training items; where it turns over far more bits, the training goes on with
    several steps.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> Fast().steps, round(255 * Fast().length)
        (1, 10)
    """

    name = "fast"
    title = "Single step"
    step_share = 1.25

    steps: int = 1
    """Forward and backward passes of the inner attack."""
    step_size: float | None = None
    """Length of an inner step in pixels; none: 1.25 eps."""
    targeted: float = 0.0
    """Share of the items that are driven to another label, from 0 to 1; the others are driven away
    from their own."""
    own: Own = "vote"
    """What stands for an item's own label: the vote of n_t of its codes, or its centre code."""
    push: Push = "margin"
    """What the adversary makes small: the bit-margin loss, or minus the inner product."""
    rescue_steps: int = 3
    """Inner steps after a breakdown, falling from eps; 0 goes on with single ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within("rescue_steps", 0, 1000)

    def look(self, bench: Bench, turned: Turned) -> str | None:
        """Compares ten steps with the single one."""
        if bench.numbers.get(RESCUE):
            return None
        single, many = turned(self.steps, self.length), turned(10, self.eps / 4)
        if many < FEW or many < FAIR * single:
            return None
        bench.numbers[RESCUE] = 1.0
        said = (
            f"catastrophic overfitting: ten steps turn over {many:.0%} of the bits and "
            f"{self.steps} only {single:.0%}"
        )
        return f"{said}; the training goes on with {self.rescue_steps or self.steps} steps"

    def steps_now(self, bench: Bench) -> tuple[int, float | None]:
        """Several steps after a breakdown."""
        if bench.numbers.get(RESCUE) and self.rescue_steps:
            return self.rescue_steps, None
        return self.steps, self.length
