"""What a search service answers, and what an adversary who sees only its answers wants of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.checked import checked
from hashprobe.codes.index.base import Searched
from hashprobe.codes.index.sharded_index import searched
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import AnyCodes
from hashprobe.errors import HashprobeError


Wish: TypeAlias = Literal["leave", "enter"]
"""Whether a query is to lose its items from the answers, or to find them there."""
NOTHING = -1
"""What stands in a list where it has no item."""


@checked
@dataclass(frozen=True, eq=False)
class Search:
    """A search service over a database, and what each of Q queries is to reach there.

    Raises:
        HashprobeError: positions beyond the database, queries without an item that they could
            enter, a radius beyond the codes, or an empty database.

    Example:
        >>> database = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> search = Search(database, np.array([[1]]), radius=2)
        >>> search.answer(database[:1]).positions, search.answer(database[:1]).distances
        (array([[0, 1]]), array([[0, 8]]))
    """

    database: AnyCodes
    """N codes of K bits, which the service searches."""
    items: Int64[np.ndarray, "q m"]
    """Database positions of the items that each query is to leave or to enter; -1 for none. A query
    with none is to leave all items."""
    radius: int
    """Largest distance that matches, 0 to K."""
    wish: Wish = "leave"
    """`leave`: none of the items matches; `enter`: one of them does."""
    top: int = 10
    """Length of the lists that the service returns."""
    only_matches: bool = False
    """Whether it returns only what lies within the radius."""
    served: Searched | None = None
    """Who answers, where the same codes are searched elsewhere; None: an index in memory."""

    def __post_init__(self) -> None:
        size = len(self.database)
        if not size:
            raise HashprobeError("the database is empty: there is nothing to search")
        if not 0 <= self.radius <= self.database.bits:
            bits = self.database.bits
            raise HashprobeError(f"radius must be 0 to the bits, {bits}; got {self.radius}")
        if self.served is not None and len(self.served) != size:
            there = len(self.served)
            raise HashprobeError(f"the table that is searched has {there} codes now, not {size}")
        if self.top < 1:
            raise HashprobeError(f"top must be at least 1; got {self.top}")
        if self.items.size and not NOTHING <= self.items.min() <= self.items.max() < size:
            odd = self.items[(self.items < NOTHING) | (self.items >= size)][0]
            raise HashprobeError(f"database positions must be -1 to {size - 1}; got {odd}")
        if self.wish == "enter" and (self.items < 0).all(axis=1).any():
            row = int((self.items < 0).all(axis=1).argmax())
            raise HashprobeError(f"query {row} has no item to enter: give one a query")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def index(self) -> Searched:
        """The database, ready to be searched."""
        return searched(self.database) if self.served is None else self.served

    def take(self, rows: Any) -> Search:
        """The same service for some of the queries: rows are a list or an index array."""
        return replace(self, items=self.items[rows])

    def to_json(self) -> dict[str, Any]:
        """What goes into a file beside checksums of the database and the items."""
        names = ("radius", "wish", "top", "only_matches")
        return {name: getattr(self, name) for name in names}

    def answer(self, codes: PackedCodes) -> Answer:
        """The nearest items of some codes, by (distance, position)."""
        near, positions = self.index.search(codes, min(self.top, len(self.database)))
        distances = near.astype(np.int64)
        if self.only_matches:
            positions = np.where(distances <= self.radius, positions, NOTHING)
        return Answer(positions, distances)


@dataclass(frozen=True, eq=False)
class Answer:
    """Lists that a service returned for M pictures.

    Example:
        >>> Answer(np.array([[3, -1]]), None).distances is None
        True
    """

    positions: Int64[np.ndarray, "m k"]
    """Database positions, the nearest first; -1 where there is nothing."""
    distances: Int64[np.ndarray, "m k"] | None
    """Distances of these items; None where the service does not say them."""


@dataclass(frozen=True, eq=False)
class Reading:
    """How an adversary reads answers: a score a query, higher is better, and whether it is there.

    With distances the score is that of the nearest of the query's items; an item that is not in the
    list counts as one farther than the last. Without them it is the place of the first of the
    items and, between places, the share of a known list that is, or is no more, in the answer: of
    the clean query's own list (leave), or of the list that the item itself gets (enter).

    Example:
        >>> search = Search(PackedCodes.from_signs(np.eye(8)), np.array([[2]]), radius=1)
        >>> Reading(search).of([0], Answer(np.array([[4, 2]]), np.array([[0, 2]])))
        (array([2.]), array([ True]))
    """

    search: Search
    known: Int64[np.ndarray, "q k"] | None = None
    """The known list of each query; None where distances are known."""

    def of(self, rows: list[int], answer: Answer) -> tuple[Float64[np.ndarray, " m"], np.ndarray]:
        """Scores and success of the answers for some queries."""
        search, positions = self.search, answer.positions
        there, items = positions >= 0, search.items[rows]
        wanted = (positions[:, :, None] == items[:, None, :]).any(axis=2) & there
        free = (items < 0).all(axis=1)
        wanted[free] = there[free]
        length = positions.shape[1]
        place = np.where(wanted.any(axis=1), wanted.argmax(axis=1), there.sum(axis=1))
        found = wanted.any(axis=1)
        leave = search.wish == "leave"
        if answer.distances is None:
            inside = found if search.only_matches or leave else place == 0
            score = place.astype(np.float64)
            score = np.where(found, score, length)
            if self.known is not None:
                both = (positions[:, :, None] == self.known[rows][:, None, :]) & there[:, :, None]
                score += 1 - both.any(axis=2).sum(axis=1) / (length + 1)
        else:
            seen = np.where(there, answer.distances, NOTHING)
            beyond = seen.max(axis=1) + 1
            if search.only_matches:
                beyond[:] = search.radius + 1
            at = np.minimum(place, length - 1)[:, None]
            near = np.where(found, np.take_along_axis(answer.distances, at, axis=1)[:, 0], beyond)
            score, inside = near.astype(np.float64), found & (near <= search.radius)
        return (score, ~inside) if leave else (-score, inside)
