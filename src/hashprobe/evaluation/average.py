"""Average precision of a block of queries: over an order, or in closed form from counts.

AP@T = (sum over the hits in the top T of the precision at each) / Z. With the notation of
`hashprobe.evaluation.ranking` and H the harmonic numbers, a group adds to the sum

- on average over its orders (McSherry and Najork; He et al., arXiv 1705.08562),
  (r / n) [(a - b (N + 1)) (H(N + m) - H(N)) + b m], with a = R + 1 and b = (r - 1) / (n - 1);
- with its j hits in the first of the m places, j + (R - N) (H(N + j) - H(N));
- with its j hits in the last of them, j + (R - N - m + j) (H(N + m) - H(N + m - j)).
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.ranking import Counts, Ranking, Ties, group_hits


Values: TypeAlias = Float64[np.ndarray, " q"]
"""AP of each query in [0, 1]; NaN for an empty one."""
Table: TypeAlias = Any
"""Harmonic numbers H(0) .. H(T), looked up by arrays: `harmonic`, or what computes them singly."""


def harmonic(size: int) -> Float64[np.ndarray, " h"]:
    """Harmonic numbers H(0) .. H(size)."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, size + 1))])


def average_precision(
    ranking: Ranking, rows: slice, options: MeasureOptions, table: Table
) -> Values:
    """AP@T of each query of a block; `table` is `harmonic(T)`, which `stable` does not use."""
    top = options.length(len(ranking.database_codes))
    if options.order != "stable":
        return average_of_counts(ranking.counts(rows), top, options, table)
    hits, known = ranking.first_hits(rows, top)
    places = [np.flatnonzero(row) + 1 for row in hits]
    sums = np.array([(np.arange(1, len(p) + 1) / p).sum() for p in places])
    return normalised(sums, np.array([len(p) for p in places]), known, top, options)


def average_of_counts(counts: Counts, top: int, options: MeasureOptions, table: Table) -> Values:
    """AP@T of each query from counts by distance, under every policy but `stable`."""
    known, ties = counts.relevant.sum(axis=1), options.order
    if ties == "expected":
        sums = expected_sums(counts, top, table)
    elif options.normaliser == "hits":
        return extreme_over_hits(counts, top, table, ties, options.empty == "zero")
    else:
        chosen = group_hits(counts, top, ties).astype(np.int64)
        sums = extreme_terms(counts, top, table, ties, chosen).sum(axis=1)
    return normalised(sums, known, known, top, options)


def normalised(
    sums: Values,
    found: Int64[np.ndarray, " q"],
    known: Int64[np.ndarray, " q"],
    top: int,
    options: MeasureOptions,
) -> Values:
    """Sums of precisions over what the normaliser says: hits in the top T, or R."""
    by = {"hits": found, "min": np.minimum(known, top), "relevant": known}
    return divide(sums, by[options.normaliser])


def divide(sums: Values, by: Int64[np.ndarray, " q"]) -> Values:
    """Sums over their divisors, NaN where the divisor is 0."""
    values: Values = np.divide(sums, by, out=np.full(len(sums), np.nan), where=by > 0)
    return values


def expected_sums(counts: Counts, top: int, table: Table) -> Values:
    """Sum of precisions at the hits in the top T, on average over the orders of equal distances."""
    n, r, m = counts.total, counts.relevant, counts.within(top)
    # Where T items are nearer, m is 0 and the group adds nothing.
    nearer, hits = np.minimum(counts.nearer(n), top), counts.nearer(r)
    b = np.where(n > 1, (r - 1) / np.maximum(n - 1, 1), 0.0)
    inner = (hits + 1 - b * (nearer + 1)) * (table[nearer + m] - table[nearer]) + b * m
    sums: Values = (r / np.maximum(n, 1) * inner).sum(axis=1)
    return sums


def extreme_terms(
    counts: Counts,
    top: int,
    table: Table,
    ties: Ties,
    chosen: Int64[np.ndarray, "q d"],
) -> Float64[np.ndarray, "q d"]:
    """What each group adds with j hits first (`best`) or last (`worst`) among its m places."""
    m = counts.within(top)
    nearer, hits = np.minimum(counts.nearer(counts.total), top), counts.nearer(counts.relevant)
    if ties == "best":
        return first_places(chosen, nearer, hits, table)
    return last_places(chosen, nearer + m, hits, table)


def first_places(j: Any, nearer: Any, hits: Any, table: np.ndarray) -> np.ndarray:
    """Sum of precisions at j hits in a row that start after N nearer items, R of them hits."""
    added: np.ndarray = j + (hits - nearer) * (table[nearer + j] - table[nearer])
    return added


def last_places(j: Any, last: Any, hits: Any, table: np.ndarray) -> np.ndarray:
    """Sum of precisions at j hits in a row that end at place `last`, R hits before them."""
    added: np.ndarray = j + (hits - last + j) * (table[last] - table[last - j])
    return added


def extreme_over_hits(
    counts: Counts,
    top: int,
    table: Table,
    ties: Ties,
    hitless_orders: bool,
) -> Values:
    """The largest or smallest AP under `hits` that any order of equal distances gives."""
    # Relevant items first is not always best: one more hit at a low precision lowers the mean
    # over the hits. So every possible number of hits j is tried in the group that T cuts. The
    # groups before it hold the same hits in every order.
    n, r, m = counts.total, counts.relevant, counts.within(top)
    fewest, most = np.maximum(0, m - (n - r)), np.minimum(r, m)
    terms = extreme_terms(counts, top, table, ties, most)
    before, whole = counts.nearer(n), counts.nearer(r)
    values = divide(terms.sum(axis=1), most.sum(axis=1))
    # T cuts at most one group of a query, so there is a choice in that group alone.
    for query, group in zip(*np.nonzero(fewest < most), strict=True):
        j = np.arange(fewest[query, group], most[query, group] + 1)
        nearer, hits, places = (a[query, group] for a in (before, whole, m))
        if ties == "best":
            added = first_places(j, nearer, hits, table)
        else:
            added = last_places(j, nearer + places, hits, table)
        total = terms[query].sum() - terms[query, group] + added
        candidates = total[hits + j > 0] / (hits + j)[hits + j > 0]
        values[query] = candidates.max() if ties == "best" else candidates.min()
        if ties == "worst" and hitless_orders and hits + j[0] == 0:
            values[query] = 0.0
    return values
