"""Which queries and database items show the same source picture, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from hashprobe.checked import checked, shown
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.ranking import Ranking


NEVER = -1
"""What stands for the distance of a query whose source has no item in the database."""


@checked
@dataclass(frozen=True, eq=False)
class Sources:
    """The source picture of each query and of each database item, as numbers from 0.

    Two pictures with the same number are copies of one picture: the same file, a crop, an edit.
    Make one by `of`, `alone` or `by_hash`.

    Raises:
        HashprobeError: a negative number.

    Example:
        >>> sources = Sources.of(["cat.jpg", "dog.jpg"], ["dog.jpg", "cow.jpg", "dog.jpg"])
        >>> sources.known
        array([False,  True])
    """

    queries: Int64[np.ndarray, " q"]
    """(Q,) source of each query."""
    items: Int64[np.ndarray, " n"]
    """(N,) source of each database item."""
    found: str = "given"
    """How the sources are known, for signatures: `given`, `alone` or `hash` with its radius."""

    def __post_init__(self) -> None:
        for name, numbers in (("queries", self.queries), ("items", self.items)):
            if numbers.size and numbers.min() < 0:
                raise HashprobeError(f"sources of {name} must not be negative; got {numbers.min()}")

    @classmethod
    @checked
    def of(cls, queries: Any, items: Any) -> Sources:
        """Sources by any names: whole numbers or texts, the same name for the same picture.

        Args:
            queries: (Q,) names.
            items: (N,) names of the same kind.

        Raises:
            HashprobeError: names of another kind, of two kinds, or not one an item.

        Example:
            >>> Sources.of([7, 9], [9, 9, 8]).items
            array([2, 2, 1])
        """
        one, other = names_of(queries, "queries"), names_of(items, "items")
        if one.size and other.size and (one.dtype.kind == "U") != (other.dtype.kind == "U"):
            raise HashprobeError(
                "sources of queries and items must both be texts or both whole numbers; got "
                f"{shown(one[0])} and {shown(other[0])}"
            )
        if one.dtype.kind != other.dtype.kind:  # whole numbers of two kinds, or one side is empty
            common = "U" if "U" in (one.dtype.kind, other.dtype.kind) else np.int64
            one, other = one.astype(common), other.astype(common)
        numbers = np.unique(np.concatenate([one, other]), return_inverse=True)[1].astype(np.int64)
        return cls(numbers[: len(one)], numbers[len(one) :])

    @classmethod
    @checked
    def alone(cls, queries: int, items: int) -> Sources:
        """Sources where nothing is known: each picture is its own.

        A query that is in the database, too, then counts as another picture.

        Example:
            >>> Sources.alone(2, 3).known.any()
            np.False_
        """
        return cls(np.arange(items, items + queries), np.arange(items), "alone")

    @classmethod
    @checked
    def by_hash(cls, queries: PackedCodes, items: PackedCodes, radius: int) -> Sources:
        """Sources by the hash itself: items within a radius of a query show the same picture.

        Pictures that are linked through others belong together. With such sources no match within
        the radius can be false, so a false-match rate says nothing.

        Args:
            queries: Q clean codes.
            items: N codes.
            radius: largest distance of two copies, 0 to the bits.

        Raises:
            HashprobeError: codes that do not fit each other, or the radius.

        Example:
            >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
            >>> Sources.by_hash(codes[:1], codes, 2).items
            array([0, 0, 1])
        """
        from scipy.sparse import coo_matrix  # type: ignore[import-untyped]
        from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

        check_radius(radius, queries.bits)
        ranking = Ranking(queries, items, *cls.alone(len(queries), len(items)).pair)
        edges = []
        for rows, parts in ranking.each(lambda rows: pairs_within(ranking, rows, radius)):
            edges += [(row + rows.start, column) for row, column in parts]
        row = np.concatenate([part for part, _ in edges])
        column = np.concatenate([part for _, part in edges]) + len(queries)
        size = len(queries) + len(items)
        graph = coo_matrix((np.ones(len(row), bool), (row, column)), shape=(size, size))
        joined = connected_components(graph, directed=False)[1].astype(np.int64)
        return cls(joined[: len(queries)], joined[len(queries) :], f"hash@r{radius}")

    @property
    def pair(self) -> tuple[Int64[np.ndarray, " q"], Int64[np.ndarray, " n"]]:
        """Both sides, as `Ranking` takes classes."""
        return self.queries, self.items

    @property
    def known(self) -> np.ndarray:
        """(Q,) whether the database holds an item of the query's source."""
        held: np.ndarray = np.isin(self.queries, self.items)
        return held

    def take(self, rows: Any) -> Sources:
        """The same for some of the queries."""
        return Sources(self.queries[rows], self.items, self.found)

    def ranking(self, queries: PackedCodes, database: PackedCodes) -> Ranking:
        """Codes in which an item of the query's source is relevant.

        Raises:
            HashprobeError: not one source for each code, or codes that do not fit each other.
        """
        for name, sources, codes in (
            ("query", self.queries, queries),
            ("database", self.items, database),
        ):
            if len(sources) != len(codes):
                raise HashprobeError(f"{len(sources)} {name} sources for {len(codes)} codes")
        return Ranking(queries, database, self.queries, self.items)


