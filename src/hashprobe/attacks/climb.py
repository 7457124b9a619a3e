"""What attacks by queries share: asking, scores, the best pictures, the budget of queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.oracle import Oracle
from hashprobe.attacks.search import Answer, Reading, Search
from hashprobe.attacks.targets import Tie
from hashprobe.data.queries import START_STREAM, Queries, seed_of
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images
from hashprobe.types import Budget, Runtime, check_whole


if TYPE_CHECKING:
    from hashprobe.optim.box import Box
    from hashprobe.victims.base import Hasher


@dataclass(frozen=True)
class QueryOptions:
    """What attacks by queries are told alike.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> QueryOptions().query_budget
        5000
    """

    n_t: int = 9
    """How many database codes vote on a target code (DHTA, section 4.2)."""
    query_budget: int = 5000
    """Most pictures that each query may show to the service."""
    distances: bool = True
    """Whether answers hold distances, or only ids in their order; the latter needs a search."""
    tie: Tie = "plus"
    """A bit with a tied vote: plus is +1 (DHTA, equation 7), zero is left alone."""

    def __post_init__(self) -> None:
        check_whole("n_t", self.n_t)
        check_whole("query_budget", self.query_budget)
        if self.tie not in ("plus", "zero"):
            raise HashprobeError(f"tie must be plus or zero; got {self.tie!r}")


@dataclass(frozen=True, eq=False)
class QueryTrace:
    """What an attack by queries reached, and when.

    Example:
        >>> import torch
        >>> trace = QueryTrace(torch.zeros(2, 3, 1, 1), np.array([9, 3]), np.array([-1, 3]),
        ...                    np.zeros(2))
        >>> trace.needed
        array([inf,  3.])
    """

    images: Images
    """(Q, 3, H, W) the best pictures, multiples of 1/255."""
    asked: Int64[np.ndarray, " q"]
    """Queries that each row asked."""
    done_at: Int64[np.ndarray, " q"]
    """Queries after which the goal was reached, as the answers say; -1 where it was not."""
    scores: Float64[np.ndarray, " q"]
    """Score of the best picture, see `Reading`."""

    @property
    def needed(self) -> Float64[np.ndarray, " q"]:
        """Queries to success, infinite where there was none: what `success_curve` takes."""
        values: np.ndarray = np.where(self.done_at >= 0, self.done_at, np.inf)
        return values


@dataclass(eq=False)
class Climb:
    """The state of an attack by queries: each row asks, keeps its best picture, and leaves.

    Pixels are grey levels in a box; what is shown are the nearest whole levels inside it.
    """

    oracle: Oracle
    queries: Queries
    box: Box
    reading: Reading | None
    watch: Any
    spare: int = 0
    start: Images | None = None
    """Grey levels to begin with; None: those of the queries."""
    best: Images = field(init=False)
    score: Float64[np.ndarray, " q"] = field(init=False)
    done_at: Int64[np.ndarray, " q"] = field(init=False)
    left: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        n = len(self.queries)
        self.best = self.queries.pixels.clone()
        self.score, self.done_at = np.full(n, -np.inf), np.full(n, -1)

    def open(self, rows: list[int]) -> list[int]:
        """Those of some rows that have neither reached their goal nor used up their queries."""
        most = self.oracle.most
        return [r for r in rows if self.done_at[r] < 0 and self.oracle.asked[r] < most]

    def begin(self) -> None:
        """Asks the clean queries and, where answers are ids alone, what else a reading needs."""
        rows = list(range(len(self.queries)))
        search = self.oracle.against
        if isinstance(search, Search):
            known = None
            if not self.oracle.distances and search.wish == "enter":
                known = self.oracle.ask_items(rows).positions
            self.reading = Reading(search, known)
        rows = self.open(rows)
        if not rows:
            return
        clean = self.clean(rows)
        answer = self.shown(rows, clean)
        if isinstance(search, Search) and not self.oracle.distances and search.wish == "leave":
            self.reading = Reading(search, answer.positions)
        self.take(rows, clean / self.box.scale, answer)
        # A query that is not there yet is handed over changed, however little that helped.
        self.score[self.open(rows)] = -np.inf

    def first(self) -> Images:
        """Grey levels in the box from which all queries begin."""
        every = list(range(len(self.queries)))
        return self.clean(every) if self.start is None else self.box.clip(self.start.clone())

    def clean(self, rows: list[int]) -> Images:
        """The clean queries in grey levels."""
        from hashprobe.optim.box import snapped

        return snapped(self.box.scale * self.queries.pixels[rows])

    def offer(self, rows: list[int], levels: Images) -> Float64[np.ndarray, " m"]:
        """Shows pictures of some rows that are open, keeps the best, and gives their scores."""
        import torch

        pixels = self.box.rows(torch.tensor(rows)).show(levels, torch.empty_like(levels))
        return self.take(rows, pixels, self.shown(rows, pixels * self.box.scale))

    def shown(self, rows: list[int], levels: Images) -> Answer:
        """The answers to pictures in grey levels."""
        import torch

        return self.oracle.ask(rows, levels.round().clamp(0, 255).to(torch.uint8))

    def take(self, rows: list[int], pixels: Images, answer: Answer) -> Float64[np.ndarray, " m"]:
        """Reads answers; a picture that is as good as the best one takes its place."""
        scores, there = self.read(rows, answer)
        for place, row in enumerate(rows):
            if scores[place] >= self.score[row]:
                self.score[row] = scores[place]
                self.best[row] = pixels[place]
            if there[place]:
                self.best[row], self.score[row] = pixels[place], scores[place]
                self.done_at[row] = self.oracle.asked[row]
        self.tell(rows)
        return scores

    def read(self, rows: list[int], answer: Answer) -> tuple[Float64[np.ndarray, " m"], np.ndarray]:
        """Scores and success of some answers."""
        if self.reading is not None:
            return self.reading.of(rows, answer)
        assert answer.distances is not None  # codes are compared by distance alone
        differ = answer.distances[:, 0]
        return -differ.astype(np.float64), differ <= self.spare

    def tell(self, rows: list[int]) -> None:
        """Reports queries, and rows that have finished; each of them is handed over once."""
        if self.watch is None:
            return
        still = set(self.open(rows))
        gone = [row for row in rows if row not in still and row not in self.left]
        if gone:
            self.watch.finished(gone, self.best[gone])
            self.left |= set(gone)
        most, n = self.oracle.most, len(self.queries)
        spent = sum(most if row in self.left else int(self.oracle.asked[row]) for row in range(n))
        self.watch.step(spent, most * n)

    def trace(self) -> QueryTrace:
        """What was reached."""
        return QueryTrace(self.best, self.oracle.asked, self.done_at, self.score)


def climb_of(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    budget: Budget,
    options: QueryOptions,
    runtime: Runtime,
) -> Climb:
    """Prepares an attack by queries.

    A goal with a search asks its service. Without one, each query is compared with its target
    codes, of which as many bits are enough as the goal says; untargeted, with the opposite of its
    own.
    """
    import torch

    from hashprobe.optim.box import Box, snapped
    from hashprobe.victims.checks import check_images
    from hashprobe.victims.encoding import encode

    check_images(queries.pixels)
    with torch.no_grad():
        queries = queries.laid_out(torch.preserve_format)
        box = Box.around(queries.pixels, budget, victim.contract, eight_bit=True)
        if queries.clips:
            open_ = queries.own
            if budget.frames is not None:
                # The first frames: to choose others would take queries.
                open_ = open_ & (open_.cumsum(1) <= budget.frames)
            box = box.within(queries.pixels, open_)
        against: Search | np.ndarray
        if goal.search is not None:
            against = goal.search
            if len(against) != len(queries):
                raise HashprobeError(f"{len(against)} goals of a search for {len(queries)} queries")
        elif goal.is_targeted:
            codes = goal.codes_for(queries.pixels, victim.bits).cpu().numpy().astype(np.int8)
            against = codes if goal.all_of is None else goal.all_of
        else:
            eights = queries.pixels.mul(255).round().div(255)
            from hashprobe.victims.passes import attend

            with attend([]):
                own = encode(victim, Queries(eights, queries.ids, queries.lengths))
            against = -own.signs()
        oracle = Oracle(
            victim,
            against,
            most=options.query_budget,
            distances=options.distances,
            lengths=queries.lengths,
            batch_size=runtime.batch_size,
        )
        start = None
        if goal.start is not None:
            if goal.start.pixels.shape != queries.pixels.shape:
                raise HashprobeError(
                    "pictures to begin with must have the shape of the queries, "
                    f"{tuple(queries.pixels.shape)}; got {tuple(goal.start.pixels.shape)}"
                )
            start = snapped(box.scale * goal.start.on(queries.pixels.device).pixels)
    spare = 0 if goal.enough is None else victim.bits - goal.enough
    return Climb(oracle, queries, box, None, runtime.watch, spare, start)


def chances(seed: int, queries: Queries) -> list[np.random.Generator]:
    """One source of chance for each query, by (seed, query id)."""
    return [np.random.default_rng(seed_of(seed, each, START_STREAM)) for each in queries.ids]
