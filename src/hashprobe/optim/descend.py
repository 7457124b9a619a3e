"""The loop of every gradient attack: pixels, logits, gradient, moved pixels."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.optim.best import Best
from hashprobe.optim.frames import spread
from hashprobe.optim.gradients import check_finite, gradient_of
from hashprobe.optim.problem import Problem, Rows
from hashprobe.optim.rule import Steps, UpdateRule
from hashprobe.optim.steps import SignStep, UnitL2Step, peak_and_norm
from hashprobe.tensors import Images, TargetSets
from hashprobe.victims.passes import attend


BLOCK_BYTES = 1 << 18
"""Pixels that are moved together on a CPU: they stay in its cache between two operations."""
LOADED = 1 << 27
"""Values whose moves take as long without kernels as loading them does: half a second."""


def descend(
    problem: Problem,
    rule: UpdateRule,
    *,
    rows: list[int],
    start: Callable[[int], Images],
    size: int,
    best: Best,
) -> list[int]:
    """Takes queries down their loss within their box, a pool of them at a time.

    A query that is finished leaves the pool and the next takes its place. Rows never mix: each gets
    what it would get alone, up to the rounding of the victim's own kernels.

    Args:
        problem: what moves, and how the victim sees it.
        rule: objective, step, number of steps.
        rows: which queries, at least one.
        start: where each begins, (1, ...) in the units of the box.
        size: queries in the pool at once.
        best: targets of all queries and the best image of each so far; the loop adds to it.

    Returns:
        The queries that are worth a later attempt, in the order in which they left.

    Raises:
        HashprobeError: outputs that do not fit the targets, are not finite or carry no gradient, or
            a device whose memory does not hold one query.

    Example:
        >>> from hashprobe.data import Queries
        >>> from hashprobe.optim import Box, UpdateRule
        >>> from hashprobe.types import Budget
        >>> from hashprobe.victims import ImageHasher
        >>> victim, queries = ImageHasher("small", 16).eval(), Queries(torch.rand(2, 3, 32, 32))
        >>> box = Box.around(queries.pixels, Budget(8 / 255), victim.contract)
        >>> problem, targets = Problem(victim, victim, queries, box), torch.ones(2, 16)
        >>> rule = UpdateRule(
        ...     objective=lambda z, b, step: -(b * z.tanh()).mean(1),
        ...     step=lambda gradient, step: -gradient.sign() / 255, steps=3)
        >>> best = Best(queries.pixels, targets, None, most=3)
        >>> best.begin(steps=3, retry_narrow=False)
        >>> descend(problem, rule, rows=[0, 1], start=problem.origin, size=2, best=best)
        []
        >>> bool((best.images != queries.pixels).any())
        True
    """
    queue, missed = deque(rows), list[int]()
    pool = Pool(problem, best.targets, rule, min(size, len(rows)))
    while pool.fill(queue, start):
        logits, gradient = pool.gradient()
        if not best.moved:
            best.see(pool.rows, logits, gradient, rule)
        reached = torch.zeros_like(pool.rows, dtype=torch.bool)
        if rule.eight_bit:
            reached = best.look(problem, pool.rows, pool.shown, logits, rule)
        pool.move(gradient)
        del gradient  # its memory is that of the next one
        best.spent += len(pool)
        over = reached | (pool.steps == rule.steps)
        if over.any():
            missed += pool.leave(over, reached, best)
        best.tell()
    return missed


class Pool:
    """The queries that are in the victim together, with all that the loop knows of each.

    Everything is allocated once. A query that leaves makes room for the next.

    Args:
        problem: what moves.
        targets: (N, K), (N, S, K) or (N, F) of all queries.
        rule: how it moves.
        size: most queries at once.
    """

    moved: ClassVar[int] = 0
    """Values that this process has moved without kernels, which take time to load."""

    def __init__(self, problem: Problem, targets: TargetSets, rule: UpdateRule, size: int) -> None:
        self.problem, self.targets, self.rule = problem, targets, rule
        self.count, self.limit = 0, size
        one, box = problem.start[:1], problem.box
        self.room: dict[str, Tensor] = {
            name: one.new_empty((size, *one.shape[1:])).contiguous(memory_format=problem.layout)
            for name in ("pixels", "low", "high")
        }
        optional = {
            "shown": rule.eight_bit or box.shared,
            "momentum": rule.momentum > 0 or rule.adam is not None,
            "squares": rule.adam is not None,
            "clean": rule.distortion > 0,
            "whole_low": box.whole is not None,
            "whole_high": box.whole is not None,
        }
        for name in (name for name, wanted in optional.items() if wanted):
            self.room[name] = torch.empty_like(self.room["pixels"])
        for name in ("rows", "steps"):
            self.room[name] = torch.zeros(size, dtype=torch.int64, device=one.device)
        whole = (self.room["whole_low"], self.room["whole_high"]) if box.whole else None
        self.box = replace(box, low=self.room["low"], high=self.room["high"], whole=whole)
        each = one.numel() * one.element_size()
        self.block = max(1, BLOCK_BYTES // each) if one.device.type == "cpu" else size

    def __len__(self) -> int:
        return self.count

    @property
    def rows(self) -> Rows:
        """Which queries are in the pool."""
        return self.room["rows"][: self.count]

    @property
    def steps(self) -> Steps:
        """How many steps each has behind it."""
        return self.room["steps"][: self.count]

    @property
    def shown(self) -> Images:
        """What the victim is shown: pixels in [0, 1], in whole grey levels if the rule says so."""
        return self.room.get("shown", self.room["pixels"])[: self.count]

    def fill(self, queue: deque[int], start: Callable[[int], Images]) -> bool:
        """Takes queries in while there is room; whether there is any in the pool."""
        box = self.problem.box
        while queue and self.count < len(self.room["rows"]):
            row, place = queue.popleft(), slice(self.count, self.count + 1)
            values = {"pixels": start(row), "low": box.low[row], "high": box.high[row]}
            if box.whole is not None:
                values |= {"whole_low": box.whole[0][row], "whole_high": box.whole[1][row]}
            for name, value in values.items():
                self.room[name][place] = value
            for name in {"momentum", "squares"} & self.room.keys():
                self.room[name][place] = 0
            if "clean" in self.room:
                self.room["clean"][place] = self.problem.origin(row)
            self.room["rows"][place], self.room["steps"][place] = row, 0
            self.show(place)
            self.count += 1
        return self.count > 0

    def gradient(self) -> tuple[Tensor, Images]:
        """Outputs and gradient of each query, by halves where the device has too little memory."""
        while True:
            try:
                parts = [self.gradient_of_part(part) for part in self.parts(self.limit)]
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                if self.limit == 1:
                    raise HashprobeError(
                        f"{self.shown.device} has too little memory for one query: take smaller "
                        "images, fewer frames or another device"
                    ) from error
                self.limit = (self.limit + 1) // 2
                continue
            if len(parts) == 1:
                return parts[0]
            outputs, gradients = zip(*parts, strict=True)
            return torch.cat(outputs), torch.cat(gradients)

    def gradient_of_part(self, part: slice) -> tuple[Tensor, Images]:
        """Outputs and gradient of some queries of the pool."""
        rows = self.rows[part]
        with attend(rows.tolist()):
            outputs, gradient = gradient_of(
                lambda shown: self.problem.forward(rows, shown),
                self.shown[part],
                self.targets[rows],
                self.rule,
                self.steps[part],
                self.problem.victim,
            )
        # The layout of a clip's gradient depends on the clips beside it, and a norm that is summed
        # in another order differs in its last bit.
        return outputs, gradient.contiguous(memory_format=self.problem.layout)

    def parts(self, size: int) -> Iterator[slice]:
        """The queries of the pool, some at a time."""
        for begin in range(0, self.count, size):
            yield slice(begin, min(begin + size, self.count))

    def move(self, gradient: Images) -> None:
        """x <- clip(x + step(gradient)), with the momentum of the rule."""
        if not self.moved_by_kernel(gradient):
            for part in self.parts(self.block):
                check_finite(gradient[part], "gradient", self.steps[part])
                direction = self.direction(part, gradient[part])
                move = self.rule.step(direction, self.steps[part])
                if not self.box.plain:
                    move = self.box.unit * move
                pixels = self.room["pixels"][part].add_(move, alpha=self.box.scale)
                box = self.box.rows(part)
                box.clip(pixels)
                if "shown" in self.room:
                    box.show(pixels, self.room["shown"][part])
        self.steps.add_(1)

    def moved_by_kernel(self, gradient: Images) -> bool:
        """Does the same in one pass over the pixels, where a kernel knows the step."""
        step, momentum = self.rule.step, self.rule.momentum
        signs = isinstance(step, SignStep) and not (momentum and self.rule.raw)
        known = signs or (isinstance(step, UnitL2Step) and not momentum)
        known = known and not ("squares" in self.room or "clean" in self.room)
        if not known or not self.box.plain or self.box.shared:
            return False
        if Pool.moved < LOADED:
            Pool.moved += gradient.numel()
            return False
        from hashprobe.optim import kernels

        room = kernels.Room.of(self.room, self.count)
        given = kernels.flat(gradient.contiguous(memory_format=self.problem.layout))
        if room is None or given is None:
            return False
        scale = np.float32(self.box.scale)
        if isinstance(step, SignStep):
            (mean,) = self.each(gradient, mean_size)
            length = step.length(self.steps.float()).numpy()
            kernels.in_threads(
                kernels.sign_move, room, given, mean, np.float32(momentum), length, scale
            )
        elif isinstance(step, UnitL2Step):
            peak, norm = self.each(gradient, peak_and_norm)
            kernels.in_threads(
                kernels.unit_l2_move, room, given, peak, norm, np.float32(-step.size), scale
            )
        return True

    def each(
        self, gradient: Images, sizes: Callable[[Images], tuple[Tensor, ...]]
    ) -> list[NDArray[np.float32]]:
        """Sizes of the gradient of each query, computed in blocks; they must be finite."""
        parts = [sizes(gradient[part]) for part in self.parts(self.block)]
        found = [torch.cat(each).flatten() for each in zip(*parts, strict=True)]
        if not all(each.isfinite().all() for each in found):
            check_finite(gradient, "gradient", self.steps)
        return [each.numpy() for each in found]

    def direction(self, part: slice, gradient: Images) -> Images:
        """The gradient in the budget's units, shared by frames and with momentum if asked."""
        rule, box = self.rule, self.box
        if "clean" in self.room:
            change = self.room["pixels"][part] - self.room["clean"][part]
            # The mean is over values that may move, which the padding of a clip may not.
            room = self.room["high"][part] > self.room["low"][part]
            each = room.flatten(1).sum(1).clamp_min(1).view(-1, *[1] * (change.ndim - 1))
            gradient = gradient.addcdiv(
                change, each.to(change), value=2 * rule.distortion / box.scale
            )
        if not box.plain:
            gradient = box.unit * gradient
        if box.shared:
            assert self.problem.open is not None
            mask = spread(self.problem.open[self.rows[part]])
            cut = box.cut(self.room["pixels"][part], gradient)
            gradient = torch.where(cut | ~mask, 0, gradient).sum(1, keepdim=True) * mask
        if rule.adam is not None:
            return self.adam_direction(part, gradient, *rule.adam)
        if not rule.momentum:
            return gradient
        momentum = self.room["momentum"][part].mul_(rule.momentum)
        if rule.raw:
            return momentum.add_(gradient)
        return momentum.addcdiv_(gradient, *mean_size(gradient))

    def adam_direction(self, part: slice, gradient: Images, first: float, second: float) -> Images:
        """m / (sqrt v + 1e-8), both moments without their bias (Adam, algorithm 1)."""
        done = (self.steps[part] + 1).to(gradient).view(-1, *[1] * (gradient.ndim - 1))
        m = self.room["momentum"][part].mul_(first)
        m.add_(gradient.expand_as(m), alpha=1 - first)
        v = self.room["squares"][part].mul_(second)
        v.add_(gradient.expand_as(v).square(), alpha=1 - second)
        return (m / (1 - first**done)) / ((v / (1 - second**done)).sqrt() + 1e-8)

    def show(self, part: slice) -> None:
        """Brings what the victim is shown up to date."""
        if "shown" in self.room:
            self.box.rows(part).show(self.room["pixels"][part], self.room["shown"][part])

    def leave(self, over: Bool[Tensor, " n"], reached: Bool[Tensor, " n"], best: Best) -> list[int]:
        """Takes out the queries whose attempt is over; those that are worth another."""
        last = over & ~reached
        if not self.rule.eight_bit:
            best.keep(self.problem, self.rows[over], self.shown[over].clamp(0, 1))
        elif last.any():
            # Their last move has not been judged yet.
            rows, shown = self.rows[last], self.shown[last]
            with torch.no_grad(), attend(rows.tolist()):
                logits = self.problem.forward(rows, shown)
            reached[last] = best.look(self.problem, rows, shown, logits, self.rule)
        unused = self.rule.steps - self.steps[over]
        missed = best.leave(self.rows[over], reached[over], unused)
        staying = int((~over).sum())
        holes = over[:staying].nonzero().squeeze(1)
        movers = staying + (~over[staying:]).nonzero().squeeze(1)
        for values in self.room.values():
            values[holes] = values[movers]
        self.count = staying
        return missed


def mean_size(gradient: Images) -> tuple[Tensor]:
    """The mean |g| of each row; 1 where it is 0."""
    mean = gradient.abs().mean(tuple(range(1, gradient.ndim)), keepdim=True)
    return (mean.masked_fill_(mean == 0, 1),)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
