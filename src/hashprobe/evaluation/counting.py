"""Counts by distance and the first items, of a block of queries and a chunk of the database."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16


Distances: TypeAlias = UInt8[np.ndarray, "q n"] | UInt16[np.ndarray, "q n"]
"""Hamming distances of some queries to some items."""


def count_distances(
    distances: Distances, relevant: Bool[np.ndarray, "q n"], bits: int
) -> Int64[np.ndarray, "q 2 d"]:
    """Counts by distance 0..K: first of the irrelevant items, then of the relevant ones."""
    bins = bits + 1
    kind = np.dtype(np.uint8 if 2 * bins <= 256 else np.uint16)
    keys = distances.astype(kind) + relevant.astype(kind) * kind.type(bins)
    return np.stack([count_values(row, 2 * bins) for row in keys]).reshape(-1, 2, bins)


def count_values(
    values: UInt8[np.ndarray, " n"] | UInt16[np.ndarray, " n"], bins: int
) -> Int64[np.ndarray, " b"]:
    """How often each value below `bins` occurs, by a radix sort."""
    # np.bincount is faster on one core, but unlike a sort it makes all other threads wait.
    ends = np.searchsorted(
        np.sort(values, kind="stable"), np.arange(bins, dtype=values.dtype), "right"
    )
    counts: np.ndarray = np.diff(ends, prepend=0)
    return counts


def nearest(
    distances: UInt8[np.ndarray, " n"] | UInt16[np.ndarray, " n"],
    relevant: Bool[np.ndarray, " n"],
    top: int,
) -> tuple[np.ndarray, Bool[np.ndarray, " t"]]:
    """Distance and relevance of the first T items by distance, then position."""
    if top < len(distances):  # only these can be in the top T
        kept = np.flatnonzero(distances <= reach(distances, top))
        distances, relevant = distances[kept], relevant[kept]
    order = np.argsort(distances, kind="stable")[:top]
    return distances[order], relevant[order]


def reach(distances: UInt8[np.ndarray, " n"] | UInt16[np.ndarray, " n"], top: int) -> int:
    """The distance of the T-th item, by bisection; each step is one fast pass."""
    low, high = 0, int(distances.max())
    while low < high:
        middle = (low + high) // 2
        if np.count_nonzero(distances <= middle) >= top:
            high = middle
        else:
            low = middle + 1
    return low
