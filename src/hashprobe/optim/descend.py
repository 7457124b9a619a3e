"""The one optimisation loop of the gradient attacks."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from hashprobe.optim.box import Box
from hashprobe.optim.frames import spread
from hashprobe.optim.gradients import gradient_of
from hashprobe.optim.problem import Moving, SomeFrames, call
from hashprobe.optim.rule import Descent
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher


MARGIN = 0.05
"""A code counts as reached when its weakest bit has this share of the mean |logit| behind it."""


class Search:
    """What is known of all queries while they are attacked: the best so far, and the work done.

    Args:
        images: (N, ...) clean queries.
        targets: (N, K) or (N, F).
        session: who is told.
        most: steps that a query may take in all.
    """

    def __init__(self, images: Images, targets: Targets, session: Session, most: int) -> None:
        self.images, self.targets, self.session, self.most = images, targets, session, most
        self.best = images.clone()
        # Wrong bits of the best image, then the margin of its weakest bit; both by 8-bit pixels.
        self.wrong = images.new_full((len(images),), torch.inf)
        self.margin = images.new_full((len(images),), -torch.inf)
        self.spent = 0

    def finish(self, rows: Int64[Tensor, " m"], saved: int) -> None:
        """Hands over queries that are finished, and counts the steps that they did not need."""
        self.spent += saved
        if self.session.on_done is not None and len(rows):
            self.session.on_done(rows.tolist(), self.best[rows])

    def tell(self) -> None:
        """Says how far the work has come."""
        if self.session.on_step is not None:
            self.session.on_step(self.spent, len(self.images) * self.most)


class Pool:
    """The queries in the network: what the loop knows of each while it is attacked."""

    def __init__(self, pixels: Images) -> None:
        self.rows = torch.zeros(0, dtype=torch.int64, device=pixels.device)
        self.step = self.rows
        self.pixels = self.momentum = pixels[:0]

    def add(self, row: int, pixels: Images) -> None:
        """Takes a query in at its first step."""
        self.rows = torch.cat([self.rows, self.rows.new_tensor([row])])
        self.step = torch.cat([self.step, self.step.new_tensor([0])])
        self.pixels = torch.cat([self.pixels, pixels])
        self.momentum = torch.cat([self.momentum, torch.zeros_like(pixels)])

    def keep(self, staying: Bool[Tensor, " n"]) -> None:
        """Lets the others go."""
        for name, values in vars(self).items():
            setattr(self, name, values[staying])


class Loop:
    """One descent of some queries, a pool of them at a time.

    Args:
        hasher: lent already.
        search: what is known of all queries; the loop adds to it.
        descent: how they go downhill.
        moving: what of them moves.
        budget: how far.
        later: steps of the descents that follow for queries whose code is not reached; with 0,
            all queries are finished after this one.
        thin: whether a descent follows for those, too, whose code is reached without a margin.
    """

    def __init__(
        self,
        hasher: Hasher,
        search: Search,
        descent: Descent,
        moving: Moving,
        budget: Budget,
        later: int,
        thin: bool,
    ) -> None:
        self.hasher, self.search, self.descent = hasher, search, descent
        self.moving, self.later, self.thin, self.shared = moving, later, thin, budget.shared
        self.session = search.session
        self.fast = self.session.fast(hasher)
        self.box = Box.around(moving.pixels, budget, hasher.contract)
        if moving.given is not None:
            self.box = self.box.within(moving.pixels, moving.given)
        # What moves, at its best; put in its place when a query leaves.
        self.best = moving.pixels.clone() if isinstance(moving, SomeFrames) else search.best
        self.improved = torch.zeros(len(self.best), dtype=torch.bool, device=self.best.device)

    def go(self, rows: Iterable[int], start: Callable[[int], Images]) -> list[int]:
        """Takes some queries through the descent.

        Args:
            rows: which, at least one.
            start: where each begins, (1, ...) in the box.

        Returns:
            Those whose code was not reached, if there is a later descent for them.
        """
        queue, again = deque(rows), list[int]()
        pool = Pool(self.moving.pixels)
        # One of which as much moves as of any says how many fit.
        counts = [0] * len(self.best) if self.moving.given is None else self.moving.given.sum(1)
        first = pool.rows.new_tensor([max(queue, key=lambda row: int(counts[row]))])
        inputs = self.moving.inputs(first, self.moving.pixels[first])
        size = self.session.rows(self.hasher, *inputs)
        while queue or len(pool.rows):
            while queue and len(pool.rows) < size:
                row = queue.popleft()
                pool.add(row, start(row))
            again += self.advance(pool)
        return again

    def advance(self, pool: Pool) -> list[int]:
        """One pass of the pool; what is finished leaves it."""
        descent, box = self.descent, self.box.of(pool.rows)
        shown = box.eight_bit(pool.pixels) if descent.eight_bit else box.shown(pool.pixels)
        targets = self.search.targets[pool.rows]
        with self.session.attend(pool.rows.tolist()):
            logits, gradient = gradient_of(
                self.fast, partial(call, self.fast, self.moving, pool.rows), shown, targets,
                descent, pool.step,
            )  # fmt: skip
        reached = torch.zeros_like(pool.rows, dtype=torch.bool)
        if descent.eight_bit:
            reached = self.remember(pool.rows, shown, logits)
        moving = box.unit * gradient
        if self.shared:
            assert self.moving.given is not None
            mask = spread(self.moving.given[pool.rows])
            moving = torch.where(box.cut(pool.pixels, moving) | ~mask, 0, moving)
            moving = moving.sum(1, keepdim=True) * mask
        if descent.momentum:
            if not descent.raw:
                mean = moving.abs().mean(tuple(range(1, moving.ndim)), keepdim=True)
                moving = moving / torch.where(mean > 0, mean, torch.ones_like(mean))
            moving = pool.momentum = descent.momentum * pool.momentum + moving
        pool.pixels = box.clamp(pool.pixels + box.unit * descent.step_rule(moving, pool.step))
        pool.step = pool.step + 1
        return self.leave(pool, reached)

    def remember(
        self, rows: Int64[Tensor, " n"], shown: Images, logits: Logits
    ) -> Bool[Tensor, " n"]:
        """Keeps what is better than before; says whose code is reached with a margin."""
        search, logits = self.search, self.confirmed(rows, shown, logits)
        wrong, margin = judge(logits.to(search.targets), search.targets[rows])
        nearer = (wrong < search.wrong[rows]) | (
            (wrong == search.wrong[rows]) & (margin > search.margin[rows])
        )
        better = rows[nearer]
        self.best[better], self.improved[better] = shown[nearer], True
        search.wrong[better], search.margin[better] = wrong[nearer], margin[nearer]
        return (wrong == 0) & (margin > MARGIN)

    def confirmed(self, rows: Int64[Tensor, " n"], shown: Images, logits: Logits) -> Logits:
        """The same logits, but in float32 where a lower precision takes a code for reached."""
        if self.fast is self.hasher:
            return logits
        targets = self.search.targets[rows]
        wrong, margin = judge(logits.to(targets), targets)
        right = (wrong == 0) & (margin > MARGIN)
        if not right.any():
            return logits
        exact, some = logits.clone(), rows[right]
        # What is kept of frames that stand still has a lower precision, too.
        inputs = self.moving.anew(some, shown[right])
        off = torch.autocast(shown.device.type, enabled=False)
        with torch.no_grad(), off, self.session.attend(some.tolist()):
            exact[right] = self.hasher(*inputs).to(logits)
        return exact

    def leave(self, pool: Pool, reached: Bool[Tensor, " n"]) -> list[int]:
        """Takes the finished out of the pool; says whose code a later descent may yet reach."""
        search, descent = self.search, self.descent
        over = reached | (pool.step == descent.steps)
        search.spent += len(pool.rows)
        again = torch.zeros_like(over)
        if over.any():
            rows = pool.rows[over]
            if not descent.eight_bit:
                self.best[rows], self.improved[rows] = self.box.shown(pool.pixels[over]), True
            elif not reached[over].all():
                last = over & ~reached
                reached[last] = self.look_once_more(pool, last)
            rows = rows[self.improved[rows]]
            search.best[rows] = self.moving.whole(rows, self.best[rows])
            if self.later:
                missed = ~reached if self.thin else search.wrong[pool.rows] > 0
                again = over & missed
            done = over & ~again
            saved = (descent.steps - pool.step[done] + self.later).sum()
            search.finish(pool.rows[done], int(saved))
        waiting = pool.rows[again].tolist()
        pool.keep(~over)
        search.tell()
        return waiting

    def look_once_more(self, pool: Pool, last: Bool[Tensor, " n"]) -> Bool[Tensor, " m"]:
        """The last move of a query has not been judged yet: whose code has it reached?"""
        rows = pool.rows[last]
        shown = self.box.of(rows).eight_bit(pool.pixels[last])
        with torch.no_grad(), self.session.attend(rows.tolist()):
            logits = call(self.fast, self.moving, rows, shown)
        return self.remember(rows, shown, logits)


def judge(logits: Logits, targets: Targets) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Wrong bits of each query, and the margin of its weakest bit in units of its mean |logit|.

    A bit that the target leaves alone (0) is never wrong. Logits of exactly 0 give +1.

    Args:
        logits: (N, K).
        targets: (N, K) with entries -1, 0 and +1.

    Example:
        >>> judge(torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, -1.0]]))
        (tensor([0.]), tensor([0.5000]))
    """
    signs = torch.where(logits >= 0, 1.0, -1.0).to(targets)
    wrong = ((signs != targets) & (targets != 0)).sum(1).to(targets)
    mean = logits.abs().mean(1, keepdim=True)
    margins = targets * logits / torch.where(mean > 0, mean, torch.ones_like(mean))
    return wrong, torch.where(targets != 0, margins, torch.inf).amin(1)