@dataclass(frozen=True, eq=False)
class Survey:
    """How many items of its own source and of others lie at each distance from each query.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> found = survey(codes[:1], codes, Sources.of([1], [2, 1, 2]))
        >>> found.nearest_own, found.other[0]
        (array([1]), array([1, 0, 0, 0, 0, 0, 0, 0, 1]))
    """

    own: Int64[np.ndarray, "q d"]
    """Items of the same source at each distance 0..K."""
    other: Int64[np.ndarray, "q d"]
    """Items of other sources at each distance 0..K."""

    @property
    def nearest_own(self) -> Int64[np.ndarray, " q"]:
        """Distance to the nearest item of the same source; -1 where there is none."""
        return first_of(self.own)

    @property
    def nearest(self) -> Int64[np.ndarray, " q"]:
        """Distance to the nearest item of all."""
        return first_of(self.own + self.other)

    def matched(self, radius: int) -> np.ndarray:
        """(Q,) float64: 1 where an item of the same source lies within a radius, else 0.

        NaN where the database holds no item of the source.
        """
        near = self.nearest_own
        values: np.ndarray = np.where(near == NEVER, np.nan, near <= radius)
        return values


def survey(queries: PackedCodes, database: PackedCodes, sources: Sources) -> Survey:
    """Counts the database by distance and source for each query, exactly and in bounded memory."""
    return survey_of(sources.ranking(queries, database))


def survey_of(ranking: Ranking) -> Survey:
    """The same for a ranking in which an item of the query's source is relevant."""
    shape = len(ranking.query_codes), ranking.query_codes.bits + 1
    own, other = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for rows, counts in ranking.each(ranking.counts, counted=True):
        own[rows], other[rows] = counts.relevant, counts.total - counts.relevant
    return Survey(own, other)


def first_of(counts: Int64[np.ndarray, "q d"]) -> Int64[np.ndarray, " q"]:
    """The first distance at which there is something, -1 where there is nothing."""
    near: np.ndarray = np.where(counts.any(axis=1), (counts > 0).argmax(axis=1), NEVER)
    return near


def pairs_within(ranking: Ranking, rows: slice, radius: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of a block and database positions of all pairs within a radius."""
    found, start = [], 0
    for near, _, _ in ranking.chunks(rows):
        row, column = np.nonzero(near <= radius)
        found.append((row, column + start))
        start += near.shape[1]
    return found


def check_radius(radius: int, bits: int) -> None:
    """Refuses a radius that no distance can have."""
    if not 0 <= radius <= bits:
        raise HashprobeError(f"radius must be 0 to the bits, {bits}; got {radius}")


def names_of(values: Any, what: str) -> np.ndarray:
    """Names of sources as an array of whole numbers or texts."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise HashprobeError(
            f"sources of {what} must be a list of names; got {shown(values)}"
        ) from error
    if not array.size and array.ndim == 1:
        return array.astype(np.int64)
    big = array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max
    if array.ndim != 1 or array.dtype.kind not in "iuU" or big:
        raise HashprobeError(
            f"sources of {what} must be whole numbers or texts, one a picture; got {shown(array)}"
        )
    return array if array.dtype.kind == "U" else array.astype(np.int64)
