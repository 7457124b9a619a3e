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
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import AnyCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, LEAST, Bootstrap, clopper_pearson
from hashprobe.evaluation.few_sources import Numbered
from hashprobe.evaluation.instances import Sources, Survey, check_radius, survey
from hashprobe.evaluation.measurement import Measurement, sign, with_method
from hashprobe.evaluation.ranking import Ranking
from hashprobe.evaluation.threshold import SEEN, Threshold


FACTOR = 16.0
"""Radii are looked at whose rate is this many times below or above the wanted one."""
METHOD = "picture"
"""What signatures call the interval."""
WEIGHTS = 1 << 22
"""Random weights drawn at once."""
SINGLE = 1 << 20
"""Most sources of which every one gets a random number of its own."""
COUNTED = 1 << 18
"""Items whose false matches are counted at once."""


@dataclass(frozen=True, eq=False)
class Influence:
    """What each source adds to a rate at some radii, for each unit of its weight above 1.

    Example:
        >>> Influence(np.array([2]), np.array([[0.5]]), np.array([-0.1]), 6).sources
        6
    """

    named: Int64[np.ndarray, " m"]
    """Rising numbers of the sources that differ from the others."""
    values: Float64[np.ndarray, "m w"]
    """g of these."""
    common: Float64[np.ndarray, " w"]
    """g of each of the others."""
    sources: int
    """How many there are in all."""


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
    codes: PackedCodes
    """Q query codes."""
    database: AnyCodes
    """N codes."""
    sources: Sources = field(repr=False)
    """Which of them show one picture."""
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
        check_radius(radius, self.codes.bits)
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
        check_radius(radius, self.codes.bits)
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
        curve, last = self.curve, self.codes.bits
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
        rate, pictures = float(curve[max(radius, 0)]), self.numbered.total
        return Threshold(chosen, sure, possible, wanted, rate, self.pairs, pictures)

    @cached_property
    def numbered(self) -> Numbered:
        """Sources of queries and items as numbers without gaps."""
        return Numbered(self.sources.queries, self.sources.items)

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: both curves over the radius 0..K, and the number of pairs."""
        curves = {"curve": self.curve.tolist(), "queries_curve": self.queries_curve.tolist()}
        return {**curves, "pairs": self.pairs, "signature": sign("false-match", **self.parts)}

    def bounds(
        self, first: int, last: int
    ) -> tuple[Float64[np.ndarray, " w"], Float64[np.ndarray, " w"]]:
        """Bounds of the rates at the radii from first to last; NaN with too few sources."""
        if self.numbered.total < LEAST:
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

        fewer = min(len(np.unique(self.sources.queries)), self.numbered.held)
        reach = stdtrit(max(1, fewer - 1), 1 - tail) * spread
        exponent = np.divide(reach, rates, out=np.zeros_like(rates), where=rates > 0)
        upper: np.ndarray = rates * np.exp(exponent.clip(max=50))
        return upper

    def influence(self, first: int, last: int) -> Influence:
        """g of each source at the radii from first to last.

        Sources of one item without a false match, and of no query, have all the same.
        """
        numbered, rates = self.numbered, self.curve[first : last + 1]
        items, within = self.item_counts(first, last)
        of_items, asked = numbered.of_items(items), numbered.asked
        named = np.unique(np.concatenate([numbered.named, of_items]))
        counts, taking_part = np.zeros((len(named), len(rates))), np.zeros(len(named))
        np.add.at(counts, np.searchsorted(named, of_items), within)
        at = np.searchsorted(named, asked)
        np.add.at(counts, at, self.within[:, first : last + 1])
        np.add.at(taking_part, at, self.survey.other.sum(axis=1))
        same = np.bincount(at, minlength=len(named))
        taking_part += numbered.sizes(named) * (len(asked) - same)
        values = (counts - taking_part[:, None] * rates) / self.pairs
        return Influence(named, values, -len(asked) * rates / self.pairs, numbered.total)

    def item_counts(
        self, first: int, last: int
    ) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, "m w"]]:
        """Items with queries of other sources within the last radius; how many within each."""
        window, places, totals = last - first + 1, [], []
        for start, ranking in self.sources.rankings(self.codes, self.database, COUNTED):
            counts = np.zeros((len(ranking.database_codes), window), np.int64)
            for _, parts in ranking.each(partial(close, ranking, first=first, last=last)):
                begin = 0
                for width, cells in parts:
                    some = np.bincount(cells, minlength=width * window)
                    counts[begin : begin + width] += some.reshape(width, window)
                    begin += width
            there = np.flatnonzero(counts.any(axis=1))
            places.append(there + start)
            totals.append(np.cumsum(counts[there], axis=1))
        return np.concatenate(places), np.concatenate(totals)


def close(ranking: Ranking, rows: slice, first: int, last: int) -> list[tuple[int, np.ndarray]]:
    """Of each chunk its width, and item and distance of the false matches as one number."""
    window, found = last - first + 1, []
    for near, own, _ in ranking.chunks(rows):
        row, column = np.nonzero((near <= last) & ~own)
        past = np.maximum(near[row, column].astype(np.int64) - first, 0)
        found.append((near.shape[1], column * window + past))
    return found


@checked
def false_matches(
    codes: PackedCodes,
    database: AnyCodes,
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
    found = survey(codes, database, sources)
    if not found.other.any():
        raise HashprobeError(
            "all queries and items show one source: there is no pair that could match falsely"
        )
    parts = {"src": sources.found, "q": len(codes), "db": len(database), "bits": codes.bits}
    return FalseMatches(found, codes, database, sources, dict(parts), bootstrap)


def drawn_sums(influence: Influence, bootstrap: Bootstrap) -> Float64[np.ndarray, "r w"]:
    """Sums of the influences by random weights of mean 1, less those by equal weights.

    The weights less 1 add up to 0, so what all sources have in common adds nothing. Of many sources
    only the weights of those that differ are drawn, and the sum of the others.
    """
    random, sources, parts = np.random.default_rng(bootstrap.seed), influence.sources, []
    apart, drawn = influence.values - influence.common, len(influence.named)
    many = sources > SINGLE
    step = max(1, WEIGHTS // max(1, drawn if many else sources))
    for start in range(0, bootstrap.resamples, step):
        draws = min(step, bootstrap.resamples - start)
        weights = random.standard_exponential((draws, drawn if many else sources))
        sums = weights.sum(axis=1, keepdims=True)
        if many:
            sums += random.standard_gamma(sources - drawn, (draws, 1))
        else:
            weights = weights[:, influence.named]
        parts.append((weights * (sources / sums) - 1) @ apart)
    return np.concatenate(parts)
