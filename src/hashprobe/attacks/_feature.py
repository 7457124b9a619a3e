"""Feature-space attack: the baseline that steers to the features of one image."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from jaxtyping import Float

from hashprobe.attacks._dhta import StepUnit, check_step_unit, step_length
from hashprobe.attacks.contract import LATER, Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.targets import Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Tensor
from hashprobe.types import Budget, Runtime


Rule = Literal["sign", "pgd"]


@checked
@dataclass(frozen=True)
class FeatureOptions:
    """What the feature-space attack can be told.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> FeatureOptions().steps, FeatureOptions(rule="pgd", steps=2000).n_t
        (20, 1)
    """

    rule: Rule = "sign"
    """sign: momentum sign steps (Inkawhich et al., CVPR 2019); pgd: DHTA's unit-l2 steps."""
    steps: int = 20
    """Forward and backward passes per query; Inkawhich et al. take 10 to 20, DHTA's pgd 2,000."""
    step_size: float | None = None
    """none: eps / steps (sign, in l-infinity) or 1 (pgd, in l2, in units of the budget's space)."""
    momentum: float = 1.0
    """What is kept of earlier gradients by the sign rule."""
    step: StepUnit = field(default="unit", metadata=LATER)
    """pgd only: unit or scaled, as DHTA has it."""

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise HashprobeError(f"rule must be sign or pgd; got {self.rule!r}")
        if not 0 <= self.momentum <= 1:
            raise HashprobeError(f"momentum must be from 0 to 1; got {self.momentum}")
        check_step_unit(self.step)
        if self.step == "scaled" and self.rule == "sign":
            raise HashprobeError("step scaled is for rule pgd: sign steps have no l2 length")
        check_descent(self.steps, 1.0 if self.step_size is None else self.step_size, None)

    @property
    def n_t(self) -> int:
        """One image is the target."""
        return 1

    @property
    def tie(self) -> Tie:
        """One code has no ties."""
        return "plus"


def feature_loss(
    features: Float[Tensor, "n f"], targets: Float[Tensor, "n f"], step: Any = None
) -> Float[Tensor, " n"]:
    """||phi(x') - phi(x_t)||_2^2 (Inkawhich et al., section 3).

    Args:
        features: (N, F) of the attacked queries.
        targets: (N, F) of the target images.
        step: plays no part.

    Returns:
        (N,) one loss per query.

    Example:
        >>> import torch
        >>> feature_loss(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        tensor([25.])
    """
    return (features - targets).square().sum(1)


@checked
def feature(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: FeatureOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to the features of one image with the target label (DHTA, table 9).

    Features are what the hash layer is given. The attack is the activation attack of Inkawhich et
    al. (CVPR 2019), which DHTA compares itself with; it starts at the clean query and returns the
    last iterate.

    Args:
        victim: left as it was. Its last layer with learnt outputs is the hash layer.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: its `images` are the targets, one for each query, with floating pixels in [0, 1].
        budget: l-infinity radius and the space it counts in.
        options: see `FeatureOptions`.
        seed: plays no part: nothing is drawn at random here.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or target images that do not fit, or a victim without finite
            gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> images, wanted = torch.rand(2, 2, 3, 32, 32)
        >>> goal = Goal.targeted(torch.ones(2, 16), images=Queries(wanted))
        >>> feature(ImageHasher("small", 16), Queries(images), goal, budget=Budget(8 / 255),
        ...         options=FeatureOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve
    from hashprobe.optim.gradients import outputs_of
    from hashprobe.optim.rule import UpdateRule
    from hashprobe.optim.steps import SignStep, UnitL2Step
    from hashprobe.victims.checks import check_images

    if goal.images is None:
        raise HashprobeError("the feature attack needs target images: give a goal with images")
    check_images(queries.pixels)
    check_images(goal.images.pixels)
    if len(goal.images) != len(queries):
        raise HashprobeError(
            f"{len(goal.images)} target images for {len(queries)} queries: give one per query"
        )
    if options.rule == "sign":
        size = budget.eps / options.steps if options.step_size is None else options.step_size
        rule = UpdateRule(
            objective=feature_loss,
            step=SignStep.steady(size),
            steps=options.steps,
            momentum=options.momentum,
            compared="features",
        )
    else:
        size = 1.0 if options.step_size is None else options.step_size
        rule = UpdateRule(
            objective=feature_loss,
            step=UnitL2Step(step_length(queries.pixels, size, options.step)),
            steps=options.steps,
            compared="features",
        )
    wanted = outputs_of(victim, goal.images, runtime, "features")
    return solve(victim, queries, wanted, rule, budget=budget, seed=seed, runtime=runtime)


ATTACK = Attack(
    "feature",
    feature,
    FeatureOptions,
    title="Feature space",
    needs=frozenset({"gradients", "target images"}),
    baseline=True,
)
