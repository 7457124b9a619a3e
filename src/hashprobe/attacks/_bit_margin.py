"""Bit margin, the default attack: steers to the anchor code by the margins of its bits."""

from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor

from hashprobe.attacks.contract import QueryIds, check_descent
from hashprobe.attacks.objectives import bit_margin_loss
from hashprobe.attacks.targets import Tie
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import minimise
from hashprobe.optim.rule import Descent, Steps
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher


SOFT, SHARP = 0.1, 8.0
"""Sharpness of the loss at the first and towards the last step; docs/benchmarks.md has why."""
MOMENTUM = 0.6
QUICK_STEPS = 10
"""Steps of the attempts that clips are given first."""


@dataclass(frozen=True)
class BitMarginOptions:
    """What the bit-margin attack can be told; docs/benchmarks.md says how the defaults came.

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
    """l-infinity length of the first step, in units of eps; it falls evenly to nothing."""
    restarts: int = 0
    """More starts, each of so many steps, for queries whose code was not reached."""
    tie: Tie = "plus"
    """A bit with a tied vote: plus is +1 (DHTA, equation 7), zero is left alone."""

    def __post_init__(self) -> None:
        if self.n_t < 1:
            raise HashprobeError(f"n_t must be at least 1; got {self.n_t}")
        if self.restarts < 0:
            raise HashprobeError(f"restarts must be 0 or above; got {self.restarts}")
        if self.tie not in ("plus", "zero"):
            raise HashprobeError(f"tie must be plus or zero; got {self.tie!r}")
        check_descent(self.steps, self.step_size, None)


def sharpen(logits: Logits, targets: Targets, step: Steps, *, steps: int) -> Float[Tensor, " n"]:
    """The loss with the sharpness of each query's step, growing by the same factor a step."""
    done = (step.to(logits.dtype) / steps).unsqueeze(1)
    return bit_margin_loss(logits, targets, SOFT * (SHARP / SOFT) ** done)


def signed_step(momentum: Images, step: Steps, *, size: float, steps: int) -> Images:
    """-size (1 - step / steps) sign(momentum), for each query."""
    left = (1 - step.to(momentum.dtype) / steps).view(-1, *[1] * (momentum.ndim - 1))
    return -size * left * momentum.sign()


def bit_margin(
    hasher: Hasher,
    images: Images,
    targets: Targets,
    *,
    budget: Budget,
    options: BitMarginOptions,
    seed: int = 0,
    query_ids: QueryIds | None = None,
    session: Session | None = None,
) -> Images:
    """Steers queries to the anchor code by the margins of its bits (hashprobe's default).

    DHTA's goal (Bai et al., ECCV 2020, section 3.2) with another optimisation: a softplus of each
    bit's margin that sharpens from step to step, and momentum sign steps that start with all of
    eps and fall to 0. The network sees every iterate rounded to 8 bits; the image with fewest
    wrong bits is returned, and a query leaves as soon as its code is reached with a margin.

    Most clips need less: 10 steps on a tenth of the frames come first, where the hasher looks at
    every frame by itself and a pass through these costs a tenth, and then 10 steps on all frames. A
    clip whose code is reached with a margin is done. A budget of as many frames as a clip has
    leaves the tenth out.

    Args:
        hasher: the victim; left as it was.
        images: (N, 3, H, W) clean queries in [0, 1], float32 or float64.
        targets: (N, K) anchor codes with entries -1 and +1, or 0 for a bit that is left alone;
            `draw_target_codes` gives them.
        budget: l-infinity radius and the space it counts in, at least 1/255 in some channel.
        options: see `BitMarginOptions`.
        seed: 0 or above; with the query ids it decides where restarts begin.
        query_ids: one whole number per query; by default 0 to N - 1.
        session: precision, batches, and whom to tell of progress; see `Session`.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype, each
        value a multiple of 1/255 (or the clean one, where no multiple lies within the budget).

    Raises:
        HashprobeError: images or targets that do not fit, a budget below 1/255, or a hasher
            without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims.base import ImageHasher
        >>> images = torch.rand(2, 3, 32, 32)
        >>> bit_margin(ImageHasher("small", 16), images, torch.ones(2, 16), budget=Budget(8 / 255),
        ...            options=BitMarginOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    clips = images.ndim == 5

    def over(steps: int, restarts: int = 0) -> Descent:
        return Descent(
            objective=partial(sharpen, steps=steps),
            step_rule=partial(signed_step, size=options.step_size * budget.eps, steps=steps),
            steps=steps,
            momentum=MOMENTUM,
            eight_bit=True,
            restarts=restarts,
        )

    return minimise(
        hasher,
        images,
        targets,
        over(options.steps, options.restarts),
        budget=budget,
        seed=seed,
        query_ids=query_ids,
        session=session,
        quick=over(QUICK_STEPS) if clips and options.steps > QUICK_STEPS else None,
    )
