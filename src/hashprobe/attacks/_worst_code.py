"""Worst code: steers to the code that finds the fewest items with a query's own label."""

from dataclasses import dataclass

import numpy as np

from hashprobe.attacks.code_values import IterateScore, values_of
from hashprobe.attacks.contract import Attack, Hasher, check_descent
from hashprobe.attacks.descents import ap_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import known_of, weighted_centre
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.tensors import Images
from hashprobe.types import Budget, Runtime


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

    database, labels = known_of(goal, goal.own_labels, "worst-code", len(queries))
    values, kinds, which = values_of(database, labels, options.top)
    starts = -weighted_centre(database, kinds)
    lowest = [each.climb(start, sign=-1.0) for each, start in zip(values, starts, strict=True)]
    codes = np.stack([code for code, _ in lowest])
    score = IterateScore(values, sign=-1.0)
    rule = ap_descent(lambda _, given: given[:, :-1], score, options, budget)
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
