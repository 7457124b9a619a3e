"""Mainstay: the attack of SAAT (Yuan et al., TIFS 2023), away from a label's codes or to them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jaxtyping import Float

from hashprobe.attacks._dhta import slopes
from hashprobe.attacks.contract import Attack, Hasher, Start, check_descent, check_start
from hashprobe.attacks.descents import sign_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import known_of, weighted_centre
from hashprobe.attacks.targets import TargetCode, Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Targets, Tensor
from hashprobe.types import Budget, Runtime


if TYPE_CHECKING:
    from hashprobe.optim.rule import UpdateRule


@checked
@dataclass(frozen=True)
class MainstayOptions:
    """What mainstay can be told; the defaults are those of the release.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> MainstayOptions().steps
        100
    """

    steps: int = 100
    """Forward and backward passes per query."""
    step_size: float = 1 / 255
    """l-infinity length of a step, in units of the budget's space."""
    alpha: float | None = None
    """Slope of tanh; none: from 0.1 to 1 by DHTA's schedule."""
    margin: float = 0.5
    """How far beyond 0, in tanh, a bit must be right to count no more."""
    start: Start = "random"
    """Where queries begin: at a random point of the budget, or where they are."""

    def __post_init__(self) -> None:
        check_descent(self.steps, self.step_size, self.alpha)
        if not 0 <= self.margin <= 1:
            raise HashprobeError(f"margin must be from 0 to 1; got {self.margin}")
        check_start(self.start)


@checked
@dataclass(frozen=True)
class MainstayTargetedOptions(MainstayOptions):
    """What the targeted form can be told.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> MainstayTargetedOptions().code
        'weighted'
    """

    n_t: int = field(default=1, kw_only=True)
    """Fewest database items with the target label."""
    tie: Tie = field(default="plus", kw_only=True)
    """A tied bit is +1."""

    @property
    def code(self) -> TargetCode:
        """The target code is the label's mainstay code."""
        return "weighted"


@checked
def mainstay_loss(
    logits: Logits, targets: Targets, alpha: float | Float[Tensor, "n 1"], margin: float = 0.5
) -> Float[Tensor, " n"]:
    """-sum_k w_k (s_k + 2) s_k / max(1, sum_k w_k), with s = u b and w_k = 1 where s_k < t.

    SAAT's targeted form, section III, with u = tanh(alpha z). The release counts w over its batch,
    which is 0 / 0 once every bit is done; here each query has its own count, at least 1.

    Args:
        logits: z, (N, K).
        targets: b, (N, K) with entries -1 and +1; a 0 takes a bit out.
        alpha: slope of tanh at 0; one for all, or one a query.
        margin: t.

    Returns:
        (N,) one loss per query.

    Example:
        >>> import torch
        >>> z, b = torch.tensor([[0.0, 9.0]]), torch.ones(1, 2)
        >>> mainstay_loss(z, b, 1.0), mainstay_loss(z - 9, b, 1.0)
        (tensor([-0.]), tensor([0.5000]))
    """
    soft = targets * (alpha * logits).tanh()
    open_ = ((soft < margin) & (targets != 0)).to(soft)
    return -(open_ * (soft + 2) * soft).sum(1) / open_.sum(1).clamp_min(1)


@checked
def mainstay_away_loss(
    logits: Logits, centre: Targets, alpha: float | Float[Tensor, "n 1"], margin: float = 0.5
) -> Float[Tensor, " n"]:
    """sum_k w_k (s_k + 2) s_k / max(1, sum_k w_k), with s = u m and w_k = 1 where s_k > -t.

    SAAT's untargeted form, section III; see `mainstay_loss`.

    Args:
        logits: z, (N, K).
        centre: m, (N, K), the mainstay code of the query's own label.
        alpha: slope of tanh at 0; one for all, or one a query.
        margin: t.

    Returns:
        (N,) one loss per query.

    Example:
        >>> import torch
        >>> z, m = torch.tensor([[9.0, -9.0]]), torch.ones(1, 2)
        >>> mainstay_away_loss(z, m, 1.0)
        tensor([3.0000])
    """
    soft = centre * (alpha * logits).tanh()
    open_ = (soft > -margin).to(soft)
    return (open_ * (soft + 2) * soft).sum(1) / open_.sum(1).clamp_min(1)


@checked
def mainstay(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: MainstayOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Drives queries away from the mainstay code of their own label (SAAT, section III).

    The mainstay code is `weighted_centre` of the items that share a label. Sign steps on
    `mainstay_away_loss` from a random start, projected onto the budget; the last iterate is
    returned. Deviations: the codes are those of the database, where the release takes the training
    set; each query counts its own open bits.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: `own_labels` of the queries, and the `known` database.
        budget: l-infinity radius and the space it counts in.
        options: see `MainstayOptions`.
        seed: 0 or above; with the queries' ids it decides where they begin.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from hashprobe.codes import Codes
        >>> from hashprobe.victims import ImageHasher
        >>> known = Codes.of(np.eye(16, dtype=np.int8), np.arange(16) % 2)
        >>> goal = Goal.untargeted(np.eye(2, dtype=bool), known)
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> mainstay(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...          options=MainstayOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    import torch

    from hashprobe.optim.attempts import solve

    database, labels = known_of(goal, goal.own_labels, "mainstay", len(queries))
    centres = torch.from_numpy(weighted_centre(database, labels)).to(queries.pixels)
    rule = rule_of(mainstay_away_loss, options)
    return solve(victim, queries, centres, rule, budget=budget, seed=seed, runtime=runtime)


@checked
def mainstay_targeted(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: MainstayTargetedOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to the mainstay code of a target label (SAAT's targeted form).

    As `mainstay`, with `mainstay_loss`; the target code is the label's `weighted_centre`.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: target codes.
        budget: l-infinity radius and the space it counts in.
        options: see `MainstayTargetedOptions`.
        seed: 0 or above; with the queries' ids it decides where they begin.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries, goal = Queries(torch.rand(2, 3, 32, 32)), Goal.targeted(torch.ones(2, 16))
        >>> mainstay_targeted(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...                   options=MainstayTargetedOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve

    codes = goal.codes_for(queries.pixels, victim.bits)
    rule = rule_of(mainstay_loss, options)
    return solve(victim, queries, codes, rule, budget=budget, seed=seed, runtime=runtime)


def rule_of(loss: Callable[..., Tensor], options: MainstayOptions) -> "UpdateRule":
    """Sign steps on one of the two losses."""
    from hashprobe.optim.rule import Steps

    def objective(z: Logits, codes: Targets, step: Steps) -> Float[Tensor, " n"]:
        return loss(z, codes, slopes(z, step, options.steps, options.alpha), options.margin)

    return sign_descent(objective, options)


ATTACKS = (
    Attack(
        "mainstay-targeted",
        mainstay_targeted,
        MainstayTargetedOptions,
        title="SAAT, targeted",
        baseline=True,
    ),
    Attack(
        "mainstay",
        mainstay,
        MainstayOptions,
        title="SAAT",
        goal="untargeted",
        needs=frozenset({"gradients", "database"}),
        baseline=True,
    ),
)
