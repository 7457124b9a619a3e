"""P2P: the point-to-point baseline of the DHTA paper, after Tolias et al. (ICCV 2019)."""

from dataclasses import dataclass, field

from hashprobe.attacks._dhta import DhtaOptions, StepUnit, check_step_unit, dhta
from hashprobe.attacks.contract import LATER, Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.targets import Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.tensors import Images
from hashprobe.types import Budget, Runtime


@checked
@dataclass(frozen=True)
class P2pOptions:
    """What P2P can be told; the defaults are the DHTA paper's for images.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> P2pOptions(steps=100).n_t
        1
    """

    steps: int = 2000
    """Forward and backward passes per query; source: DHTA, section 4.2 (videos: 500)."""
    step_size: float = 1.0
    """l2 length of a step, in units of the budget's space; source: DHTA, section 4.2."""
    alpha: float | None = None
    """Slope of tanh; none: from 0.1 to 1 by schedule; source: DHTA, section 4.2 (videos: 0.1)."""
    step: StepUnit = field(default="unit", metadata=LATER)
    """unit: step_size is the l2 length at every picture size; scaled: that at 224 pixels, see
    `DhtaOptions`."""

    def __post_init__(self) -> None:
        check_step_unit(self.step)
        check_descent(self.steps, self.step_size, self.alpha)

    @property
    def n_t(self) -> int:
        """One code is the target: that is what makes it point-to-point."""
        return 1

    @property
    def tie(self) -> Tie:
        """One code has no ties."""
        return "plus"


@checked
def p2p(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: P2pOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to the code of a single item: DHTA with n_t = 1 (DHTA, section 4.2).

    The optimisation is DHTA's, step for step; only the target codes differ.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: codes of single items; `draw_target_codes` with n_t = 1 gives them, with the same seed
            the first of those that vote for DHTA.
        budget: l-infinity radius and the space it counts in.
        options: see `P2pOptions`.
        seed: plays no part: nothing is drawn at random here.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries, goal = Queries(torch.rand(2, 3, 32, 32)), Goal.targeted(torch.ones(2, 16))
        >>> p2p(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...     options=P2pOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    same = DhtaOptions(
        n_t=1,
        steps=options.steps,
        step_size=options.step_size,
        alpha=options.alpha,
        step=options.step,
    )
    return dhta(victim, queries, goal, budget=budget, options=same, seed=seed, runtime=runtime)


ATTACK = Attack("p2p", p2p, P2pOptions, title="P2P", baseline=True, demo=True)
