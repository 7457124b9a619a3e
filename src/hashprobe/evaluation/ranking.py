"""Who is near a query and who is relevant: counts by distance, ordered hits, tie policies.

Codes of K bits are at one of K + 1 distances, so that most database items share theirs with many
others and their order decides the measure. Four policies say which order is meant: `stable`
(distance, then database position: what every index here returns), `expected` (the mean over all
orders of equal distances), `best` and `worst` (the orders that give the extreme value).

Notation: for the group of items at distance d, n items of which r are relevant; N items and R
relevant ones lie strictly nearer; m = min(n, max(0, T - N)) of them make it into the top T.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, Shaped, UInt8, UInt16

from hashprobe.codes import PackedCodes
from hashprobe.codes.packed import BLOCK_ENTRIES, as_words, check_same_bits, word_distances
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


Ties = Literal["stable", "expected", "best", "worst"]
"""Which order of equal distances is meant."""
Normaliser = Literal["hits", "min", "relevant"]
"""What AP@T divides by: hits in the top T, min(R, T), or R relevant items in the database."""
Empty = Literal["zero", "skip", "error"]
"""What a query without a value counts: 0, nothing, or an error."""
Distances: TypeAlias = UInt8[np.ndarray, "q n"] | UInt16[np.ndarray, "q n"]
"""Hamming distances of a block of queries to the whole database."""


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
        """m: items of each group that make it into the top T."""
        kept: np.ndarray = np.clip(top - self.nearer(self.total), 0, self.total)
        return kept


@dataclass(frozen=True, eq=False)
class Ranking:
    """Queries before a database, checked, and walked in blocks of bounded memory.

    Raises:
        HashprobeError: the database or the queries are empty, codes differ in length, labels are
            not multi-hot bool, or there are more or fewer of them than codes.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.eye(2, dtype=bool)
        >>> [(d.tolist(), r.tolist()) for _, d, r in Ranking(codes, codes, labels, labels).blocks()]
        [([[0, 8], [8, 0]], [[True, False], [False, True]])]
    """

    query_codes: PackedCodes
    """Q codes of K bits."""
    database_codes: PackedCodes
    """N codes of K bits."""
    query_labels: Bool[np.ndarray, "q _"]
    """Multi-hot (Q, C): what counts as relevant to each query."""
    database_labels: Bool[np.ndarray, "n _"]
    """Multi-hot (N, C)."""
    asked: str = "query"
    """Whose labels the queries carry, `query` or `target`, for messages."""

    def __post_init__(self) -> None:
        check_same_bits(self.query_codes, self.database_codes)
        if len(self.database_codes) == 0:
            raise HashprobeError("the database is empty: there is nothing to retrieve")
        if len(self.query_codes) == 0:
            raise HashprobeError("there are no queries to score")
        check_labels(self.query_labels, self.query_codes, self.asked, "query")
        check_labels(self.database_labels, self.database_codes, "database", "database")
        widths = self.query_labels.shape[1], self.database_labels.shape[1]
        if widths[0] != widths[1]:
            raise HashprobeError(
                f"{self.asked} labels have {widths[0]} classes, database labels {widths[1]}: "
                "both must be over the same classes"
            )

    def blocks(self) -> Iterator[tuple[slice, Distances, Bool[np.ndarray, "q n"]]]:
        """Walks the queries in blocks whose size does not depend on how many there are.

        Yields:
            The rows of the block, their distances (q, N), and which items are relevant (q, N).
        """
        words = as_words(self.database_codes.data)
        labels = as_words(np.packbits(self.database_labels, axis=1))
        widest = max(len(self.database_codes), 2 * (self.query_codes.bits + 1))
        step = max(1, BLOCK_ENTRIES // widest)
        for start in range(0, len(self.query_codes), step):
            rows = slice(start, min(start + step, len(self.query_codes)))
            distances = word_distances(as_words(self.query_codes.data[rows]), words)
            asked = as_words(np.packbits(self.query_labels[rows], axis=1))
            relevant = (asked[0][:, None] & labels[0][None, :]) != 0
            for left, right in zip(asked[1:], labels[1:], strict=True):
                relevant |= (left[:, None] & right[None, :]) != 0
            yield rows, distances, relevant

    def parts(self, rounding: str | None) -> dict[str, object]:
        """The parts that end every signature."""
        queries, database = len(self.query_codes), len(self.database_codes)
        sizes = {"q": queries, "db": database, "bits": self.query_codes.bits}
        return {"rel": "any", **sizes, "round": rounding}


def as_labels(values: Any, classes: int | None = None) -> Labels:
    """Reads labels as multi-hot.

    Args:
        values: (N,) integers 0..C-1, one an item; or (N, C) multi-hot in bool or 0/1.
        classes: C; None takes the largest integer + 1, or the width given.

    Returns:
        bool (N, C).

    Raises:
        HashprobeError: another shape or dtype, a negative label, or one that is not below C.

    Example:
        >>> as_labels(np.array([2, 0]))
        array([[False, False,  True],
               [ True, False, False]])
    """
    array = np.asarray(values)
    if array.ndim == 2:
        return multi_hot(array, classes)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        seen = f"{array.dtype} of shape {array.shape}"
        raise HashprobeError(f"labels must be integers (N,) or multi-hot (N, C); got {seen}")
    if array.size and array.min() < 0:
        where = int(np.argmin(array))
        raise HashprobeError(f"labels must not be negative; got {array[where]} at item {where}")
    width = (int(array.max()) + 1 if array.size else 1) if classes is None else classes
    if array.size and array.max() >= width:
        where = int(np.argmax(array))
        raise HashprobeError(f"label {array[where]} of item {where} is not below {width} classes")
    result = np.zeros((len(array), width), dtype=bool)
    result[np.arange(len(array)), array] = True
    return result


def multi_hot(array: Shaped[np.ndarray, "n c"], classes: int | None) -> Labels:
    """Multi-hot labels in bool, from bool or 0/1."""
    if classes is not None and array.shape[1] != classes:
        raise HashprobeError(f"labels must have {classes} classes; got {array.shape[1]}")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf" or not ((array == 0) | (array == 1)).all():
        raise HashprobeError(f"multi-hot labels must be bool or 0/1; got dtype {array.dtype}")
    return array.astype(bool)


def check_labels(labels: np.ndarray, codes: PackedCodes, name: str, side: str) -> None:
    """Refuses labels that are not one multi-hot row a code."""
    if labels.ndim != 2 or labels.dtype != np.bool_ or labels.shape[1] == 0:
        seen = f"{labels.dtype} of shape {labels.shape}"
        raise HashprobeError(
            f"{name} labels must be multi-hot bool (N, C), see as_labels; got {seen}"
        )
    if len(labels) != len(codes):
        raise HashprobeError(f"{len(labels)} {name} labels for {len(codes)} {side} codes")


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuses an option that is none of its Literal's values."""
    if value not in get_args(choices):
        known = ", ".join(get_args(choices))
        raise HashprobeError(f"{name} must be one of {known}; got {value!r}")


