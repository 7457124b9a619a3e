"""Attempts at a goal, one after the other: few frames first, all of them, other starts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.data.queries import START_STREAM, Queries, seed_of
from hashprobe.errors import HashprobeError
from hashprobe.optim.best import Best
from hashprobe.optim.box import Box
from hashprobe.optim.descend import descend
from hashprobe.optim.frames import check_frame_rule, largest
from hashprobe.optim.gradients import check_finite, gradient_of
from hashprobe.optim.problem import FrameSubset, Problem
from hashprobe.optim.rule import UpdateRule
from hashprobe.tensors import Images, TargetSets
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import Hasher, frozen_eval, in_own_dtype
from hashprobe.victims.checks import check_images, check_targets
from hashprobe.victims.clip import FramewiseHasher, gathered, spread_out
from hashprobe.victims.folded import folded
from hashprobe.victims.passes import attend, note
from hashprobe.victims.precision import in_precision


FEW = 10
"""One frame of a clip in so many moves in the first of the quick attempts."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """One descent of some queries."""

    problem: Problem
    rule: UpdateRule
    start: Callable[[int], Images]
    """Where a query begins, in the units of the problem's box."""
    rows: Bool[Tensor, " n"] | None = None
    """Which queries it is for; None for all."""
    quick: bool = False
    """Whether a code that is reached without a margin goes on to the next attempt."""


@checked
def solve(
    victim: Hasher,
    queries: Queries,
    targets: TargetSets,
    rule: UpdateRule,
    *,
    budget: Budget,
    seed: int = 0,
    runtime: Runtime = Runtime(),
    quick: UpdateRule | None = None,
    restarts: int = 0,
    fold: bool = False,
) -> Images:
    """Projected descent on a loss per query within the budget (DHTA, section 3.2, equation 9).

    x <- clip(x + step(gradient)) from the clean images on. In normalised space gradient and step
    count in normalised units, per channel.

    Args:
        victim: left as it was: weights, gradients, flags, mode.
        queries: N clean images or clips with floating pixels in [0, 1].
        targets: (N, K) with entries -1 and +1, or 0 for a bit that is left alone; or (N, F) of what
            else the objective compares with.
        rule: objective, step, number of steps, what is returned.
        budget: l-infinity radius and the space it counts in.
        seed: 0 or above; with the queries' ids it decides where restarts begin.
        runtime: precision, size of the pool, who is told.
        quick: a shorter descent that is tried before, where most queries need no more; for clips of
            a `FramewiseHasher` whose frames may all change, on a tenth of their frames before that.
            Every attempt begins at the clean query, and one whose code is not reached with a
            margin is followed by the next. Takes `eight_bit`.
        restarts: more descents from random points of the budget, for queries whose code was not
            reached. Takes `eight_bit`.
        fold: take gradients of images through a copy whose batch normalisations are folded into the
            layers before them: faster, and the same up to rounding.

    Returns:
        (N, 3, H, W) adversarial queries, in the budget and in [0, 1]; with `eight_bit` each value
        is a multiple of 1/255 (or the clean one, where no multiple lies within the budget).

    Raises:
        HashprobeError: queries or targets that do not fit, a victim whose logits have another
            shape, are not finite or carry no gradient, or a budget too small for `eight_bit`.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> rule = UpdateRule(
        ...     objective=lambda z, b, step: -(b * z.tanh()).mean(1),
        ...     step=lambda gradient, step: -gradient.sign() / 255, steps=3)
        >>> moved = solve(ImageHasher("small", 16), queries, torch.ones(2, 16), rule,
        ...               budget=Budget(8 / 255))
        >>> bool((moved - queries.pixels).abs().max() <= 8 / 255 + 1e-6)
        True
    """
    check_images(queries.pixels)
    if rule.compared == "codes":
        check_targets(targets, len(queries), victim.bits)
    check_frame_rule(budget, queries.pixels)
    if (restarts or quick is not None) and not rule.eight_bit:
        raise HashprobeError("quick attempts and restarts need eight_bit: it says what is reached")
    # A caller in inference mode may hand over tensors that autograd refuses: work on copies.
    with frozen_eval(victim), torch.inference_mode(False), torch.enable_grad():
        queries = queries.laid_out(torch.preserve_format)
        targets = targets.detach().to(queries.pixels, copy=True)
        box = Box.around(queries.pixels, budget, victim.contract, eight_bit=rule.eight_bit)
        quicker = victim
        if fold and not queries.clips:
            quicker = folded(victim, in_own_dtype(victim, queries.pixels[:1]))
        fast = in_precision(quicker, runtime.precision)
        # Rounding alone makes no code of one that is reached with a margin.
        problem = Problem(fast, victim, queries, box, confirm=fast is not quicker)
        work = Work(problem, queries, targets, runtime)
        *before, whole = work.plan(rule, quick, budget)
        attempts = [*before, *starts_of(whole, queries.ids, seed, restarts)]
        best = Best(queries.pixels, targets, runtime.watch, sum(a.rule.steps for a in attempts))
        rows = list(range(len(queries)))
        for attempt in attempts:
            rows = work.run(attempt, rows, best)
        best.check_moved()
    return best.images


