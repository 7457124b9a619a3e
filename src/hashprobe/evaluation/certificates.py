"""Certificates: what no attack within a budget can do, from votes of noisy copies or from bounds.

A bit that no change within eps turns over is fixed. The distance of an attacked query to any stored
code then lies between its mismatches among the fixed bits and those plus all other bits. From these
two ends follow a lower bound of the match rate, an upper bound of the collision rate and a lower
bound of AP@T. An attack gives the other side: what it reaches can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.average import extreme_terms, harmonic
from hashprobe.evaluation.instances import Sources, check_radius
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.evaluation.ranking import Counts, group_hits
from hashprobe.types import Labels, Signs, check_whole


BLOCK = 16
"""Queries whose distances to all items are in memory together."""


@checked
@dataclass(frozen=True, eq=False)
class BitCertificate:
    """The codes of Q queries, and how far each bit holds.

    Raises:
        HashprobeError: parts of different shapes, or a radius that is negative or not a number.

    Example:
        >>> held = BitCertificate(np.ones((1, 2), np.int8), np.array([[0.3, 0.1]]), "l2")
        >>> held.flips(0.2).tolist()
        [1]
    """

    signs: Signs
    """(Q, K) codes, -1 and +1."""
    radius: Float64[np.ndarray, "q k"]
    """(Q, K): no change of a norm up to it turns the bit over; 0 where nothing is known."""
    norm: str
    """The norm of the radius: l2 or linf, of pixels in [0, 1]."""

    def __post_init__(self) -> None:
        if self.signs.shape != self.radius.shape:
            raise HashprobeError(
                f"a certificate has a radius for each bit; got shapes {self.signs.shape} and "
                f"{self.radius.shape}"
            )
        if not (self.radius >= 0).all():
            raise HashprobeError("the radius of a bit must be 0 or above")
        if self.norm not in ("l2", "linf"):
            raise HashprobeError(f"the norm of a certificate is l2 or linf; got {self.norm!r:.40}")

    def __len__(self) -> int:
        return len(self.signs)

    @property
    def codes(self) -> PackedCodes:
        """The codes; a bit of which nothing is known has its more likely value."""
        return PackedCodes.from_signs(self.signs)

    def open(self, eps: float) -> Bool[np.ndarray, "q k"]:
        """Which bits a change of norm eps might turn over."""
        if not eps >= 0:
            raise HashprobeError(f"eps must be 0 or above; got {eps}")
        found: np.ndarray = (self.radius == 0) | (self.radius < eps)
        return found

    def flips(self, eps: float) -> Int64[np.ndarray, " q"]:
        """The most bits of each query that a change of norm eps turns over."""
        count: np.ndarray = self.open(eps).sum(1, dtype=np.int64)
        return count

    @checked
    def distances(
        self, database: PackedCodes, eps: float, rows: slice = slice(None)
    ) -> tuple[Integer[np.ndarray, "q n"], Integer[np.ndarray, "q n"]]:
        """The smallest and the largest distance to each stored code that a change may bring.

        Args:
            database: N codes of K bits.
            eps: norm of the change.
            rows: which queries.

        Raises:
            HashprobeError: codes of another length.
        """
        if database.bits != self.signs.shape[1]:
            raise HashprobeError(
                f"the certificate is of {self.signs.shape[1]} bits and the database has "
                f"{database.bits}"
            )
        fixed = ~self.open(eps)[rows]
        kept = np.where(fixed, self.signs[rows], 0).astype(np.float32)
        agreement = kept @ database.signs().astype(np.float32).T
        count = fixed.sum(1, keepdims=True)
        low = ((count - agreement) / 2).round().astype(np.int64)
        return low, low + (fixed.shape[1] - count)


@checked
def certified_match(
    held: BitCertificate, database: PackedCodes, sources: Sources, radius: int, eps: float
) -> Measurement:
    """A lower bound of the match rate at a radius under every attack of norm eps.

    A query counts where an item of the same source lies within the radius whatever its open bits
    become.

    Args:
        held: of Q queries.
        database: N codes of K bits.
        sources: which picture each of them shows.
        radius: r, largest distance that matches, 0 to K.
        eps: norm of the change.

    Returns:
        The share with its interval over queries; NaN for queries without a source.

    Raises:
        HashprobeError: sources, codes or a radius that do not fit, or no query with a source.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> held = BitCertificate(codes.signs(), np.full((2, 8), 0.1), "linf")
        >>> known = Sources.of([0, 1], [0, 1])
        >>> [certified_match(held, codes, known, 2, eps).value for eps in (0.05, 0.2)]
        [1.0, 0.0]
    """
    check_radius(radius, database.bits)
    check_sources(sources, held, database)
    values = np.full(len(held), np.nan)
    for rows in blocks(len(held)):
        _, high = held.distances(database, eps, rows)
        same = same_source(sources, rows)
        some = same.any(1)
        values[rows] = np.where(some, (same & (high <= radius)).any(1), np.nan)
    if np.isnan(values).all():
        raise HashprobeError("no query has a source in the database: nothing can match")
    name = f"certified-match@r{radius}"
    return Measurement.of(values, signed(name, held, database, eps))


@checked
def certified_collision(
    held: BitCertificate, database: PackedCodes, sources: Sources, radius: int, eps: float
) -> Measurement:
    """An upper bound of the rate of queries that reach an item of another source within a radius.

    Args:
        held: of Q queries.
        database: N codes of K bits.
        sources: which picture each of them shows.
        radius: r, largest distance that matches, 0 to K.
        eps: norm of the change.

    Returns:
        The share with its interval over queries.

    Raises:
        HashprobeError: sources, codes or a radius that do not fit.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> held = BitCertificate(codes.signs(), np.full((2, 8), 0.1), "linf")
        >>> known = Sources.of([0, 1], [0, 1])
        >>> [certified_collision(held, codes, known, 2, eps).value for eps in (0.05, 0.2)]
        [0.0, 1.0]
    """
    check_radius(radius, database.bits)
    check_sources(sources, held, database)
    values = np.zeros(len(held))
    for rows in blocks(len(held)):
        low, _ = held.distances(database, eps, rows)
        values[rows] = (~same_source(sources, rows) & (low <= radius)).any(1)
    name = f"certified-collision@r{radius}"
    return Measurement.of(values, signed(name, held, database, eps))


@checked
def certified_map(
    held: BitCertificate,
    database: PackedCodes,
    query_labels: Labels,
    labels: Bool[np.ndarray, "d c"],
    *,
    eps: float,
    top: int | None = None,
) -> Measurement:
    """A lower bound of MAP@T under every attack of norm eps.

    Every relevant item is taken at its largest distance and every other at its smallest, and ties
    go against the relevant ones. AP is divided by min(R, T), with R relevant items: divided by the
    hits alone, as the field does, it can rise where a hit is lost and has no such bound.

    Args:
        held: of Q queries.
        database: N codes of K bits.
        query_labels: (Q, C) multi-hot.
        labels: (N, C) multi-hot.
        eps: norm of the change.
        top: T; by default the whole database.

    Returns:
        The bound with its interval over queries; 0 for queries without relevant items.

    Raises:
        HashprobeError: labels or codes that do not fit.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> held = BitCertificate(codes.signs(), np.full((2, 8), 0.1), "linf")
        >>> eye = np.eye(2, dtype=bool)
        >>> [certified_map(held, codes, eye, eye, eps=eps).value for eps in (0.05, 0.2)]
        [1.0, 0.5]
    """
    if len(query_labels) != len(held) or len(labels) != len(database):
        raise HashprobeError(
            f"{len(query_labels)} and {len(labels)} labels for {len(held)} queries and "
            f"{len(database)} items"
        )
    if query_labels.shape[1] != labels.shape[1]:
        raise HashprobeError(
            f"queries have {query_labels.shape[1]} classes but the database has {labels.shape[1]}"
        )
    length = len(database) if top is None else check_whole("top", top)
    table, values = harmonic(min(length, len(database))), np.zeros(len(held))
    for rows in blocks(len(held)):
        low, high = held.distances(database, eps, rows)
        relevant = query_labels[rows].astype(np.float32) @ labels.T > 0
        found = by_distance(high, relevant, database.bits)
        counts = Counts(found + by_distance(low, ~relevant, database.bits), found)
        hits = group_hits(counts, length, "worst").astype(np.int64)
        sums = extreme_terms(counts, length, table, "worst", hits).sum(1)
        values[rows] = sums / np.maximum(1, np.minimum(relevant.sum(1), length))
    name = f"certified-MAP@{'all' if top is None else top}"
    return Measurement.of(values, signed(name, held, database, eps, norm="min"))


def by_distance(
    distances: Integer[np.ndarray, "q n"], chosen: Bool[np.ndarray, "q n"], bits: int
) -> Int64[np.ndarray, "q d"]:
    """How many of the chosen items lie at each distance 0..K."""
    counts = [
        np.bincount(row[mask], minlength=bits + 1)
        for row, mask in zip(distances, chosen, strict=True)
    ]
    return np.array(counts, np.int64)


def check_sources(sources: Sources, held: BitCertificate, database: PackedCodes) -> None:
    """Refuses sources of other numbers of queries or items."""
    seen = len(sources.queries), len(sources.items)
    if seen != (len(held), len(database)):
        raise HashprobeError(
            f"sources of {seen[0]} queries and {seen[1]} items for {len(held)} queries and "
            f"{len(database)} items: make them of the same ones"
        )


def same_source(sources: Sources, rows: slice) -> Bool[np.ndarray, "q n"]:
    """Which items show the picture of each query."""
    same: np.ndarray = sources.queries[rows, None] == sources.items[:][None]
    return same


def blocks(count: int) -> list[slice]:
    """Queries, some at a time."""
    return [slice(begin, min(begin + BLOCK, count)) for begin in range(0, count, BLOCK)]


def signed(
    name: str, held: BitCertificate, database: PackedCodes, eps: float, **more: object
) -> str:
    """The signature of a certified number."""
    sizes = {"q": len(held), "db": len(database), "bits": database.bits}
    return sign(name, **{held.norm: f"{eps:g}", **more, **sizes})
