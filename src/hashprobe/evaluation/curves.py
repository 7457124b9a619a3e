"""Precision and recall by list length and by Hamming radius.

The options `ties`, `empty` and `rounding` are those of `hashprobe.evaluation.measures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.checked import checked
from hashprobe.codes.labels import AnyLabels
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.measurement import Curve, Measurement, fill_empty, sign
from hashprobe.evaluation.ranking import Empty, Ranking, Ties, check_choice, hits_within


@checked
def precision_at(
    n: int,
    query_codes: PackedCodes,
    database_codes: PackedCodes,
    query_labels: AnyLabels,
    database_labels: AnyLabels,
    *,
    ties: Ties = "stable",
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """P@N: the share of relevant items among the N nearest, which every query has.

    Args:
        n: length of the list, 1 to the size of the database.
        query_codes: Q codes of K bits.
        database_codes: codes of K bits.
        query_labels: multi-hot (Q, C), or classes (Q,).
        database_labels: multi-hot or classes, over the database.
        ties: order of equal distances.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        Mean precision in [0, 1] with its interval, and that of each query (Q,).

    Raises:
        HashprobeError: n does not fit, or the arrays do not fit each other.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.eye(2, dtype=bool)
        >>> precision_at(2, codes, codes, labels, labels).value
        0.5
    """
    ranking = Ranking(query_codes, database_codes, query_labels, database_labels)
    return score_precision(n, ranking, ties, rounding, bootstrap)


def score_precision(
    n: int, ranking: Ranking, ties: Ties, rounding: str | None, bootstrap: Bootstrap
) -> Measurement:
    """Averages P@N over the queries of a ranking."""
    values = listed_hits(ranking, check_lengths([n], ranking), ties)[:, 0] / n
    signature = sign(f"P@{n}", ties=ties, **ranking.parts(rounding))
    return Measurement.of(values, signature, bootstrap)


@checked
def precision_curve(
    lengths: Sequence[int],
    query_codes: PackedCodes,
    database_codes: PackedCodes,
    query_labels: AnyLabels,
    database_labels: AnyLabels,
    *,
    ties: Ties = "stable",
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Curve:
    """P@N for several N, in one pass over the database.

    Args:
        lengths: the values of N, each 1 to the size of the database.
        query_codes: Q codes of K bits.
        database_codes: codes of K bits.
        query_labels: multi-hot (Q, C), or classes (Q,).
        database_labels: multi-hot or classes, over the database.
        ties: order of equal distances.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the intervals are computed.

    Returns:
        A point with its interval for each N.

    Raises:
        HashprobeError: a length does not fit, or the arrays do not fit each other.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.eye(2, dtype=bool)
        >>> precision_curve([1, 2], codes, codes, labels, labels).value
        array([1. , 0.5])
    """
    ranking = Ranking(query_codes, database_codes, query_labels, database_labels)
    tops = check_lengths(lengths, ranking)
    values = listed_hits(ranking, tops, ties) / tops
    signature = sign("P@N", ties=ties, **ranking.parts(rounding))
    return Curve.of(tops, values, signature, bootstrap)


@checked
def recall_curve(
    lengths: Sequence[int],
    query_codes: PackedCodes,
    database_codes: PackedCodes,
    query_labels: AnyLabels,
    database_labels: AnyLabels,
    *,
    ties: Ties = "stable",
    empty: Empty = "zero",
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Curve:
    """R@N for several N: the share of the R relevant items that the N nearest hold.

    Args:
        lengths: the values of N, each 1 to the size of the database.
        query_codes: Q codes of K bits.
        database_codes: codes of K bits.
        query_labels: multi-hot (Q, C), or classes (Q,).
        database_labels: multi-hot or classes, over the database.
        ties: order of equal distances.
        empty: how a query with R = 0 is counted.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the intervals are computed.

    Returns:
        A point with its interval for each N.

    Raises:
        HashprobeError: a length does not fit, the arrays do not fit each other, or a query has
            R = 0 under `error`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.ones((2, 1), dtype=bool)
        >>> recall_curve([1, 2], codes, codes, labels, labels).value
        array([0.5, 1. ])
    """
    ranking = Ranking(query_codes, database_codes, query_labels, database_labels)
    check_choice("empty", empty, Empty)
    tops = check_lengths(lengths, ranking)
    found = listed_hits(ranking, np.append(tops, len(database_codes)), ties)
    every = found[:, -1:]
    shares = np.divide(found, every, out=np.full(found.shape, np.nan), where=every > 0)
    values = fill_empty(shares[:, :-1], empty, "no relevant item in the database")
    signature = sign("R@N", ties=ties, empty=empty, **ranking.parts(rounding))
    return Curve.of(tops, values, signature, bootstrap)


@checked
def precision_within_radius(
    query_codes: PackedCodes,
    database_codes: PackedCodes,
    query_labels: AnyLabels,
    database_labels: AnyLabels,
    *,
    radius: int = 2,
    empty: Empty = "zero",
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """The share of relevant items within a Hamming radius; the order of ties does not matter.

    Args:
        query_codes: Q codes of K bits.
        database_codes: N codes of K bits.
        query_labels: multi-hot (Q, C), or classes (Q,).
        database_labels: multi-hot (N, C), or classes (N,).
        radius: largest distance that counts, 0..K.
        empty: how a query with nothing within the radius is counted.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        Mean precision in [0, 1] with its interval, and that of each query (Q,).

    Raises:
        HashprobeError: the radius or the arrays do not fit, or a query finds nothing under
            `error`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> labels = np.array([[True, False], [False, True], [True, False]])
        >>> precision_within_radius(codes[:1], codes, labels[:1], labels).value
        0.5
    """
    ranking = Ranking(query_codes, database_codes, query_labels, database_labels)
    check_choice("empty", empty, Empty)
    if not 0 <= radius <= query_codes.bits:
        raise HashprobeError(f"radius must be 0 to the bits, {query_codes.bits}; got {radius}")
    values = np.empty((len(query_codes), 1))
    for rows, counts in ranking.each(ranking.counts, counted=True):
        found = counts.total[:, : radius + 1].sum(axis=1)
        good = counts.relevant[:, : radius + 1].sum(axis=1)
        values[rows, 0] = np.divide(good, found, out=np.full(len(found), np.nan), where=found > 0)
    values = fill_empty(values, empty, f"nothing within Hamming radius {radius}")
    signature = sign(f"P@r{radius}", empty=empty, **ranking.parts(rounding))
    return Measurement.of(values[:, 0], signature, bootstrap)


@checked
@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall at each Hamming radius, averaged over queries.

    Example:
        >>> one = np.ones(1)
        >>> PrecisionRecall(one, one, "PR|v:0.1").to_json()
        {'precision': [1.0], 'recall': [1.0], 'signature': 'PR|v:0.1'}
    """

    precision: Float64[np.ndarray, " d"]
    """Mean precision at radius 0..K, float64 (K + 1,)."""
    recall: Float64[np.ndarray, " d"]
    """Mean recall at radius 0..K, float64 (K + 1,)."""
    signature: str
    """How the numbers were computed."""

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: two lists, indexed by radius, and the signature."""
        lists = {"precision": self.precision.tolist(), "recall": self.recall.tolist()}
        return {**lists, "signature": self.signature}


@checked
def precision_recall_curve(
    query_codes: PackedCodes,
    database_codes: PackedCodes,
    query_labels: AnyLabels,
    database_labels: AnyLabels,
    *,
    empty: Empty = "zero",
    rounding: str | None = None,
) -> PrecisionRecall:
    """Precision against recall, one point for each Hamming radius 0..K.

    A query may find nothing within a radius. Under `zero` it then counts 0 in the mean precision,
    under `skip` it is left out of it. A query with R = 0 counts 0 in the mean recall under `zero`,
    is left out of both means under `skip`, and is refused under `error`. Apart from that, `error`
    is `zero`.

    Args:
        query_codes: Q codes of K bits.
        database_codes: N codes of K bits.
        query_labels: multi-hot (Q, C), or classes (Q,).
        database_labels: multi-hot (N, C), or classes (N,).
        empty: how a query without a value is counted.
        rounding: how the query's pixels were stored, for the signature.

    Returns:
        Mean precision and mean recall at each radius, (K + 1,) each.

    Raises:
        HashprobeError: the arrays do not fit each other, a query has R = 0 under `error`, or none
            has R > 0 under `skip`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> labels = np.array([[True, False], [False, True], [True, False]])
        >>> curve = precision_recall_curve(codes[:1], codes, labels[:1], labels)
        >>> curve.precision[:2], curve.recall[-2:]
        (array([1. , 0.5]), array([0.5, 1. ]))
    """
    ranking = Ranking(query_codes, database_codes, query_labels, database_labels)
    check_choice("empty", empty, Empty)
    bits = query_codes.bits
    precision, recall, retrieved = np.zeros(bits + 1), np.zeros(bits + 1), np.zeros(bits + 1)
    queries = 0
    for rows, counts in ranking.each(ranking.counts, counted=True):
        found, good = np.cumsum(counts.total, axis=1), np.cumsum(counts.relevant, axis=1)
        known = good[:, -1:] > 0
        if empty == "error":
            share = np.where(known, 1.0, np.nan)
            fill_empty(share, empty, "no relevant item in the database", rows.start)
        kept = known[:, 0] if empty == "skip" else np.ones(len(known), dtype=bool)
        found, good = found[kept], good[kept]
        precision += (good / np.maximum(found, 1)).sum(axis=0)
        recall += (good / np.maximum(good[:, -1:], 1)).sum(axis=0)
        retrieved += (found > 0).sum(axis=0)
        queries += len(found)
    if not queries:
        raise HashprobeError("no query is left to average in PR: none has a relevant item")
    by = np.maximum(retrieved, 1) if empty == "skip" else queries
    signature = sign("PR", empty=empty, **ranking.parts(rounding))
    return PrecisionRecall(precision / by, recall / queries, signature)


def check_lengths(lengths: Sequence[int], ranking: Ranking) -> Int64[np.ndarray, " p"]:
    """List lengths as an array, none longer than the database."""
    size = len(ranking.database_codes)
    tops = np.asarray(lengths, dtype=np.int64)
    if tops.ndim != 1 or not tops.size:
        raise HashprobeError(f"list lengths must be a list of at least one; got {lengths}")
    unfit = tops[(tops < 1) | (tops > size)]
    if unfit.size:
        raise HashprobeError(f"list lengths must be 1 to the database's {size}; got {unfit[0]}")
    return tops


def listed_hits(
    ranking: Ranking, tops: Int64[np.ndarray, " p"], ties: Ties
) -> Float64[np.ndarray, "q p"]:
    """Relevant items in the first N places of each query, for several N."""
    check_choice("ties", ties, Ties)
    result = np.empty((len(ranking.query_codes), len(tops)))
    for rows, found in ranking.each(
        lambda block: hits_within(ranking, block, tops, ties), counted=True
    ):
        result[rows] = found
    return result
