"""One goal of an adversary at growing budgets: each query leaves at the first that is enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import PackedCodes, bytes_of
from hashprobe.crafting.runner import craft
from hashprobe.data.arrays import by_size
from hashprobe.data.queries import Queries
from hashprobe.evaluation.measurement import Measurement
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.workflow.audit_subject import Subject, encoded


LEVEL = 255
"""Grey levels: budgets between those that were asked for are whole ones of them."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What an adversary wants of some queries, and when it has it."""

    name: str
    """Of the goal, in files and tables."""
    rows: np.ndarray
    """(M,) the queries that it is about, by their places among all."""
    goal: Goal
    """Their M goals."""
    met: Callable[[PackedCodes, np.ndarray], Bool[np.ndarray, " n"]]
    """(codes of n of the M queries, their places among the M) -> whether each has it."""
    rate: Callable[[PackedCodes], Measurement]
    """(codes of the M queries) -> how many have it, with its interval and its signature."""


@dataclass(eq=False)
class Ladder:
    """How far each query of a plan has come."""

    plan: Plan
    start: PackedCodes
    """Codes of the M clean queries."""
    least: Float64[np.ndarray, " m"] = field(init=False)
    """The smallest budget that was enough; infinity where none was."""
    codes: dict[float, PackedCodes] = field(default_factory=dict)
    """Codes of the M queries at each budget that was asked for."""
    images: list[Tensor | None] = field(init=False)
    """The attacked picture at the smallest budget that was enough, else at the largest."""
    passes: int = 0
    """Passes through the victim, or searches, of all queries together."""
    took: Float64[np.ndarray, " m"] = field(init=False)
    """Passes at the smallest of the budgets that are reported and enough; infinity without any."""

    def __post_init__(self) -> None:
        count = len(self.plan.rows)
        self.least, self.took = np.full(count, np.inf), np.full(count, np.inf)
        self.images = [None] * count


@dataclass(frozen=True, eq=False)
class Attacker:
    """Attacks queries of a subject through a victim, and keeps what is finished in a folder."""

    subject: Subject
    victim: Hasher
    """What is attacked: the subject's own, which judges in any case, or a surrogate."""
    attack: str
    """Its name."""
    options: Any
    """Its options."""
    seed: int
    runtime: Runtime
    folder: Path | None
    """Where finished queries are kept; None keeps them in memory."""
    start: dict[int, Tensor] | None = None
    """uint8 picture from which each query of the subject begins, for attacks by queries."""

    def run(
        self, plan: Plan, places: np.ndarray, eps: float
    ) -> tuple[PackedCodes, list[Tensor], Int64[np.ndarray, " n"]]:
        """Codes and pictures of some queries of a plan at one budget, and the passes of each."""
        spec = AttackSpec.of(self.attack, self.options, budget=Budget(eps), seed=self.seed)
        return self.crafted(plan.name, plan.rows[places], plan.goal.take(places), spec)

    def crafted(
        self, name: str, rows: np.ndarray, goal: Goal, spec: AttackSpec
    ) -> tuple[PackedCodes, list[Tensor], Int64[np.ndarray, " n"]]:
        """The same for any queries, goals and attack: those of one size go together."""
        judge = self.subject.victim
        pictures = [self.subject.queries.fitted[row] for row in rows.tolist()]
        data = np.zeros((len(rows), bytes_of(judge.bits)), np.uint8)
        images: list[Tensor] = [torch.empty(0)] * len(rows)
        passes = np.zeros(len(rows), np.int64)
        for size, members in by_size(pictures).items():
            queries = Queries(
                torch.stack([pictures[place] for place in members]),
                tuple(int(rows[place]) for place in members),
            )
            some = goal.take(np.array(members))
            if self.start is not None:
                begun = torch.stack([self.start[each] for each in queries.ids])
                some = replace(some, start=Queries(begun, queries.ids))
            result = craft(
                self.victim,
                queries,
                some,
                spec,
                runtime=self.runtime,
                out=self.place(name, spec.budget.eps, size),
                overwrite=True,
            )
            shown = result.images8[:]
            codes = result.codes if judge is self.victim else encoded(judge, list(shown))
            data[members] = codes.data
            passes[members] = result.forwards
            for place, image in zip(members, shown, strict=True):
                images[place] = image
        return PackedCodes(data, judge.bits), images, passes

    def place(self, name: str, eps: float, size: tuple[int, int]) -> Path | None:
        """Where queries of one size are kept."""
        if self.folder is None:
            return None
        return self.folder / f"{name}-{eps * LEVEL:.4g}of255" / f"{size[1]}x{size[0]}"


AttackerOf: TypeAlias = Callable[[Subject, str], Attacker]
"""(subject, name of its folder) -> who attacks it."""


def climb(attacker: Attacker, plan: Plan, budgets: Sequence[float], *, exact: bool) -> Ladder:
    """Attacks the queries of a plan at growing budgets; each leaves at the first that is enough.

    A perturbation within a budget is within every larger one: success at one counts at all that are
    larger.

    Args:
        attacker: who attacks.
        plan: what is wanted.
        budgets: those that are reported, in any order.
        exact: whether to look for the smallest whole grey level between two of them, too.
    """
    found = Ladder(plan, attacker.subject.clean[plan.rows])
    budgets = sorted(budgets)
    every = np.arange(len(plan.rows))
    current = found.start.data.copy()
    for place, eps in enumerate(budgets):
        pending = every[np.isinf(found.least)]
        if len(pending):
            codes, images, passes = attacker.run(plan, pending, eps)
            found.passes += int(passes.sum())
            current[pending] = codes.data
            met = plan.met(codes, pending)
            found.least[pending[met]], found.took[pending[met]] = eps, passes[met]
            for at, image in zip(pending, images, strict=True):
                found.images[at] = image
            if exact and met.any():
                lower = budgets[place - 1] if place else 0.0
                refine(attacker, found, pending[met], (lower, eps))
        found.codes[eps] = PackedCodes(current.copy(), found.start.bits)
    return found


def halvings(budgets: Sequence[float]) -> int:
    """Most attacks of one query that `refine` makes between two of some budgets.

    Example:
        >>> halvings([1 / 255, 2 / 255, 4 / 255, 8 / 255]), halvings([32 / 255])
        (2, 5)
    """
    levels = [0, *(round(eps * LEVEL) for eps in sorted(budgets))]
    gaps = [high - low for low, high in pairwise(levels)]
    return (max(gaps) - 1).bit_length()


def refine(
    attacker: Attacker, found: Ladder, places: np.ndarray, between: tuple[float, float]
) -> None:
    """Finds by bisection the smallest whole grey level that is enough for each query."""
    low, high = (round(eps * LEVEL) for eps in between)
    if any(abs(eps * LEVEL - round(eps * LEVEL)) > 1e-6 for eps in between):
        return
    lows, highs = np.full(len(places), low), np.full(len(places), high)
    while (open_ := highs - lows > 1).any():
        middle = (lows + highs) // 2
        for level in np.unique(middle[open_]):
            here = np.flatnonzero(open_ & (middle == level))
            eps = float(level) / LEVEL
            codes, images, passes = attacker.run(found.plan, places[here], eps)
            found.passes += int(passes.sum())
            met = found.plan.met(codes, places[here])
            lows[here[~met]], highs[here[met]] = level, level
            for at in np.flatnonzero(met):
                found.images[places[here[at]]] = images[at]
            found.least[places[here[met]]] = eps
