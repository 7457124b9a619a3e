"""False matches: how often pictures of different sources lie within a radius of each other.

Pairs share pictures, so they are not independent. The interval of a rate therefore resamples
pictures: each source gets one random weight (Rubin's Bayesian bootstrap), which counts in every
pair that it takes part in, as query and as item. With g_s the share of the false matches that
source s takes part in, less what its number of pairs would give it, the resampled rate is to first
order p + sum over s of (w_s - 1) g_s. The interval is never narrower than that of Clopper and
Pearson for independent pairs, which also covers rates at which no pair was seen. Where few pictures
are alike to many others, rates are skewed, so the upper bound is also at least that of the same
deviation on a log scale. Simulated with a quarter of the pictures in three clusters of alike ones,
95 % intervals missed the rate in 2 % (60 x 60 pictures) to 6 % (30 x 300 and 100 x 1,000); those of
Clopper and Pearson alone missed it in 37 % to 82 %.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, LEAST, Bootstrap, clopper_pearson
from hashprobe.evaluation.instances import Sources, Survey, check_radius, survey_of
from hashprobe.evaluation.measurement import Measurement, sign, with_method
from hashprobe.evaluation.ranking import Ranking
from hashprobe.evaluation.threshold import SEEN, Threshold


FACTOR = 16.0
"""Radii are looked at whose rate is this many times below or above the wanted one."""
METHOD = "picture"
"""What signatures call the interval."""
WEIGHTS = 1 << 22
"""Random weights drawn at once."""


@dataclass(frozen=True, eq=False)
class FalseMatches:
    """The false-match rate of clean queries at every radius; made by `false_matches`.

    Example:
        >>> codes = PackedCodes.from_signs(np.random.default_rng(0).random((40, 16)) > 0.5)
        >>> found = false_matches(codes[:20], codes, Sources.of(range(20), range(40)))
        >>> found.pairs, round(float(found.curve[4]), 3)
        (780, 0.032)
        >>> print(found.rate(4))
        0.032 [0.015, 0.055]
    """

    survey: Survey
    """Counts by distance and source."""
    ranking: Ranking = field(repr=False)
    """Queries and database, in which an item of the query's source is relevant."""
    parts: dict[str, object]
    """The parts that end every signature."""
    bootstrap: Bootstrap = BOOTSTRAP
    """How many draws, and how often an interval is to hold the rate."""

    @property
    def pairs(self) -> int:
        """Pairs of a query and an item of different sources."""
        return int(self.survey.other.sum())

    @property
    def within(self) -> Int64[np.ndarray, "q d"]:
        """(Q, K + 1) items of other sources within each radius of each query."""
        counts: np.ndarray = np.cumsum(self.survey.other, axis=1)
        return counts

    @property
    def curve(self) -> Float64[np.ndarray, " d"]:
        """(K + 1,) share of the pairs of different sources within each radius."""
        rates: np.ndarray = self.within.sum(axis=0) / self.pairs
        return rates

    @property
    def queries_curve(self) -> Float64[np.ndarray, " d"]:
        """(K + 1,) share of the queries with any false match within each radius."""
        shares: np.ndarray = (self.within > 0).mean(axis=0)
        return shares

    @checked
    def rate(self, radius: int) -> Measurement:
        """The share of the pairs of different sources within a radius, with its interval.

        Args:
            radius: r, 0 to K.

        Returns:
            The rate; per query the share of its own pairs. The interval resamples pictures; there
            is none with fewer than 10 sources.

        Raises:
            HashprobeError: the radius does not fit.
        """
        check_radius(radius, self.ranking.query_codes.bits)
        low, high = self.bounds(radius, radius)
        items = self.survey.other.sum(axis=1)
        counted = self.within[:, radius]
        shares = np.divide(counted, items, out=np.full(len(items), np.nan), where=items > 0)
        signature = with_method(sign(f"false-match@r{radius}", **self.parts), METHOD)
        lower, upper = (None if np.isnan(end[0]) else float(end[0]) for end in (low, high))
        value = float(self.curve[radius])
        return Measurement(value, lower, upper, signature, shares, self.bootstrap.confidence)

    @checked
    def queries(self, radius: int) -> Measurement:
        """The share of the queries with any item of another source within a radius.

        Args:
            radius: r, 0 to K.

        Raises:
            HashprobeError: the radius does not fit.
        """
        check_radius(radius, self.ranking.query_codes.bits)
        values = (self.within[:, radius] > 0).astype(np.float64)
        signature = sign(f"false-match-queries@r{radius}", **self.parts)
        return Measurement.of(values, signature, self.bootstrap)

    @checked
    def threshold(self, wanted: float) -> Threshold:
        """The largest radius whose false-match rate is not above a wanted one.

        The interval holds the radii whose rate may be the wanted one: its ends are the largest
        radii at which the upper and the lower bound of the rate are not above it.

        Args:
            wanted: rate of false matches per pair, above 0 and below 1.

        Returns:
            The radius with its interval, and whether there are pairs enough to see such a rate.

        Raises:
            HashprobeError: the rate is out of range.

        Example:
            >>> codes = PackedCodes.from_signs(np.random.default_rng(0).random((400, 32)) > 0.5)
            >>> sources = Sources.of(range(200), range(400))
            >>> print(false_matches(codes[:200], codes, sources).threshold(1e-3))
            radius 7 [6, 7] for a false-match rate of 0.001
        """
        if not 0 < wanted < 1:
            raise HashprobeError(f"a false-match rate must be above 0 and below 1; got {wanted}")
        curve, last = self.curve, self.ranking.query_codes.bits
        radius = int(np.searchsorted(curve, wanted, side="right")) - 1
        # No rate is surely above the wanted one that fewer than 10 pairs tell of.
        far = max(wanted * FACTOR, (wanted * self.pairs + SEEN) / self.pairs)
        stop = min(last, int(np.searchsorted(curve, far, side="right")))
        none_yet = max(0, int(np.searchsorted(curve, 0.0, side="right")) - 1)
        near = max(none_yet, int(np.searchsorted(curve, wanted / FACTOR, side="right")) - 2)
        low, high = self.bounds(near, stop)
        if not (high <= wanted).any() and none_yet < near:
            near = none_yet
            low, high = self.bounds(near, stop)
        # Radii below the window have smaller bounds than its first one, or none has a pair yet.
        ends = [radius]
        for bounds in (high, low):
            fit = np.flatnonzero(bounds <= wanted)
            ends.append(int(fit[-1]) + near if len(fit) else -1)
        chosen, sure, possible = (None if end < 0 else end for end in ends)
        rate, pictures = float(curve[max(radius, 0)]), self.numbered[2]
        return Threshold(chosen, sure, possible, wanted, rate, self.pairs, pictures)

    @property
    def numbered(self) -> tuple[Int64[np.ndarray, " q"], Int64[np.ndarray, " n"], int]:
        """Sources of queries and items as numbers without gaps, and how many there are."""
        asked, held = self.ranking.query_labels, self.ranking.database_labels
        known, numbers = np.unique(np.concatenate([asked, held]), return_inverse=True)
        return numbers[: len(asked)], numbers[len(asked) :], len(known)

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: both curves over the radius 0..K, and the number of pairs."""
        curves = {"curve": self.curve.tolist(), "queries_curve": self.queries_curve.tolist()}
        return {**curves, "pairs": self.pairs, "signature": sign("false-match", **self.parts)}

    def bounds(
        self, first: int, last: int
    ) -> tuple[Float64[np.ndarray, " w"], Float64[np.ndarray, " w"]]:
        """Bounds of the rates at the radii from first to last; NaN with too few sources."""
        if self.numbered[2] < LEAST:
            return (np.full(last - first + 1, np.nan),) * 2
        influence = self.influence(first, last)
        rates = self.curve[first : last + 1]
        tail = (1 - self.bootstrap.confidence) / 2
        drawn = rates + drawn_sums(influence, self.bootstrap)
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
        counts = self.within[:, first : last + 1].sum(axis=0)
        exact = np.array([clopper_pearson(int(n), self.pairs, tail) for n in counts])
        low, high = np.minimum(low, exact[:, 0]), np.maximum(high, exact[:, 1])
        high = np.maximum(high, self.upper_on_log_scale(rates, drawn.std(axis=0), tail))
        return low.clip(0, 1), high.clip(0, 1)

    def upper_on_log_scale(
        self, rates: Float64[np.ndarray, " w"], spread: Float64[np.ndarray, " w"], tail: float
    ) -> Float64[np.ndarray, " w"]:
        """p exp(t s / p) with Student's t for as many pictures as the smaller side has."""
        from scipy.special import stdtrit  # type: ignore[import-untyped]

        asked, held, _ = self.numbered
        fewer = min(len(np.unique(asked)), len(np.unique(held)))
        reach = stdtrit(max(1, fewer - 1), 1 - tail) * spread
        exponent = np.divide(reach, rates, out=np.zeros_like(rates), where=rates > 0)
        upper: np.ndarray = rates * np.exp(exponent.clip(max=50))
        return upper

    def influence(self, first: int, last: int) -> Float64[np.ndarray, "s w"]:
        """g of each source at the radii from first to last."""
        asked, held, sources = self.numbered
        window = last - first + 1
        counts = np.zeros((sources, window))
        np.add.at(counts, asked, self.within[:, first : last + 1])
        np.add.at(counts, held, self.item_counts(first, last))
        taking_part = np.zeros(sources)
        np.add.at(taking_part, asked, self.survey.other.sum(axis=1))
        same = np.bincount(asked, minlength=sources)
        np.add.at(taking_part, held, len(asked) - same[held])
        rates = self.curve[first : last + 1]
        centred: np.ndarray = (counts - taking_part[:, None] * rates) / self.pairs
        return centred

    def item_counts(self, first: int, last: int) -> Int64[np.ndarray, "n w"]:
        """(N, W) queries of other sources within each radius of each item."""
        window, size = last - first + 1, len(self.ranking.database_codes)
        counts = np.zeros((size, window), np.int64)
        for _, parts in self.ranking.each(lambda rows: self.close(rows, first, last)):
            start = 0
            for width, cells in parts:
                some = np.bincount(cells, minlength=width * window)
                counts[start : start + width] += some.reshape(width, window)
                start += width
        totals: np.ndarray = np.cumsum(counts, axis=1)
        return totals

    def close(self, rows: slice, first: int, last: int) -> list[tuple[int, np.ndarray]]:
        """Of each chunk its width, and item and distance of the false matches as one number."""
        window, found = last - first + 1, []
        for near, own, _ in self.ranking.chunks(rows):
            row, column = np.nonzero((near <= last) & ~own)
            past = np.maximum(near[row, column].astype(np.int64) - first, 0)
            found.append((near.shape[1], column * window + past))
        return found


