"""Rankings by Hamming distance: counts by distance, hits in order, tie policies.

Codes of K bits have only K + 1 possible distances, so most database items share their distance
with many others, and the order among those decides a measure. Four policies say which order is
meant: `stable` (distance, then database position, as every index returns them), `expected` (the
mean over all orders of equal distances), `best` and `worst` (the orders of the extreme values).

Notation: the group at distance d has n items, r of them relevant. Strictly nearer lie N items, R
of them relevant. Of the group, m = min(n, max(0, T - N)) items are in the top T.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, UInt

from hashprobe.checked import checked
from hashprobe.codes.labels import AnyLabels
from hashprobe.codes.packed import PackedCodes, as_words, check_same_bits, word_distances
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.counting import Distances, count_distances, nearest
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.evaluation.relevance import Relevance, check_labels
from hashprobe.storage.environment import cores


Ties = Literal["stable", "expected", "best", "worst"]
"""Which order of equal distances is meant."""
Normaliser = Literal["hits", "min", "relevant"]
"""What AP@T is divided by: hits in the top T, min(R, T), or R relevant items in the database."""
Empty = Literal["zero", "skip", "error"]
"""How a query without a value is counted: as 0, not at all, or as an error."""
Part = TypeVar("Part")

CHUNK_ITEMS = 1 << 18
"""Database items compared at once, so that their distances stay in a core's cache."""
BLOCK_ENTRIES = 1 << 20
"""Distances of a block of queries, enough work for a thread."""
AHEAD = 16
"""Blocks of queries that are queued for each thread."""
TOGETHER = 16
"""Queries that machine code compares with a block of the database while it is in the cache."""
MANY_PAIRS = 1 << 27
"""Pairs of query and item from which on it pays to load machine code."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Database items of a block of queries, counted by distance.

    Example:
        >>> counts = Counts(np.array([[1, 0, 2]]), np.array([[1, 0, 0]]))
        >>> counts.nearer(counts.total)
        array([[0, 1, 1]])
    """

    total: Int64[np.ndarray, "q d"]
    """n: items at each distance 0..K."""
    relevant: Int64[np.ndarray, "q d"]
    """r: relevant items among them."""

    @staticmethod
    def nearer(counts: Int64[np.ndarray, "q d"]) -> Int64[np.ndarray, "q d"]:
        """Items strictly nearer than each distance: N of `total`, R of `relevant`."""
        nearer: np.ndarray = np.cumsum(counts, axis=1) - counts
        return nearer

    def within(self, top: int) -> Int64[np.ndarray, "q d"]:
        """m: items of each group in the top T."""
        kept: np.ndarray = np.clip(top - self.nearer(self.total), 0, self.total)
        return kept


