"""Reach: a target code that is worth most where it is not reached whole, and the best iterate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int8

from hashprobe.attacks.code_values import CodeValues, IterateScore, values_of
from hashprobe.attacks.contract import Attack, Hasher, check_descent
from hashprobe.attacks.descents import ap_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import known_of, mean_difference
from hashprobe.attacks.targets import TargetCode, Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.tensors import Images, Logits, Targets, Tensor
from hashprobe.types import Budget, Runtime


MISSED = (0.0, 0.15, 0.3, 0.45)
"""Shares of a query's wrong bits that may stay wrong, the farthest ones; each counts alike."""


@checked
@dataclass(frozen=True)
class ReachOptions:
    """What the attack can be told.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> ReachOptions().steps, ReachOptions().code
        (50, 'mean-difference')
    """

    steps: int = 50
    """Forward and backward passes per query."""
    step_size: float = 1.0
    """l-infinity length of the first step, in units of eps; it falls evenly to 0."""
    top: int | None = None
    """Length of the list whose AP is made large; none: the whole database."""
    tie: Tie = field(default="plus", kw_only=True)
    """A tied bit is +1."""
    n_t: int = field(default=9, kw_only=True)
    """Fewest database items with the target label."""

    def __post_init__(self) -> None:
        check_descent(self.steps, self.step_size, None)

    @property
    def code(self) -> TargetCode:
        """The code that is changed where another is worth more; ceilings are its own."""
        return "mean-difference"


@checked
def robust_code(
    values: CodeValues, start: Int8[np.ndarray, " k"], logits: Float64[np.ndarray, " k"]
) -> Int8[np.ndarray, " k"]:
    """The code with the highest mean AP over shares of its wrong bits that stay wrong.

    A query rarely reaches all bits of its code. Those with the largest |z| are missed first, and a
    code that is worth a lot only whole is then worth little: that is why the code with the highest
    AP is a poor target. Single flips from a start, until none helps.

    Args:
        values: of the target label.
        start: (K,) of -1 and +1.
        logits: z, (K,) of the clean query.

    Returns:
        (K,) of -1 and +1.

    Example:
        >>> from hashprobe.codes import Codes
        >>> values = CodeValues.of(Codes.of([[1, 1], [0, 0]]), np.array([True, False]))
        >>> robust_code(values, np.array([1, -1], np.int8), np.array([-1.0, -2.0]))
        array([1, 1], dtype=int8)
    """
    code, clean = start.copy(), np.where(logits >= 0, 1, -1).astype(np.int8)
    for _ in range(len(code)):
        wrong = np.flatnonzero(code != clean)
        farthest = wrong[np.argsort(-np.abs(logits[wrong]), kind="stable")]
        whole, around = 0.0, np.zeros(len(code))
        for share in MISSED:
            missed = farthest[: round(share * len(farthest))]
            seen = code.copy()
            seen[missed] = clean[missed]
            value = float(values.at(seen[None])[0])
            each = values.neighbours(seen)
            each[missed] = value  # what is missed anyway makes no difference
            whole, around = whole + value, around + each
        best = int(around.argmax())
        if around[best] <= whole + 1e-9:
            break
        code[best] *= -1
    return code


class Aim:
    """The codes of the queries, each chosen when its first logits are there."""

    def __init__(
        self, values: list[CodeValues], starts: Int8[np.ndarray, "u k"], which: np.ndarray
    ) -> None:
        self.values, self.starts, self.which = values, starts, which
        self.codes: dict[int, Int8[np.ndarray, " k"]] = {}

    def at(self, logits: Logits, given: Tensor) -> Targets:
        """(n, K) target codes of the queries whose places are in the first column."""
        import torch

        rows = given[:, 0].long().tolist()
        for place, row in enumerate(rows):
            if row not in self.codes:
                label = int(self.which[row])
                z = logits[place].detach().double().cpu().numpy()
                self.codes[row] = robust_code(self.values[label], self.starts[label], z)
        return torch.from_numpy(np.stack([self.codes[row] for row in rows])).to(logits)


@checked
def reach(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: ReachOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers each query to a code that is worth much even if not reached whole (hashprobe's own).

    Begins with `mean_difference` of the target label and flips bits as `robust_code` says, by the
    query's own logits. The descent is that of the bit-margin attack; what is returned is the
    iterate whose own code has the highest expected AP for the target label. The adversary knows
    codes and labels of the database (level L2), where the vote of nine takes nine codes (L0).

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: target labels, and the `known` database.
        budget: l-infinity radius and the space it counts in, at least 1/255 in some channel.
        options: see `ReachOptions`.
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
        >>> goal = Goal.targeted(torch.ones(2, 16), labels=np.eye(2, dtype=bool), known=known)
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> reach(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...       options=ReachOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    import torch

    from hashprobe.optim.attempts import solve

    database, labels = known_of(goal, goal.labels, "reach", len(queries))
    values, kinds, which = values_of(database, labels, options.top)
    aim = Aim(values, mean_difference(database, kinds), which)
    rule = ap_descent(aim.at, IterateScore(values, sign=1.0), options, budget)
    rows = np.stack([np.arange(len(which)), which], axis=1)
    given = torch.from_numpy(rows).to(queries.pixels)
    return solve(victim, queries, given, rule, budget=budget, seed=seed, runtime=runtime)


ATTACK = Attack(
    "reach", reach, ReachOptions, title="Reach", needs=frozenset({"gradients", "database"})
)