@dataclass(frozen=True, eq=False)
class Work:
    """The queries of one call of `solve`, and how they are computed."""

    whole: Problem
    """All pixels of all queries."""
    queries: Queries
    targets: TargetSets
    runtime: Runtime

    def plan(self, rule: UpdateRule, quick: UpdateRule | None, budget: Budget) -> list[Attempt]:
        """The attempts from clean queries: quick ones first, then the whole descent."""
        problem = self.whole
        if budget.frames is not None:
            problem = self.subset(rule, torch.full_like(self.lengths, budget.frames))
        attempts = [Attempt(problem, rule, problem.origin)]
        if quick is None:
            return attempts
        attempts.insert(0, Attempt(problem, quick, problem.origin, quick=True))
        free = budget.frames is None and not budget.shared
        if free and isinstance(self.whole.judge, FramewiseHasher):
            few = (self.lengths + FEW - 1) // FEW
            # A tenth that is all frames is the attempt after it.
            rows = few < self.lengths
            if rows.any():
                some = self.subset(quick, few)
                attempts.insert(0, Attempt(some, quick, some.origin, rows, quick=True))
        return attempts

    def run(self, attempt: Attempt, rows: list[int], best: Best) -> list[int]:
        """Takes those of some queries that an attempt is for through it; those that go on."""
        problem, rule = attempt.problem, attempt.rule
        best.begin(rule.steps, attempt.quick)
        here = [attempt.rows is None or bool(attempt.rows[row]) for row in rows]
        passing = [row for row, inside in zip(rows, here, strict=True) if not inside]
        rows = [row for row, inside in zip(rows, here, strict=True) if inside]
        best.spent += len(passing) * rule.steps
        if not rows:
            return passing
        size = self.runtime.batch_size or problem.pool(rows)
        return passing + descend(
            problem, rule, rows=rows, start=attempt.start, size=size, best=best
        )

    @property
    def lengths(self) -> Int64[Tensor, " n"]:
        """Frames of each clip."""
        return self.queries.own.sum(1)

    def subset(self, rule: UpdateRule, counts: Int64[Tensor, " n"]) -> Problem:
        """The frames of each clip that the gradient at the clean clip promises most of.

        The gradient is that of the rule's first step, with respect to what the victim sees of each
        frame by itself, or to the pixels where it does not look at frames by themselves. Taken are
        the frames whose part of it has the largest l1 norm: by so much, to first order, the loss
        falls when every value of that frame's part moves by one.
        """
        own = self.queries.own
        chosen = (counts < own.sum(1)).nonzero().squeeze(1)
        if not len(chosen):
            return self.whole
        norms, features = self.frame_gradients(rule, chosen)
        open = own & largest(norms.masked_fill(~own, -1), counts)
        whole = self.whole
        return FrameSubset(whole.victim, whole.judge, self.queries, whole.room, open, features)

    def frame_gradients(
        self, rule: UpdateRule, chosen: Int64[Tensor, " m"]
    ) -> tuple[Tensor, Tensor | None]:
        """The l1 norm of each frame's part of the first gradient, and features of the frames."""
        fast, own, lengths = self.whole.victim, self.queries.own, self.lengths
        norms, features = self.queries.pixels.new_zeros(own.shape), None
        if isinstance(self.whole.judge, FramewiseHasher):
            for row in torch.split(chosen, 1):
                with torch.no_grad():
                    frames = gathered(in_own_dtype(fast, self.queries.pixels[row]), own[row])
                    seen = spread_out(fast.features(frames), own[row])  # type: ignore[operator]
                features = (
                    seen.new_zeros(*own.shape, seen.shape[2]) if features is None else features
                )
                features[row] = seen
                norms[row] = self.norms(rule, row, seen, partial(self.code, lengths[row]))
            return norms, features
        size = self.runtime.batch_size or self.whole.pool(chosen.tolist())
        for rows in torch.split(chosen, size):
            pixels = self.queries.pixels[rows]
            norms[rows] = self.norms(rule, rows, pixels, partial(self.whole.forward, rows))
        return norms, features

    def norms(
        self,
        rule: UpdateRule,
        rows: Int64[Tensor, " m"],
        given: Tensor,
        forward: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """The l1 norm of each frame's part of the first gradient of some clips."""
        step = torch.zeros_like(rows)
        with attend(rows.tolist()):
            _, gradient = gradient_of(
                forward, given, self.targets[rows], rule, step, self.whole.victim
            )
        check_finite(gradient, "gradient", step)
        return gradient.abs().flatten(2).sum(2).to(self.queries.pixels)

    def code(self, lengths: Int64[Tensor, " m"], features: Tensor) -> Tensor:
        """Logits of clips by the features of their frames."""
        # A victim may write into what it is given, which autograd forbids for a leaf.
        given = features.clone()
        logits: Tensor = self.whole.victim.code(given, lengths)  # type: ignore[operator]
        note(logits)
        return logits


def starts_of(whole: Attempt, ids: tuple[int, ...], seed: int, restarts: int) -> list[Attempt]:
    """The whole descent, and so many more of it from random points of the budget."""

    def at(start: int) -> Attempt:
        return replace(whole, start=partial(random_start, whole.problem.box, ids, seed, start))

    first = at(0) if whole.rule.random_start else whole
    return [first, *map(at, range(1, restarts + 1))]


def random_start(box: Box, ids: tuple[int, ...], seed: int, start: int, row: int) -> Images:
    """A random point of the box of a query."""
    low, high = box.low[row : row + 1], box.high[row : row + 1]
    state = seed_of(seed, ids[row], START_STREAM + start).generate_state(1, np.uint64)
    chance = torch.Generator().manual_seed(int(state[0]))
    # Drawn on the CPU in float64: the same on every device and in every batch.
    shape = list(low.shape)
    if box.shared:
        shape[1] = 1
    drawn = torch.rand(shape, generator=chance, dtype=torch.float64).to(low)
    return low + drawn * (high - low)
