"""A number, its interval and the signature that says exactly how it was computed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float64

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, BOUNDS, Bootstrap
from hashprobe.evaluation.ranking import Empty


TOO_FEW = "too few queries for an interval"
"""What is printed in the place of the interval."""


@checked
@dataclass(frozen=True, eq=False)
class Measurement:
    """A mean over queries with its interval; compared only with one of the same measure.

    Example:
        >>> a = Measurement.of(np.linspace(0.5, 1, 20), "P@2|v:0.1")
        >>> print(a, a.signature)
        0.750 [0.611, 0.827] P@2|ci:gaffke|v:0.1
        >>> print(Measurement.of(np.array([1.0, 0.5]), "P@2|v:0.1"))
        0.750 (too few queries for an interval)
        >>> round((a - Measurement.of(np.linspace(0, 1, 20), "P@2|v:0.1")).value, 3)
        0.25
        >>> a - Measurement.of(np.linspace(0, 1, 20), "R@2|v:0.1")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: different measures: P@2|v:0.1 and R@2|v:0.1
    """

    value: float
    """Mean over the queries that count."""
    low: float | None
    """Lower bound of the interval; None with too few queries for one."""
    high: float | None
    """Upper bound of the interval; None with too few queries for one."""
    signature: str
    """How the number was computed, `key:value` parts joined by `|`; `ci` names its interval."""
    per_query: Float64[np.ndarray, " q"]
    """float64 (Q,); NaN where the query was skipped."""
    confidence: float
    """How often the interval is to hold the mean, in (0, 1)."""
    bounds: tuple[float, float] = BOUNDS
    """The range of the values."""

    @classmethod
    @checked
    def of(
        cls,
        per_query: Float64[np.ndarray, " q"],
        signature: str,
        bootstrap: Bootstrap = BOOTSTRAP,
        bounds: tuple[float, float] = BOUNDS,
    ) -> Measurement:
        """Averages values over queries.

        Args:
            per_query: float64 (Q,); NaN leaves the query out.
            signature: how the values were computed; the method of the interval is added.
            bootstrap: how the interval is computed.
            bounds: the range of the values; values beyond it widen it.

        Returns:
            The mean and its interval.

        Raises:
            HashprobeError: no query is left.
        """
        counted = per_query[~np.isnan(per_query)]
        if not counted.size:
            raise HashprobeError(f"no query is left to average in {signature}: all were skipped")
        ends = (float(end[0]) for end in bootstrap.interval(counted[:, None], bounds))
        low, high = (None if np.isnan(end) else end for end in ends)
        signature = with_method(signature, bootstrap.method)
        value = float(counted.mean())
        return cls(value, low, high, signature, per_query, bootstrap.confidence, bounds)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} ({TOO_FEW})"
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


@checked
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
    """Lower bounds; NaN with too few queries for an interval."""
    high: Float64[np.ndarray, " p"]
    """Upper bounds; NaN with too few queries for an interval."""
    signature: str
    """How the numbers were computed."""
    confidence: float
    """Share that each interval holds, in (0, 1)."""

    @classmethod
    @checked
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
        signature = with_method(signature, bootstrap.method)
        return cls(at, counted.mean(axis=0), low, high, signature, bootstrap.confidence)

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: lists of at, value, low and high, and the signature."""
        names = ("at", "value", "low", "high")
        lists: dict[str, Any] = {
            name: [None if np.isnan(v) else v for v in getattr(self, name).tolist()]
            for name in names
        }
        return {**lists, "signature": self.signature}


@checked
def paired_difference(
    a: Measurement, b: Measurement, bootstrap: Bootstrap = BOOTSTRAP
) -> Measurement:
    """Subtracts query by query, so that what both have in common does not widen the interval.

    Args:
        a: a measurement over Q queries.
        b: one of the same measure over the same queries in the same order.
        bootstrap: how the interval is computed.

    Returns:
        a - b; a query that one of them skipped is left out.

    Raises:
        HashprobeError: the measures or the numbers of queries differ, or no query is left.

    Example:
        >>> values = np.linspace(0, 0.8, 100)
        >>> a = Measurement.of(values + 0.1, "P@2|v:0.1")
        >>> b = Measurement.of(values, "P@2|v:0.1")
        >>> print(paired_difference(a, b))
        0.100 [0.062, 0.131]
    """
    check_comparable(a, b)
    bounds = a.bounds[0] - b.bounds[1], a.bounds[1] - b.bounds[0]
    signature = f"difference:{a.signature}"
    return Measurement.of(a.per_query - b.per_query, signature, bootstrap, bounds)


def check_comparable(a: Measurement, b: Measurement) -> None:
    """Refuses two numbers that were not computed in the same way; their intervals may differ."""
    one, other = measure_of(a.signature), measure_of(b.signature)
    if one != other:
        raise HashprobeError(f"different measures: {one} and {other}")
    if len(a.per_query) != len(b.per_query):
        seen = f"{len(a.per_query)} and {len(b.per_query)}"
        raise HashprobeError(f"these numbers are over different queries: {seen}")


def sign(name: str, **parts: object) -> str:
    """The signature of a number: its name, its parts in order, and the version."""
    given = [f"{key}:{value}" for key, value in parts.items() if value is not None]
    release = ".".join(version("hashprobe").split(".")[:2])
    return "|".join([name, *given, f"v:{release}"])


def with_method(signature: str, method: str) -> str:
    """A signature that names the method of the interval, before the version at its end.

    Example:
        >>> with_method("MAP@all|q:5|v:0.1", "gaffke"), with_method("MAP@all|v:0.1", "percentile")
        ('MAP@all|q:5|ci:gaffke|v:0.1', 'MAP@all|v:0.1')
    """
    measure = measure_of(signature)
    if method == "percentile":  # signatures of then name no method
        return measure
    head, mark, version = measure.rpartition("|v:")
    return f"{head or version}|ci:{method}{mark if head else ''}{version if head else ''}"


def measure_of(signature: str) -> str:
    """A signature without the method of the interval, which does not change the number itself.

    Example:
        >>> measure_of("MAP@all|q:5|ci:gaffke|v:0.1")
        'MAP@all|q:5|v:0.1'
    """
    return "|".join(part for part in signature.split("|") if not part.startswith("ci:"))


def fill_empty(
    values: Float64[np.ndarray, "q p"], empty: Empty, reason: str, first: int = 0
) -> Float64[np.ndarray, "q p"]:
    """Applies the policy to the queries whose values are NaN."""
    missing = np.isnan(values).any(axis=1)
    if empty == "error" and missing.any():
        number, query = int(missing.sum()), first + int(np.argmax(missing))
        raise HashprobeError(f"{reason} for {number} queries, the first is query {query}")
    return np.where(missing[:, None], 0.0, values) if empty == "zero" else values