@checked
def false_matches(
    codes: PackedCodes,
    database: PackedCodes,
    sources: Sources,
    *,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> FalseMatches:
    """Counts how often queries lie within a radius of items of other sources, at every radius.

    Args:
        codes: Q clean query codes of K bits.
        database: N codes of K bits.
        sources: which picture each of them shows; pairs of one source do not count.
        bootstrap: how the intervals are computed.

    Returns:
        The curve over the radius, rates with intervals, and the threshold for a wanted rate.

    Raises:
        HashprobeError: arrays that do not fit each other, or no pair of different sources.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> false_matches(codes[:1], codes, Sources.of([0], [0, 1, 2])).curve[:2]
        array([0. , 0.5])
    """
    ranking = sources.ranking(codes, database)
    found = survey_of(ranking)
    if not found.other.any():
        raise HashprobeError(
            "all queries and items show one source: there is no pair that could match falsely"
        )
    parts = {"src": sources.found, "q": len(codes), "db": len(database), "bits": codes.bits}
    return FalseMatches(found, ranking, dict(parts), bootstrap)


def drawn_sums(
    influence: Float64[np.ndarray, "s w"], bootstrap: Bootstrap
) -> Float64[np.ndarray, "r w"]:
    """Sums of the influences by random weights of mean 1, less those by equal weights."""
    random, parts = np.random.default_rng(bootstrap.seed), []
    sources = len(influence)
    step = max(1, WEIGHTS // sources)
    for start in range(0, bootstrap.resamples, step):
        draws = min(step, bootstrap.resamples - start)
        weights = random.standard_exponential((draws, sources))
        weights *= sources / weights.sum(axis=1, keepdims=True)
        parts.append((weights - 1) @ influence)
    return np.concatenate(parts)
