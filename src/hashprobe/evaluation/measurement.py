"""A number, its interval and the signature that says exactly how it was computed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float64

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.ranking import Empty
from hashprobe.types import check_seed


BLOCK_DRAWS = 1 << 14
"""Values drawn at once, so that the intervals need little memory."""


@dataclass(frozen=True)
class Bootstrap:
    """How an interval is drawn: the percentile bootstrap over queries.

    Raises:
        HashprobeError: resamples is below 1, or confidence not between 0 and 1, or a seed out of
            range.

    Example:
        >>> Bootstrap(resamples=200).confidence
        0.95
    """

    resamples: int = 1000
    """How many times the queries are drawn, with replacement."""
    confidence: float = 0.95
    """Share of the resampled means that the interval holds, in (0, 1)."""
    seed: int = 0
    """Seed of the draws: the same values give the same interval."""

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise HashprobeError(f"the bootstrap needs at least 1 resample; got {self.resamples}")
        if not 0 < self.confidence < 1:
            raise HashprobeError(f"confidence must lie between 0 and 1; got {self.confidence}")
        check_seed(self.seed)

    def interval(
        self, per_query: Float64[np.ndarray, "q p"]
    ) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
        """Bounds of the mean over queries, the same draws for each of P columns.

        Args:
            per_query: float64 (Q, P), without NaN.

        Returns:
            Lower and upper bounds, float64 (P,) each.
        """
        random = np.random.default_rng(self.seed)
        means = np.empty((self.resamples, per_query.shape[1]))
        step = max(1, BLOCK_DRAWS // per_query.size)
        for start in range(0, self.resamples, step):
            draws = min(step, self.resamples - start)
            drawn = random.integers(len(per_query), size=(draws, len(per_query)))
            means[start : start + draws] = per_query[drawn].mean(axis=1)
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail], axis=0)
        return low, high


BOOTSTRAP = Bootstrap()
"""1,000 resamples, 95 %, seed 0."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """A mean over queries with its interval; compared only with one of the same signature.

    Example:
        >>> a = Measurement.of(np.array([1.0, 0.5]), "P@2|v:0.1")
        >>> print(a)
        0.750 [0.500, 1.000]
        >>> (a - Measurement.of(np.array([0.5, 0.0]), "P@2|v:0.1")).value
        0.5
        >>> a - Measurement.of(np.array([0.5, 0.0]), "R@2|v:0.1")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: different measures: P@2|v:0.1 and R@2|v:0.1
    """

    value: float
    """Mean over the queries that count."""
    low: float
    """Lower bound of the interval."""
    high: float
    """Upper bound of the interval."""
    signature: str
    """How the number was computed, `key:value` parts joined by `|`."""
    per_query: Float64[np.ndarray, " q"]
    """float64 (Q,); NaN where the query was skipped."""
    confidence: float
    """Share that the interval holds, in (0, 1)."""

    @classmethod
    def of(
        cls, per_query: Float64[np.ndarray, " q"], signature: str, bootstrap: Bootstrap = BOOTSTRAP
    ) -> Measurement:
        """Averages values over queries.

        Args:
            per_query: float64 (Q,); NaN leaves the query out.
            signature: how the values were computed.
            bootstrap: how the interval is drawn.

        Returns:
            The mean and its interval.

        Raises:
            HashprobeError: no query is left.
        """
        counted = per_query[~np.isnan(per_query)]
        if not counted.size:
            raise HashprobeError(f"no query is left to average in {signature}: all were skipped")
        low, high = bootstrap.interval(counted[:, None])
        value, bounds = float(counted.mean()), (float(low[0]), float(high[0]))
        return cls(value, *bounds, signature, per_query, bootstrap.confidence)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __sub__(self, other: Measurement) -> Measurement:
        return paired_difference(self, other)

    def __lt__(self, other: Measurement) -> bool:
        check_comparable(self, other)
        return self.value < other.value

    def __gt__(self, other: Measurement) -> bool:
        check_comparable(self, other)
        return self.value > other.value

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: value, low, high and signature."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {**named, "signature": self.signature}


@dataclass(frozen=True, eq=False)
class Curve:
    """A measurement at each of several list lengths, over the same resampled queries.

    Example:
        >>> curve = Curve.of(np.array([1, 2]), np.array([[1.0, 0.5]]), "P@N|v:0.1")
        >>> curve.value
        array([1. , 0.5])
    """

    at: np.ndarray
    """The list lengths, int64 (P,)."""
    value: Float64[np.ndarray, " p"]
    """Means over queries."""
    low: Float64[np.ndarray, " p"]
    """Lower bounds."""
    high: Float64[np.ndarray, " p"]
    """Upper bounds."""
    signature: str
    """How the numbers were computed."""
    confidence: float
    """Share that each interval holds, in (0, 1)."""

    @classmethod
    def of(
        cls,
        at: np.ndarray,
        per_query: Float64[np.ndarray, "q p"],
        signature: str,
        bootstrap: Bootstrap = BOOTSTRAP,
    ) -> Curve:
        """Averages each column over queries; rows with NaN are left out.

        Raises:
            HashprobeError: no query is left.
        """
        counted = per_query[~np.isnan(per_query).any(axis=1)]
        if not len(counted):
            raise HashprobeError(f"no query is left to average in {signature}: all were skipped")
        low, high = bootstrap.interval(counted)
        return cls(at, counted.mean(axis=0), low, high, signature, bootstrap.confidence)

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: lists of at, value, low and high, and the signature."""
        names = ("at", "value", "low", "high")
        lists: dict[str, Any] = {name: getattr(self, name).tolist() for name in names}
        return {**lists, "signature": self.signature}


