"""Sources of a database of which all but a few items are the only one of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, eq=False)
class FewSources:
    """The source of each of N items, without an array of N numbers.

    Example:
        >>> items = FewSources(5, first=2, positions=np.array([1, 4]), numbers=np.array([0, 0]))
        >>> items[1:4], items[np.array([4, 0])]
        (array([0, 4, 5]), array([0, 2]))
    """

    count: int
    """N."""
    first: int
    """The number of item 0 where it is alone; that of item p is p more. No query has such ones."""
    positions: Int64[np.ndarray, " p"]
    """Rising positions of the items that share their source with a query or another item."""
    numbers: Int64[np.ndarray, " p"]
    """Their sources: below `first`, or the number that the first item of a group would have."""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self.count)
            found = np.arange(start, stop, dtype=np.int64) + self.first
            low, high = np.searchsorted(self.positions, (start, stop))
            found[self.positions[low:high] - start] = self.numbers[low:high]
            return found
        found = np.asarray(rows, np.int64) + self.first
        listed = np.isin(rows, self.positions)
        found[listed] = self.numbers[np.searchsorted(self.positions, np.asarray(rows)[listed])]
        return found


@dataclass(frozen=True, eq=False)
class Numbered:
    """Sources of queries and items as numbers from 0 without gaps, in the order of their own.

    Example:
        >>> found = Numbered(np.array([7, 3]), np.array([3, 3, 9]))
        >>> found.total, found.asked, found.of_items(np.array([2])), found.sizes(np.arange(3))
        (3, array([1, 0]), array([2]), array([2, 0, 1]))
    """

    queries: Int64[np.ndarray, " q"]
    items: Int64[np.ndarray, " n"] | FewSources

    @cached_property
    def known(self) -> tuple[Int64[np.ndarray, " u"], Int64[np.ndarray, " u"]]:
        """Rising numbers as they were given, and items of each; without items that are alone."""
        named = self.items.numbers if isinstance(self.items, FewSources) else self.items
        held, counts = np.unique(named, return_counts=True)
        numbers = np.union1d(self.queries, held)
        sizes = np.zeros(len(numbers), np.int64)
        sizes[np.searchsorted(numbers, held)] = counts
        return numbers, sizes

    @property
    def alone(self) -> int:
        """Items that are left out of `known`."""
        if not isinstance(self.items, FewSources):
            return 0
        return len(self.items) - len(self.items.positions)

    @property
    def total(self) -> int:
        """How many sources there are."""
        return len(self.known[0]) + self.alone

    @property
    def held(self) -> int:
        """How many of them have an item."""
        return int(np.count_nonzero(self.known[1])) + self.alone

    @property
    def asked(self) -> Int64[np.ndarray, " q"]:
        """The source of each query."""
        return self.place(self.queries)

    @property
    def named(self) -> Int64[np.ndarray, " s"]:
        """Sources of queries, and those that have other than one item."""
        numbers, sizes = self.known
        return self.place(numbers[(sizes != 1) | np.isin(numbers, self.queries)])

    def place(self, numbers: np.ndarray) -> Int64[np.ndarray, " m"]:
        """Numbers as they were given, without gaps."""
        places: np.ndarray = np.searchsorted(self.known[0], numbers)
        if isinstance(self.items, FewSources):
            before = (numbers - self.items.first).clip(0, self.items.count)
            places = places + before - np.searchsorted(self.items.positions, before)
        return places

    def of_items(self, positions: np.ndarray) -> Int64[np.ndarray, " m"]:
        """The sources of some items."""
        return self.place(self.items[positions])

    def sizes(self, sources: np.ndarray) -> Int64[np.ndarray, " m"]:
        """How many items some sources have."""
        numbers, counts = self.known
        places = self.place(numbers)
        at = np.searchsorted(places, sources).clip(max=len(places) - 1)
        found: np.ndarray = np.where(places[at] == sources, counts[at], 1)
        return found
