"""Which queries and database items show the same source picture, and how far apart they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from hashprobe.checked import checked, shown
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import AnyCodes, parts_of
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.few_sources import FewSources
from hashprobe.evaluation.ranking import Ranking


SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
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
    items: Int64[np.ndarray, " n"] | FewSources
    """(N,) source of each database item; of a database in files only those that are not alone."""
    found: str = "given"
    """How the sources are known, for signatures: `given`, `alone` or `hash` with its radius."""

    def __post_init__(self) -> None:
        items = self.items.numbers if isinstance(self.items, FewSources) else self.items
        for name, numbers in (("queries", self.queries), ("items", items)):
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
    def alone_in(cls, queries: int, database: AnyCodes) -> Sources:
        """The same as `alone` for the items of a database; of one in files no array is made."""
        if isinstance(database, PackedCodes):
            return cls.alone(queries, len(database))
        none, size = np.zeros(0, np.int64), len(database)
        return cls(np.arange(size, size + queries), FewSources(size, 0, none, none), "alone")

    @classmethod
    @checked
    def by_hash(cls, queries: PackedCodes, items: AnyCodes, radius: int) -> Sources:
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
            array([0, 0, 3])
        """
        from scipy.sparse import coo_matrix  # type: ignore[import-untyped]
        from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

        check_radius(radius, queries.bits)
        edges = []
        for start, ranking in cls.alone_in(len(queries), items).rankings(queries, items):
            for rows, parts in ranking.each(partial(pairs_within, ranking, radius=radius)):
                edges += [(row + rows.start, column + start) for row, column in parts]
        row = np.concatenate([part for part, _ in edges])
        linked, column = np.unique(np.concatenate([part for _, part in edges]), return_inverse=True)
        size = len(queries) + len(linked)
        ends = (row, column + len(queries))
        graph = coo_matrix((np.ones(len(row), bool), ends), shape=(size, size))
        count, joined = connected_components(graph, directed=False)
        joined = joined.astype(np.int64)
        few = FewSources(len(items), int(count), linked, joined[len(queries) :])
        held = few[:] if isinstance(items, PackedCodes) else few
        return cls(joined[: len(queries)], held, f"hash@r{radius}")

    @property
    def pair(self) -> tuple[Int64[np.ndarray, " q"], Int64[np.ndarray, " n"]]:
        """Both sides, as `Ranking` takes classes."""
        return self.queries, self.items[:]

    @property
    def known(self) -> np.ndarray:
        """(Q,) whether the database holds an item of the query's source."""
        held: np.ndarray = np.isin(self.queries, self.named_items[0])
        return held

    @property
    def named_items(self) -> tuple[np.ndarray, np.ndarray]:
        """Sources, and positions, of all items of which a query may have the source."""
        if isinstance(self.items, FewSources):
            return self.items.numbers, self.items.positions
        return self.items, np.arange(len(self.items))

    @property
    def own(self) -> list[Int64[np.ndarray, " m"]]:
        """Rising positions of the items of each query's own source."""
        numbers, positions = self.named_items
        order = np.argsort(numbers, kind="stable")
        low, high = (np.searchsorted(numbers[order], self.queries, side) for side in SIDES)
        return [positions[order[a:b]] for a, b in zip(low, high, strict=True)]

    def take(self, rows: Any) -> Sources:
        """The same for some of the queries."""
        return Sources(self.queries[rows], self.items, self.found)

    def rankings(
        self, queries: PackedCodes, database: AnyCodes, most: int | None = None
    ) -> Iterator[tuple[int, Ranking]]:
        """Parts of a database in which an item of the query's source is relevant.

        Args:
            queries: Q codes.
            database: N codes.
            most: items of a part; None for all that are in memory together.

        Yields:
            The place of the first item, and the queries with the part.

        Raises:
            HashprobeError: not one source for each code, or codes that do not fit each other.
        """
        for name, sources, codes in (
            ("query", self.queries, queries),
            ("database", self.items, database),
        ):
            if len(sources) != len(codes):
                raise HashprobeError(f"{len(sources)} {name} sources for {len(codes)} codes")
        for start, part in parts_of(database, most):
            items = self.items[start : start + len(part)]
            yield start, Ranking(queries, part, self.queries, items)


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


def survey(queries: PackedCodes, database: AnyCodes, sources: Sources) -> Survey:
    """Counts the database by distance and source for each query, exactly and in bounded memory."""
    shape = len(queries), queries.bits + 1
    own, other = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for _, ranking in sources.rankings(queries, database):
        for rows, counts in ranking.each(ranking.counts, counted=True):
            own[rows] += counts.relevant
            other[rows] += counts.total - counts.relevant
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