def paired_difference(
    a: Measurement, b: Measurement, bootstrap: Bootstrap = BOOTSTRAP
) -> Measurement:
    """Subtracts query by query, so that what both have in common does not widen the interval.

    Args:
        a: a measurement over Q queries.
        b: one of the same signature over the same queries in the same order.
        bootstrap: how the interval is drawn.

    Returns:
        a - b; a query that one of them skipped is left out.

    Raises:
        HashprobeError: the signatures or the numbers of queries differ, or no query is left.

    Example:
        >>> a = Measurement.of(np.array([0.9, 0.4]), "P@2|v:0.1")
        >>> b = Measurement.of(np.array([0.8, 0.3]), "P@2|v:0.1")
        >>> print(paired_difference(a, b))
        0.100 [0.100, 0.100]
    """
    check_comparable(a, b)
    return Measurement.of(a.per_query - b.per_query, f"difference:{a.signature}", bootstrap)


def check_comparable(a: Measurement, b: Measurement) -> None:
    """Refuses two numbers that were not computed in the same way."""
    if a.signature != b.signature:
        raise HashprobeError(f"different measures: {a.signature} and {b.signature}")
    if len(a.per_query) != len(b.per_query):
        seen = f"{len(a.per_query)} and {len(b.per_query)}"
        raise HashprobeError(f"these numbers are over different queries: {seen}")


def sign(name: str, **parts: object) -> str:
    """The signature of a number: its name, its parts in order, and the version."""
    given = [f"{key}:{value}" for key, value in parts.items() if value is not None]
    release = ".".join(version("hashprobe").split(".")[:2])
    return "|".join([name, *given, f"v:{release}"])


def fill_empty(
    values: Float64[np.ndarray, "q p"], empty: Empty, reason: str, first: int = 0
) -> Float64[np.ndarray, "q p"]:
    """Applies the policy to the queries whose values are NaN."""
    missing = np.isnan(values).any(axis=1)
    if empty == "error" and missing.any():
        number, query = int(missing.sum()), first + int(np.argmax(missing))
        raise HashprobeError(f"{reason} for {number} queries, the first is query {query}")
    return np.where(missing[:, None], 0.0, values) if empty == "zero" else values