@checked
@dataclass(frozen=True, eq=False)
class Ranking:
    """Queries and the database they search, read in blocks and chunks of bounded memory.

    Raises:
        HashprobeError: the database or the queries are empty, codes differ in length, labels are
            neither classes nor multi-hot, or there are more or fewer labels than codes.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> ranking = Ranking(codes, codes, np.eye(2, dtype=bool), np.eye(2, dtype=bool))
        >>> [counts.total[0].tolist() for _, counts in ranking.each(ranking.counts)]
        [[1, 0, 0, 0, 0, 0, 0, 0, 1]]
    """

    query_codes: PackedCodes
    """Q codes of K bits."""
    database_codes: PackedCodes
    """N codes of K bits."""
    query_labels: AnyLabels
    """Multi-hot (Q, C) or classes (Q,): what counts as relevant to each query."""
    database_labels: AnyLabels
    """Multi-hot (N, C) or classes (N,)."""
    asked: str = "query"
    """What the queries' labels are called in messages, `query` or `target`."""
    exclusion: Exclusion | None = None
    """Database items that are left out; after construction codes and labels lack training items."""
    voters: Int64[np.ndarray, "q m"] | None = field(init=False, repr=False, default=None)
    """Positions of the items that are left out for one query each, -1 for none."""
    words: UInt[np.ndarray, "w n"] = field(init=False, repr=False)
    """The database codes, regrouped for bitwise work."""
    relevance: Relevance = field(init=False, repr=False)
    """Which items are relevant to which queries."""
    fast: bool = field(init=False, repr=False)
    """Whether counts and first hits are computed by machine code; they are the same without."""

    def __post_init__(self) -> None:
        check_same_bits(self.query_codes, self.database_codes)
        if len(self.database_codes) == 0:
            raise HashprobeError("the database is empty: there is nothing to search")
        if len(self.query_codes) == 0:
            raise HashprobeError("there are no queries to score")
        check_labels(self.query_labels, self.query_codes, self.asked, "query")
        check_labels(self.database_labels, self.database_codes, "database", "database")
        widths = [x.shape[1] for x in (self.query_labels, self.database_labels) if x.ndim == 2]
        if len(set(widths)) > 1:
            raise HashprobeError(
                f"{self.asked} labels have {widths[0]} classes, database labels {widths[1]}: "
                "both must be over the same classes"
            )
        if self.exclusion is not None:
            arrays = len(self.query_codes), self.database_codes, self.database_labels
            codes, labels, voters = self.exclusion.applied(*arrays)
            object.__setattr__(self, "database_codes", codes)
            object.__setattr__(self, "database_labels", labels)
            object.__setattr__(self, "voters", voters)
        object.__setattr__(self, "words", as_words(self.database_codes.data))
        between = Relevance.between(self.query_labels, self.database_labels)
        object.__setattr__(self, "relevance", between)
        object.__setattr__(self, "fast", self.pairs >= MANY_PAIRS and kernels() is not None)

    @property
    def pairs(self) -> int:
        """Pairs of a query and an item."""
        return len(self.query_codes) * len(self.database_codes)

    def each(
        self, work: Callable[[slice], Part], *, counted: bool = False
    ) -> Iterator[tuple[slice, Part]]:
        """Does some work for every block of queries, on all cores, and yields rows and result.

        `counted` says that the work asks for counts and first hits alone, which machine code
        computes without distances in memory.

        The size of a block and the number of blocks at work do not depend on the number of
        queries, so no array of queries by items ever exists.
        """
        widest = max(min(len(self.database_codes), CHUNK_ITEMS), 2 * (self.query_codes.bits + 1))
        step = max(1, BLOCK_ENTRIES // widest)
        if counted and self.fast:
            step = max(step, TOGETHER)
        total = len(self.query_codes)
        blocks = [slice(i, min(i + step, total)) for i in range(0, total, step)]
        threads = min(cores(), len(blocks))
        if threads == 1:
            yield from ((rows, work(rows)) for rows in blocks)
            return
        with ThreadPoolExecutor(threads) as pool:
            ahead = AHEAD * threads
            for start in range(0, len(blocks), ahead):
                some = blocks[start : start + ahead]
                yield from zip(some, pool.map(work, some), strict=True)

    def chunks(
        self, rows: slice
    ) -> Iterator[tuple[Distances, Bool[np.ndarray, "q n"], tuple[np.ndarray, np.ndarray]]]:
        """Distances of some queries to the database, what is relevant, and what is left out.

        Items that are left out are given by row and column; they are not relevant.
        """
        queries = as_words(self.query_codes.data[rows])
        for start in range(0, len(self.database_codes), CHUNK_ITEMS):
            items = slice(start, start + CHUNK_ITEMS)
            near, good = (
                word_distances(queries, self.words[:, items]),
                self.relevance.of(rows, items),
            )
            out = self.left_out(rows, start, near.shape[1])
            good[out] = False
            yield near, good, out

    def left_out(self, rows: slice, start: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the items of a chunk that some queries leave out, each once."""
        if self.voters is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        column = np.sort(self.voters[rows], axis=1) - start
        inside = (column >= 0) & (column < width)
        inside[:, 1:] &= column[:, 1:] != column[:, :-1]
        row, place = np.nonzero(inside)
        return row, column[row, place]

    def counts(self, rows: slice) -> Counts:
        """Counts of items by their distance to some queries."""
        if self.fast:
            return self.fast_counts(rows)
        both = np.zeros((len(self.query_codes.data[rows]), 2, self.query_codes.bits + 1), np.int64)
        for near, good, (row, column) in self.chunks(rows):
            both += count_distances(near, good, self.query_codes.bits)
            np.subtract.at(both[:, 0], (row, near[row, column]), 1)
        return Counts(both.sum(axis=1), both[:, 1])

    def first_hits(
        self, rows: slice, top: int
    ) -> tuple[Bool[np.ndarray, "q t"], Int64[np.ndarray, " q"]]:
        """Which of the first T places in search order are relevant, and R of the whole database.

        The list of a query for which items are left out may end before T: nothing is there.
        """
        if self.fast:
            return self.fast_first_hits(rows, top)
        held: list[list[tuple[np.ndarray, np.ndarray]]] = []
        known = np.zeros(len(self.query_codes.data[rows]), np.int64)
        for near, good, out in self.chunks(rows):
            known += np.array([np.count_nonzero(row) for row in good])
            there = np.ones(near.shape, bool) if len(out[0]) else None
            if there is not None:
                there[out] = False
            held = held or [[] for _ in near]
            for row, parts in enumerate(held):
                # Among equal distances the earlier position comes first, so only strictly
                # nearer items can enter a full list.
                full = len(parts) == 1 and len(parts[0][0]) == top
                nearer = near[row] < parts[0][0][-1] if full else np.ones(len(near[row]), bool)
                nearer = nearer if there is None else nearer & there[row]
                parts.append((near[row][nearer], good[row][nearer]))
                if sum(len(part) for part, _ in parts) >= top:
                    all_near, all_good = (
                        np.concatenate(column) for column in zip(*parts, strict=True)
                    )
                    parts[:] = [nearest(all_near, all_good, top)]
        hits = np.zeros((len(held), top), bool)
        for row, parts in enumerate(held):
            all_near, all_good = (np.concatenate(column) for column in zip(*parts, strict=True))
            if len(all_near) != top or len(parts) > 1:
                all_good = nearest(all_near, all_good, top)[1] if len(all_near) else all_good
            hits[row, : len(all_good)] = all_good
        return hits, known

    def fast_counts(self, rows: slice) -> Counts:
        """The same as `counts`, by machine code."""
        bins = self.query_codes.bits + 1
        pairs = self.pairs_of(rows)
        found = np.zeros((pairs.asked.shape[1], 2 * bins), np.int64)
        kernels().count_pairs(pairs, found)
        row, item = self.left_out(rows, 0, len(self.database_codes))
        if len(row):
            words = pairs.asked[:, row] ^ self.words[:, item]
            key = np.bitwise_count(words).sum(axis=0, dtype=np.int64)
            key += bins * self.relevance.of_pairs(row + (rows.start or 0), item)
            np.subtract.at(found, (row, key), 1)
        irrelevant, relevant = found[:, :bins], found[:, bins:]
        return Counts(irrelevant + relevant, relevant.copy())

    def fast_first_hits(
        self, rows: slice, top: int
    ) -> tuple[Bool[np.ndarray, "q t"], Int64[np.ndarray, " q"]]:
        """The same as `first_hits`, by machine code: counts first, which say where items go."""
        counts = self.fast_counts(rows)
        places = counts.nearer(counts.total)
        # The last distance with an item in the first T; beyond it nothing is looked at.
        reach = np.count_nonzero(places < top, axis=1) - 1
        none = np.full((len(places), 1), -1)
        left_out = none if self.voters is None else self.voters[rows]
        hits = np.zeros((len(places), top), bool)
        kernels().place_hits(self.pairs_of(rows), reach, places, left_out, hits.view(np.uint8))
        return hits, counts.relevant.sum(axis=1)

    def pairs_of(self, rows: slice) -> Any:
        """What machine code is given of some queries and of the database: words and labels."""
        own, theirs = self.relevance.queries[rows], self.relevance.database
        classes = own.ndim == 1
        labels = (own[:, None], theirs[None]) if classes else (own, theirs)
        asked = as_words(self.query_codes.data[rows])
        return kernels().Pairs(asked, self.words, *labels, classes)

    def parts(self, rounding: str | None) -> dict[str, object]:
        """The parts that end every signature."""
        queries, database = len(self.query_codes), len(self.database_codes)
        sizes = {"q": queries, "db": database, "bits": self.query_codes.bits}
        without = None if self.exclusion is None else self.exclusion.name
        return {"rel": "any", "without": without, **sizes, "round": rounding}


def kernels() -> Any:
    """The module of machine code; None where numba cannot be loaded."""
    try:
        from hashprobe.evaluation import pair_kernels
    except ImportError:
        return None
    return pair_kernels


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuses an option that is not one of its Literal's values."""
    if value not in get_args(choices):
        known = ", ".join(get_args(choices))
        raise HashprobeError(f"{name} must be one of {known}; got {value!r}")


def hits_within(
    ranking: Ranking, rows: slice, tops: Integer[np.ndarray, " p"], ties: Ties
) -> Float64[np.ndarray, "q p"]:
    """Relevant items among the first T, for several T; whole numbers except for `expected`."""
    if ties == "stable":
        hits, _ = ranking.first_hits(rows, int(tops.max()))
        return np.cumsum(hits, axis=1)[:, tops - 1].astype(np.float64)
    counts = ranking.counts(rows)
    result = np.empty((len(counts.total), len(tops)))
    for column, top in enumerate(tops.tolist()):
        result[:, column] = group_hits(counts, top, ties).sum(axis=1)
    return result


def group_hits(
    counts: Counts, top: int, ties: Ties
) -> Int64[np.ndarray, "q d"] | Float64[np.ndarray, "q d"]:
    """Relevant items of each group in the top T, under a tie policy."""
    # Over its orders, a group that T cuts gives r m / n hits on average, at most min(r, m) and
    # at least max(0, m - (n - r)).
    n, r, m = counts.total, counts.relevant, counts.within(top)
    hits: np.ndarray = r * m / np.maximum(n, 1)
    if ties == "best":
        hits = np.minimum(r, m)
    if ties == "worst":
        hits = np.maximum(0, m - (n - r))
    return hits
