"""Bit margin, the default attack: steers to the anchor code by the margins of its bits."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jaxtyping import Float

from hashprobe.attacks.contract import MOST_STEPS, Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.targets import Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Targets, TargetSets, Tensor
from hashprobe.types import Budget, Runtime, check_whole


if TYPE_CHECKING:
    from hashprobe.optim.rule import UpdateRule

SOFT, SHARP = 0.1, 8.0
"""Sharpness of the loss at the first and towards the last step, where it grows with the steps
alone: of clips, and of other attacks; see docs/results/benchmarks.md."""
SHARPEST = 16.0
"""Sharpness of the loss of images at the last step, and where no bit is wrong."""
LEAST, EACH = 8, 4
"""Steps that a budget of 0 would take, and what each grey level of it adds."""
MOMENTUM = 0.6
SPARE, THIN, HEAVY = 3, 0.005, 0.9
"""Where a radius is the goal: bits that are pushed beyond those that are enough, the margin up to
which they are pushed, in units of the mean |logit|, and the momentum; see docs/results/audit.md."""
QUICK_STEPS = 10
"""Steps of the attempts that clips are given first."""


@checked
@dataclass(frozen=True)
class BitMarginOptions:
    """Options of the bit-margin attack; docs/results/benchmarks.md says why these defaults.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> BitMarginOptions().restarts
        0
    """

    n_t: int = 9
    """How many database codes vote on the anchor code; source: DHTA, section 4.2."""
    steps: int | None = None
    """Forward and backward passes per query and start; it leaves when its code is reached. By
    default 8 and 4 for each grey level of the budget, at most 50 (40 at 8/255, 16 at 2/255); 50
    for clips and for goals within a radius. Above 10, clips are given attempts of 10 steps
    first."""
    step_size: float = 1.0
    """l-infinity length of the first step, in units of eps; it falls evenly to 0."""
    restarts: int = 0
    """More starts, each of so many steps, for queries whose code was not reached."""
    tie: Tie = "plus"
    """A bit with a tied vote: plus is +1 (DHTA, equation 7), zero is left alone."""

    def __post_init__(self) -> None:
        check_whole("n_t", self.n_t)
        check_whole("restarts", self.restarts, least=0)
        if self.tie not in ("plus", "zero"):
            raise HashprobeError(f"tie must be plus or zero; got {self.tie!r}")
        check_descent(1 if self.steps is None else self.steps, self.step_size, None)


@checked
def bit_margin_loss(
    logits: Logits, targets: Targets, sharpness: float | Float[Tensor, "n 1"]
) -> Float[Tensor, " n"]:
    """(1/K) sum_k log(1 + exp(-a b_k z_k / s)) / a, s being the query's own mean |z|.

    The margin b_k z_k / s of a bit is positive where it is right. A small sharpness a pushes all
    bits alike, as the inner product does; a large one only those that are wrong or nearly so. A
    wrong bit never loses its gradient, however wrong it is; with tanh it does. Dividing by s makes
    the loss the same for networks whose logits differ in scale; s itself gets no gradient.

    Args:
        logits: z, (N, K) real outputs of the victim.
        targets: b, (N, K) with entries -1 and +1; a 0 takes a bit out of the sum.
        sharpness: a, above 0; one for all, or one a query.

    Returns:
        (N,) one loss per query, 0 or above.

    Example:
        >>> import torch
        >>> z, b = torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, 1.0]])
        >>> bit_margin_loss(z, b, 4.0), bit_margin_loss(z, z.sign(), 4.0)
        (tensor([0.5045]), tensor([0.0045]))
    """
    import torch
    from torch.nn.functional import softplus

    mean = logits.detach().abs().mean(1, keepdim=True)
    margins = targets * logits / mean.clamp_min(torch.finfo(mean.dtype).tiny)
    losses = softplus(-sharpness * margins) / sharpness
    return (targets.abs() * losses).mean(1)


def sharpness_by_steps(done: Float[Tensor, " n"]) -> Float[Tensor, "n 1"]:
    """From 0.1 to 8 in equal ratios with the share of the steps that are done."""
    sharp: Tensor = SOFT * (SHARP / SOFT) ** done.unsqueeze(1)
    return sharp


@checked
def sharpness_at(
    logits: Logits, targets: Targets, done: Float[Tensor, " n"]
) -> Float[Tensor, "n 1"]:
    """How sharp the loss of each query is: it grows with the steps, and as its bits come right.

    It goes from 0.1 to 16 in equal ratios with the larger of two shares: of the steps that are
    done, and of the way from half of the bits to none that are wrong.

    Args:
        logits: z, (N, K) real outputs of the victim.
        targets: b, (N, K) with entries -1, 0 and +1.
        done: (N,) share of its steps that each query has behind it, 0 to 1.

    Returns:
        (N, 1) above 0, without a gradient.

    Example:
        >>> import torch
        >>> z, b = torch.tensor([[2.0, -2.0], [2.0, 3.0]]), torch.ones(2, 2)
        >>> sharpness_at(z, b, torch.zeros(2)).flatten()
        tensor([ 0.1000, 16.0000])
    """
    import torch

    counted = targets != 0
    wrong = counted & ((logits.detach() >= 0) != (targets > 0))
    share = wrong.sum(1) / counted.sum(1).clamp_min(1)
    progress = torch.maximum(done, (1 - 2 * share).clamp_min(0).to(done))
    sharp: Tensor = SOFT * (SHARPEST / SOFT) ** progress.unsqueeze(1)
    return sharp


def steps_within(budget: Budget, unit: float = 1.0) -> int:
    """Steps of an image: pixels that may move by few grey levels are soon where they end.

    Args:
        budget: how far a pixel may move.
        unit: [0, 1] pixels in one unit of the budget's space.

    Example:
        >>> [steps_within(Budget(levels / 255)) for levels in (1, 2, 4, 8, 16)]
        [12, 16, 24, 40, 50]
    """
    return min(MOST_STEPS, round(LEAST + EACH * 255 * budget.eps * unit))


@checked
def radius_loss(logits: Logits, targets: TargetSets, enough: int) -> Float[Tensor, " n"]:
    """Sum over the cheapest bits of max(0, m - b_k z_k / s), s being the query's own mean |z|.

    A search that matches within a radius asks for some bits only. The cheapest are those with the
    largest margins b_k z_k at this step: as many as are enough and three more. A bit that has a
    margin of m is left alone, and so are all bits beyond the cheapest.

    Args:
        logits: z, (N, K) real outputs of the victim.
        targets: b, (N, K), or (N, S, K) where so many bits of each of S codes are wanted.
        enough: bits of each target code that have to be right, 1 to K.

    Returns:
        (N,) one loss per query, 0 or above.

    Example:
        >>> import torch
        >>> z, b = torch.tensor([[3.0, -1.0, -2.0, -2.0, -2.0, -9.0]]), torch.ones(1, 6)
        >>> radius_loss(z, b, 1), radius_loss(z, b, 2)
        (tensor([1.5939]), tensor([2.2305]))
    """
    import torch
    from torch.nn.functional import relu

    mean = logits.detach().abs().mean(1, keepdim=True)
    scaled = logits / mean.clamp_min(torch.finfo(mean.dtype).tiny)
    margins = targets * (scaled if targets.ndim == 2 else scaled.unsqueeze(1))
    cheapest = margins.topk(min(enough + SPARE, margins.shape[-1]), dim=-1).values
    return relu(THIN - cheapest).flatten(1).sum(1)


@checked
def bit_margin(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: BitMarginOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to the anchor code by the margins of its bits (hashprobe's default).

    DHTA's goal (Bai et al., ECCV 2020, section 3.2) with another optimisation: a softplus of each
    bit's margin that sharpens as bits come right (`sharpness_at`), and momentum sign steps that
    start with all of eps and fall to 0. The victim sees every iterate rounded to 8 bits; the image
    with fewest wrong bits is returned, and a query leaves as soon as its code is reached with a
    margin. Gradients of images are taken through a copy of the victim whose batch normalisations
    are folded into the layers before them.

    Most clips need less: 10 steps on a tenth of the frames come first, where the victim looks at
    every frame by itself and a pass through these costs a tenth, and then 10 steps on all frames. A
    clip whose code is reached with a margin is done. A budget of as many frames as a clip has
    leaves the tenth out.

    Where the goal is a radius (`Goal.evade`, `Goal.collide`), only the cheapest bits are pushed,
    see `radius_loss`, and a query leaves as soon as enough of them are right.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: anchor codes, from `targets` or `draw_target_codes`.
        budget: l-infinity radius and the space it counts in, at least 1/255 in some channel.
        options: see `BitMarginOptions`.
        seed: 0 or above; with the queries' ids it decides where restarts begin.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype, each
        value a multiple of 1/255 (or the clean one, where no multiple lies within the budget).

    Raises:
        HashprobeError: queries or goal that do not fit, a budget below 1/255, or a victim without
            finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries, goal = Queries(torch.rand(2, 3, 32, 32)), Goal.targeted(torch.ones(2, 16))
        >>> bit_margin(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...            options=BitMarginOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve

    enough = goal.enough or None
    unit = max(victim.contract.std) if budget.space == "normalised" else 1.0
    few = MOST_STEPS if queries.clips or enough is not None else steps_within(budget, unit)
    steps = few if options.steps is None else options.steps
    rule_of = partial(
        descent, length=options.step_size * budget.eps, enough=enough, clips=queries.clips
    )
    return solve(
        victim,
        queries,
        goal.codes_for(queries.pixels, victim.bits, every=True),
        rule_of(steps),
        budget=budget,
        seed=seed,
        runtime=runtime,
        quick=rule_of(QUICK_STEPS) if queries.clips and steps > QUICK_STEPS else None,
        restarts=options.restarts,
        fold=True,
    )


def descent(steps: int, length: float, enough: int | None, clips: bool) -> "UpdateRule":
    """Momentum sign steps from a first length to 0, on the loss of the goal."""
    from hashprobe.optim.rule import MARGIN, Steps, UpdateRule
    from hashprobe.optim.steps import SignStep

    def objective(z: Logits, anchor: TargetSets, step: Steps) -> Float[Tensor, " n"]:
        if enough is not None:
            return radius_loss(z, anchor, enough)
        done = step.to(z.dtype) / steps
        sharp = sharpness_by_steps(done) if clips else sharpness_at(z, anchor, done)
        return bit_margin_loss(z, anchor, sharp)

    momentum, margin = (MOMENTUM, MARGIN) if enough is None else (HEAVY, THIN)
    return UpdateRule(
        objective,
        SignStep.falling(length, steps),
        steps,
        momentum=momentum,
        eight_bit=True,
        enough=enough,
        margin=margin,
    )


ATTACK = Attack(
    "bit-margin", bit_margin, BitMarginOptions, title="Bit margin", demo=True, version=2
)
