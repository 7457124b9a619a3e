"""Bit margin, the default attack: steers to the anchor code by the margins of its bits."""

from dataclasses import dataclass

from jaxtyping import Float

from hashprobe.attacks.contract import Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.targets import Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Targets, Tensor
from hashprobe.types import Budget, Runtime, check_whole


SOFT, SHARP = 0.1, 8.0
"""Sharpness of the loss at the first and towards the last step; see docs/results/benchmarks.md."""
MOMENTUM = 0.6
QUICK_STEPS = 10
"""Steps of the attempts that clips are given first."""


@checked
@dataclass(frozen=True)
class BitMarginOptions:
    """Options of the bit-margin attack; docs/results/benchmarks.md says why these defaults.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> BitMarginOptions().steps
        50
    """

    n_t: int = 9
    """How many database codes vote on the anchor code; source: DHTA, section 4.2."""
    steps: int = 50
    """Forward and backward passes per query and start; it leaves when its code is reached. Above
    10, clips are given attempts of 10 steps first."""
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
        check_descent(self.steps, self.step_size, None)


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
    bit's margin that sharpens from step to step, and momentum sign steps that start with all of
    eps and fall to 0. The victim sees every iterate rounded to 8 bits; the image with fewest
    wrong bits is returned, and a query leaves as soon as its code is reached with a margin.

    Most clips need less: 10 steps on a tenth of the frames come first, where the victim looks at
    every frame by itself and a pass through these costs a tenth, and then 10 steps on all frames. A
    clip whose code is reached with a margin is done. A budget of as many frames as a clip has
    leaves the tenth out.

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
    from hashprobe.optim.rule import Steps, UpdateRule
    from hashprobe.optim.steps import SignStep

    def descent(steps: int) -> UpdateRule:
        def objective(z: Logits, anchor: Targets, step: Steps) -> Float[Tensor, " n"]:
            done = (step.to(z.dtype) / steps).unsqueeze(1)
            return bit_margin_loss(z, anchor, SOFT * (SHARP / SOFT) ** done)

        falling = SignStep(lambda done: options.step_size * budget.eps * (1 - done / steps))
        return UpdateRule(objective, falling, steps, momentum=MOMENTUM, eight_bit=True)

    return solve(
        victim,
        queries,
        goal.codes_for(queries.pixels, victim.bits),
        descent(options.steps),
        budget=budget,
        seed=seed,
        runtime=runtime,
        quick=descent(QUICK_STEPS) if queries.clips and options.steps > QUICK_STEPS else None,
        restarts=options.restarts,
    )


ATTACK = Attack("bit-margin", bit_margin, BitMarginOptions, title="Bit margin")
