"""How the interval of a mean over queries is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.ranking import check_choice
from hashprobe.types import check_seed


BLOCK_DRAWS = 1 << 14
"""Values drawn at once, so that the intervals need little memory."""
Method = Literal["gaffke", "percentile"]
"""How an interval is computed; `percentile` is that of versions whose signatures name none."""
LEAST = 10
"""Fewest queries that an interval is given for: with fewer it would span a third of the range or
more, whatever the values are."""
BOUNDS = (0.0, 1.0)
"""The range of a measure that is a share."""


@checked
@dataclass(frozen=True)
class Bootstrap:
    """How the interval of a mean over queries is computed.

    `gaffke` (Gaffke, Three test statistics for a nonparametric one-sided hypothesis on the mean of
    a nonnegative variable, 2005; Learned-Miller and Thomas, A new confidence interval for the mean
    of a bounded random variable, 2020): the queries get random weights (Rubin's Bayesian bootstrap)
    together with one more query, whose value is the lower end of the range for the lower bound and
    the upper end for the upper bound. For values at the two ends of the range alone it is the exact
    interval of Clopper and Pearson. No case is known in which it holds the mean less often than it
    says; `benchmarks/interval_coverage.py` simulates it.

    `percentile` resamples the queries. With few queries or rare large values it holds the mean far
    less often than it says.

    Raises:
        HashprobeError: resamples is below 1, confidence not between 0 and 1, a seed out of range,
            or an unknown method.

    Example:
        >>> Bootstrap(resamples=200).confidence
        0.95
    """

    resamples: int = 2000
    """How many times weights, or queries with replacement, are drawn."""
    confidence: float = 0.95
    """How often the interval is to hold the mean, in (0, 1)."""
    seed: int = 0
    """Seed of the draws: the same values give the same interval."""
    method: Method = "gaffke"
    """`gaffke`, or `percentile` as before 0.2."""

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise HashprobeError(f"the bootstrap needs at least 1 resample; got {self.resamples}")
        if not 0 < self.confidence < 1:
            raise HashprobeError(f"confidence must lie between 0 and 1; got {self.confidence}")
        check_choice("method", self.method, Method)
        check_seed(self.seed)

    @checked
    def interval(
        self, per_query: Float64[np.ndarray, "q p"], bounds: tuple[float, float] = BOUNDS
    ) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " p"]]:
        """Bounds of the mean over queries, the same draws for each of P columns.

        Args:
            per_query: float64 (Q, P), without NaN.
            bounds: the range of the values; values beyond it widen it.

        Returns:
            Lower and upper bounds, float64 (P,) each; NaN under `gaffke` with fewer than 10
            queries.
        """
        tail = (1 - self.confidence) / 2
        if self.method == "percentile":
            means = self.drawn(per_query, resampled_means)
            low, high = np.quantile(means, [tail, 1 - tail], axis=0)
            return low, high
        if len(per_query) < LEAST:
            return (np.full(per_query.shape[1], np.nan),) * 2
        least = np.minimum(bounds[0], per_query.min(axis=0))
        most = np.maximum(bounds[1], per_query.max(axis=0))
        drawn = self.drawn(per_query, weighted_means)
        sums, extra = drawn[:, :-1], drawn[:, -1:]
        low = np.quantile(sums + extra * least, tail, axis=0)
        high = np.quantile(sums + extra * most, 1 - tail, axis=0)
        for column in np.flatnonzero(((per_query == least) | (per_query == most)).all(axis=0)):
            hits = int((per_query[:, column] == most[column]).sum())
            ends = clopper_pearson(hits, len(per_query), tail)
            width = most[column] - least[column]
            low[column], high[column] = (least[column] + width * end for end in ends)
        return low, high

    @checked
    def doubts(
        self, per_query: Float64[np.ndarray, " q"], at: float, bounds: tuple[float, float] = BOUNDS
    ) -> tuple[float, float]:
        """p-values of two claims about the mean: that it is above a value, and that it is below.

        The mean is above at level p where the lower bound of the interval with tails p is above.

        Args:
            per_query: float64 (Q,), without NaN.
            at: the value.
            bounds: the range of the values; values beyond it widen it.

        Returns:
            How far the queries allow that the mean is not above, and that it is not below; 1 and 1
            under `gaffke` with fewer than 10 queries.

        Example:
            >>> above, below = BOOTSTRAP.doubts(np.full(50, 0.4), 0.3)
            >>> above < 0.01, below
            (True, 1.0)
        """
        values = per_query[:, None]
        if self.method == "percentile":
            means = self.drawn(values, resampled_means)
            return float((means <= at).mean()), float((means >= at).mean())
        if len(per_query) < LEAST:
            return 1.0, 1.0
        drawn = self.drawn(values, weighted_means)
        least, most = min(bounds[0], per_query.min()), max(bounds[1], per_query.max())
        low, high = (drawn[:, 0] + drawn[:, 1] * end for end in (least, most))
        return float((low <= at).mean()), float((high >= at).mean())

    def drawn(
        self,
        per_query: Float64[np.ndarray, "q p"],
        means: Callable[[np.random.Generator, int, np.ndarray], np.ndarray],
    ) -> Float64[np.ndarray, "r m"]:
        """One row of means a draw, some draws at a time."""
        random, parts = np.random.default_rng(self.seed), []
        step = max(1, BLOCK_DRAWS // per_query.size)
        for start in range(0, self.resamples, step):
            parts.append(means(random, min(step, self.resamples - start), per_query))
        return np.concatenate(parts)


def resampled_means(random: np.random.Generator, draws: int, values: np.ndarray) -> np.ndarray:
    """Means of queries drawn with replacement."""
    means: np.ndarray = values[random.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    return means


def weighted_means(random: np.random.Generator, draws: int, values: np.ndarray) -> np.ndarray:
    """Sums of the values by random weights, and in the last column the weight of one more query."""
    weights = random.standard_exponential((draws, len(values) + 1))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.column_stack([weights[:, :-1] @ values, weights[:, -1]])


def clopper_pearson(hits: int, tries: int, tail: float) -> tuple[float, float]:
    """The exact interval of a rate (Clopper and Pearson, 1934).

    Example:
        >>> [round(end, 4) for end in clopper_pearson(0, 10, 0.025)]
        [0.0, 0.3085]
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped]

    low = betaincinv(hits, tries - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, tries - hits, 1 - tail) if hits < tries else 1.0
    return float(low), float(high)


BOOTSTRAP = Bootstrap()
"""Gaffke's interval, 2,000 draws, 95 %, seed 0."""