def count_distances(distances: Distances, relevant: Bool[np.ndarray, "q n"], bits: int) -> Counts:
    """Counts a block's items by distance, in one pass and without a sort.

    Args:
        distances: (q, N) in 0..K.
        relevant: (q, N).
        bits: K.

    Returns:
        Counts over the K + 1 distances.

    Example:
        >>> near = np.array([[0, 1, 1]], dtype=np.uint8)
        >>> count_distances(near, np.array([[True, False, True]]), bits=8).relevant[0, :2]
        array([1, 1])
    """
    bins = bits + 1
    keys = distances.astype(np.intp)
    keys += relevant * np.intp(bins)
    keys += (np.arange(len(keys)) * 2 * bins)[:, None]
    both = np.bincount(keys.ravel(), minlength=2 * bins * len(keys)).reshape(-1, 2, bins)
    return Counts(both.sum(axis=1), both[:, 1])


def ordered_hits(
    distances: Distances, relevant: Bool[np.ndarray, "q n"], top: int
) -> Bool[np.ndarray, "q t"]:
    """Which of the first T places hold a relevant item, by distance, then database position.

    Args:
        distances: (q, N).
        relevant: (q, N).
        top: T in 1..N.

    Returns:
        bool (q, T), nearest first.

    Example:
        >>> near = np.array([[2, 1, 1]], dtype=np.uint8)
        >>> ordered_hits(near, np.array([[True, False, True]]), 3)
        array([[False,  True,  True]])
    """
    hits = np.empty((len(distances), top), dtype=bool)
    for row, (near, good) in enumerate(zip(distances, relevant, strict=True)):
        if top < len(near):  # sort only what can be in the top T
            last = np.searchsorted(np.cumsum(np.bincount(near)), top)
            kept = np.flatnonzero(near <= last)
            near, good = near[kept], good[kept]
        hits[row] = good[np.argsort(near, kind="stable")[:top]]
    return hits


def hits_within(
    distances: Distances,
    relevant: Bool[np.ndarray, "q n"],
    tops: Integer[np.ndarray, " p"],
    *,
    bits: int,
    ties: Ties,
) -> Float64[np.ndarray, "q p"]:
    """Relevant items among the first T, for several T.

    A group cut at T gives r m / n hits on average over its orders, at most min(r, m) and at least
    max(0, m - (n - r)).

    Args:
        distances: (q, N).
        relevant: (q, N).
        tops: the values of T, each in 1..N.
        bits: K.
        ties: tie policy.

    Returns:
        float64 (q, P); whole numbers except for `expected`.

    Example:
        >>> near = np.array([[1, 1, 1]], dtype=np.uint8)
        >>> hits_within(near, np.array([[True, True, False]]), np.array([1, 3]), bits=8,
        ...             ties="expected")
        array([[0.66666667, 2.        ]])
    """
    if ties == "stable":
        running = np.cumsum(ordered_hits(distances, relevant, int(tops.max())), axis=1)
        return running[:, tops - 1].astype(np.float64)
    counts = count_distances(distances, relevant, bits)
    result = np.empty((len(distances), len(tops)))
    for column, top in enumerate(tops.tolist()):
        result[:, column] = group_hits(counts, top, ties).sum(axis=1)
    return result


def group_hits(
    counts: Counts, top: int, ties: Ties
) -> Int64[np.ndarray, "q d"] | Float64[np.ndarray, "q d"]:
    """Relevant items of each group that make it into the top T, under a tie policy."""
    n, r, m = counts.total, counts.relevant, counts.within(top)
    hits: np.ndarray = r * m / np.maximum(n, 1)
    if ties == "best":
        hits = np.minimum(r, m)
    if ties == "worst":
        hits = np.maximum(0, m - (n - r))
    return hits
