"""Worst code: steers to the code that finds the fewest items with a query's own label."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from hashprobe.attacks._bit_margin import SHARP, SOFT, bit_margin_loss
from hashprobe.attacks.code_values import CodeValues, IterateScore, values_of
from hashprobe.attacks.contract import Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import known_of, weighted_centre
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Tensor
from hashprobe.types import Budget, Runtime


MOMENTUM = 0.6
"""As the bit-margin attack has it."""


@checked
@dataclass(frozen=True)
class WorstCodeOptions:
    """What the worst-code attack can be told.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> WorstCodeOptions().steps
        50
    """

    steps: int = 50
    """Forward and backward passes per query."""
    step_size: float = 1.0
    """l-infinity length of the first step, in units of eps; it falls evenly to 0."""
    top: int | None = None
    """Length of the list whose AP is made small; none: the whole database."""

    def __post_init__(self) -> None:
        check_descent(self.steps, self.step_size, None)


@checked
def worst_codes(values: CodeValues, start: Int8[np.ndarray, " k"]) -> Int8[np.ndarray, " k"]:
    """The code with the lowest expected AP that single flips from a start lead to.

    Args:
        values: of the label.
        start: (K,) of -1 and +1.

    Example:
        >>> from hashprobe.codes import Codes
        >>> values = CodeValues.of(Codes.of([[1, 1], [0, 0]]), np.array([True, False]))
        >>> worst_codes(values, np.array([1, 1], np.int8))
        array([-1, -1], dtype=int8)
    """
    return values.climb(start, sign=-1.0)[0]


@checked
def worst_code(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: WorstCodeOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to the code with the lowest AP of their own label (hashprobe's own).

    The code is found by single flips that lower the expected AP of the label's items most, from the
    opposite of the label's `weighted_centre` on. The descent is that of the bit-margin attack; the
    iterate whose own code has the lowest expected AP is returned, and a query leaves at 0.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: `own_labels` of the queries, and the `known` database.
        budget: l-infinity radius and the space it counts in, at least 1/255 in some channel.
        options: see `WorstCodeOptions`.
        seed: plays no part: nothing is drawn at random here.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype, each
        value a multiple of 1/255.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.codes import Codes
        >>> from hashprobe.victims import ImageHasher
        >>> known = Codes.of(np.eye(16, dtype=np.int8), np.arange(16) % 2)
        >>> goal = Goal.untargeted(np.eye(2, dtype=bool), known)
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> worst_code(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...            options=WorstCodeOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    import torch

    from hashprobe.optim.attempts import solve
    from hashprobe.optim.rule import Steps, UpdateRule
    from hashprobe.optim.steps import SignStep
    from hashprobe.victims.checks import check_images

    check_images(queries.pixels)
    database, labels = known_of(goal, goal.own_labels, "worst-code")
    if len(labels) != len(queries):
        raise HashprobeError(f"{len(labels)} labels for {len(queries)} queries: one per query")
    values, which = values_of(database, labels, options.top)
    firsts = [int((which == kind).argmax()) for kind in range(len(values))]
    starts = -weighted_centre(database, np.asarray(labels)[firsts])
    codes = np.stack([worst_codes(each, start) for each, start in zip(values, starts, strict=True)])

    def objective(z: Logits, given: Tensor, step: Steps) -> Float[Tensor, " n"]:
        done = (step.to(z.dtype) / options.steps).unsqueeze(1)
        return bit_margin_loss(z, given[:, :-1], SOFT * (SHARP / SOFT) ** done)

    rule = UpdateRule(
        objective,
        SignStep(lambda done: options.step_size * budget.eps * (1 - done / options.steps)),
        steps=options.steps,
        momentum=MOMENTUM,
        compared="anything",
        eight_bit=True,
        score=IterateScore(values, sign=-1.0),
    )
    given = np.concatenate([codes[which], which[:, None]], axis=1)
    wanted = torch.from_numpy(given).to(queries.pixels)
    return solve(victim, queries, wanted, rule, budget=budget, seed=seed, runtime=runtime)


ATTACK = Attack(
    "worst-code",
    worst_code,
    WorstCodeOptions,
    title="Worst code",
    goal="untargeted",
    needs=frozenset({"gradients", "database"}),
)
