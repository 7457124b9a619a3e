"""Search lists without labels: recall@k, overlap@k, the source's place, and two-stage search.

Every list is ordered by (distance, database position). In two-stage search a Hamming short list of
`oversample` x k items is ordered anew by the cosine of float vectors, and equal cosines by database
position; vector databases call it rescoring.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from hashprobe.checked import checked, shown
from hashprobe.codes.index.sharded_index import searched
from hashprobe.codes.packed import PackedCodes, as_numpy
from hashprobe.codes.sharded_codes import AnyCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.instances import Sources, survey
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.evaluation.ranking import Ranking


RERANK_ENTRIES = 1 << 22
"""Values of the float vectors that are compared at once."""


@checked
def nearest_items(queries: PackedCodes, database: AnyCodes, k: int) -> Int64[np.ndarray, "q k"]:
    """Database positions of the k nearest items, by (distance, position).

    Args:
        queries: Q codes of K bits.
        database: N codes of K bits.
        k: length of the list, 1 to N.

    Raises:
        HashprobeError: codes or k that do not fit.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8, [0] * 8]))
        >>> nearest_items(codes[:1], codes, 2)
        array([[0, 2]])
    """
    return searched(database).search(queries, k)[1]


@checked
def two_stage_items(
    queries: PackedCodes,
    database: PackedCodes,
    vectors: tuple[Any, Any],
    k: int,
    oversample: int = 4,
) -> Int64[np.ndarray, "q k"]:
    """The k items of highest cosine among the `oversample` x k nearest by Hamming distance.

    Args:
        queries: Q codes of K bits.
        database: N codes of K bits.
        vectors: real (Q, F) of the queries and (N, F) of the items: arrays or tensors.
        k: length of the list, 1 to N.
        oversample: how many times longer the short list is; at most the database.

    Returns:
        Database positions by falling cosine, equal ones by position.

    Raises:
        HashprobeError: arrays that do not fit each other, vectors that are 0 or not numbers, or k.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> floats = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> two_stage_items(codes[:1], codes, (floats[1:2], floats), 1, oversample=2)
        array([[1]])
    """
    if oversample < 1:
        raise HashprobeError(f"oversample must be at least 1; got {oversample}")
    pairs = zip(vectors, ("query", "database"), (queries, database), strict=True)
    asked, held = (directions(floats, name, codes) for floats, name, codes in pairs)
    if asked.shape[1] != held.shape[1]:
        raise HashprobeError(
            f"query vectors have {asked.shape[1]} values, database vectors {held.shape[1]}"
        )
    if not 1 <= k <= len(database):
        raise HashprobeError(f"k must be 1 to the size of the database, {len(database)}; got {k}")
    short = nearest_items(queries, database, min(k * oversample, len(database)))
    result = np.empty((len(queries), k), np.int64)
    step = max(1, RERANK_ENTRIES // (short.shape[1] * held.shape[1]))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        cosines = np.einsum("qf,qrf->qr", asked[rows], held[short[rows]])
        order = np.lexsort((short[rows], -cosines), axis=1)[:, :k]
        result[rows] = np.take_along_axis(short[rows], order, axis=1)
    return result


@checked
def list_recall(
    lists: Int64[np.ndarray, "q k"],
    sources: Sources,
    *,
    measure: str = "recall",
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """recall@k: the share of queries with an item of the same source in their list.

    Queries whose source the database does not hold are left out.

    Args:
        lists: database positions of Q lists, from `nearest_items` or `two_stage_items`.
        sources: which picture each query and item shows.
        measure: what it is called in the signature, where a list is made in another way.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Raises:
        HashprobeError: positions or sources that do not fit, or no query with a source.

    Example:
        >>> sources = Sources.of(["a", "b"], ["a", "c", "b"])
        >>> list_recall(np.array([[1, 0], [0, 1]]), sources).value
        0.5
    """
    check_lists(lists, len(sources.queries), len(sources.items))
    known = sources.known
    if not known.any():
        raise HashprobeError("the database holds no item of any query's source: there is no recall")
    hits = (sources.items[lists] == sources.queries[:, None]).any(axis=1)
    signature = sign(
        f"{measure}@{lists.shape[1]}",
        src=sources.found,
        q=len(lists),
        db=len(sources.items),
        round=rounding,
    )
    return Measurement.of(np.where(known, hits, np.nan), signature, bootstrap)


@checked
def list_overlap(
    before: Int64[np.ndarray, "q k"],
    after: Int64[np.ndarray, "q k"],
    *,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """overlap@k: the share of the items in a query's list that are in its other list, too.

    Args:
        before: (Q, k) database positions, each at most once in a row.
        after: the same of other lists for the same queries.
        rounding: how the attacked pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Raises:
        HashprobeError: lists of another number or length.

    Example:
        >>> list_overlap(np.array([[0, 1], [2, 3]]), np.array([[1, 0], [3, 4]])).value
        0.75
    """
    if before.shape != after.shape or not before.size:
        raise HashprobeError(
            f"two lists a query of one length are needed; got {before.shape} and {after.shape}"
        )
    both = np.sort(np.concatenate([before, after], axis=1), axis=1)
    values = (both[:, 1:] == both[:, :-1]).sum(axis=1) / before.shape[1]
    signature = sign(f"overlap@{before.shape[1]}", q=len(before), round=rounding)
    return Measurement.of(values, signature, bootstrap)


@checked
def source_rank(
    codes: PackedCodes,
    database: AnyCodes,
    sources: Sources,
    *,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """The mean place, from 1, of the first item of the query's source by (distance, position).

    Queries whose source the database does not hold are left out.

    Args:
        codes: Q query codes of K bits.
        database: N codes of K bits.
        sources: which picture each of them shows.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        Mean place in 1..N with its interval; per query the place.

    Raises:
        HashprobeError: codes or sources that do not fit, or no query with a source.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> source_rank(codes[:1], codes, Sources.of([5], [6, 6, 5])).value
        3.0
    """
    if not sources.known.any():
        raise HashprobeError("the database holds no item of any query's source: there is no rank")
    nearest = survey(codes, database, sources).nearest_own
    known = nearest >= 0
    places, found = np.ones(len(codes)), ~known
    for _, ranking in sources.rankings(codes, database):
        work = partial(add_places, ranking, nearest=nearest, places=places, found=found)
        for _ in ranking.each(work):
            pass
    places[~known] = np.nan
    parts = {"src": sources.found, "q": len(codes), "db": len(database), "bits": codes.bits}
    signature = sign("rank", ties="stable", **parts, round=rounding)
    return Measurement.of(places, signature, bootstrap, (1.0, float(len(database))))


def add_places(
    ranking: Ranking,
    rows: slice,
    nearest: Int64[np.ndarray, " q"],
    places: Float64[np.ndarray, " q"],
    found: Bool[np.ndarray, " q"],
) -> None:
    """Adds the items of a part of the database before the first item of the source of each query.

    `found` says of which queries an earlier part has held that item.
    """
    limit = np.maximum(nearest[rows], 0)[:, None]
    for near, own, _ in ranking.chunks(rows):
        places[rows] += (near < limit).sum(axis=1)
        equal = near == limit
        first = equal & own
        there = first.any(axis=1)
        end = np.where(there, first.argmax(axis=1), near.shape[1])
        before = (equal & (np.arange(near.shape[1]) < end[:, None])).sum(axis=1)
        places[rows] += np.where(found[rows], 0, before)
        found[rows] |= there


def check_lists(lists: Int64[np.ndarray, "q k"], queries: int, items: int) -> None:
    """Refuses lists that are not one a query of positions in the database."""
    if len(lists) != queries or not lists.size:
        raise HashprobeError(f"{len(lists)} lists of {lists.shape[1]} items for {queries} queries")
    if lists.min() < 0 or lists.max() >= items:
        odd = lists.min() if lists.min() < 0 else lists.max()
        raise HashprobeError(f"database positions must be 0 to {items - 1}; got {odd}")


def directions(values: Any, name: str, codes: PackedCodes) -> Float64[np.ndarray, "n f"]:
    """Vectors of length 1 in float64."""
    array = as_numpy(values, f"{name} vectors")
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise HashprobeError(f"{name} vectors must be real (N, F); got {shown(array)}")
    if len(array) != len(codes):
        raise HashprobeError(f"{len(array)} {name} vectors for {len(codes)} codes")
    floats = array.astype(np.float64)
    length = np.linalg.norm(floats, axis=1)
    odd = np.flatnonzero(~np.isfinite(length) | (length == 0))
    if len(odd):
        what = "is 0" if length[odd[0]] == 0 else "is not finite"
        raise HashprobeError(f"{name} vector {odd[0]} {what}: it has no direction")
    unit: np.ndarray = floats / length[:, None]
    return unit
