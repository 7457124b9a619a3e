"""Blocks of queries before a chunk of the database: counts by distance, and who comes first."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16


Distances: TypeAlias = UInt8[np.ndarray, "q n"] | UInt16[np.ndarray, "q n"]
"""Hamming distances of some queries to some items."""


def count_distances(
    distances: Distances, relevant: Bool[np.ndarray, "q n"], bits: int
) -> Int64[np.ndarray, "q 2 d"]:
    """Counts irrelevant and relevant items by distance.

    Args:
        distances: (q, n) in 0..K.
        relevant: (q, n).
        bits: K.

    Returns:
        (q, 2, K + 1): first the irrelevant ones, then the relevant ones.

    Example:
        >>> near = np.array([[0, 1, 1]], dtype=np.uint8)
        >>> count_distances(near, np.array([[True, False, True]]), bits=8)[0, :, :2]
        array([[0, 1],
               [1, 1]])
    """
    bins = bits + 1
    kind = np.dtype(np.uint8 if 2 * bins <= 256 else np.uint16)
    keys = distances.astype(kind) + relevant.astype(kind) * kind.type(bins)
    return np.stack([count_values(row, 2 * bins) for row in keys]).reshape(-1, 2, bins)


def count_values(
    values: UInt8[np.ndarray, " n"] | UInt16[np.ndarray, " n"], bins: int
) -> Int64[np.ndarray, " b"]:
    """How often each value below `bins` occurs.

    By a radix sort: one core alone counts faster by `np.bincount`, but that one keeps all other
    threads waiting, and a sort does not.

    Example:
        >>> count_values(np.array([2, 0, 2], dtype=np.uint8), 3)
        array([1, 0, 2])
    """
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
    """The first T items by distance, then position: their distances and whether they are relevant.

    Args:
        distances: (n,).
        relevant: (n,).
        top: T, at least 1; fewer items than T are all kept.

    Example:
        >>> nearest(np.array([2, 1, 1], dtype=np.uint8), np.array([True, False, True]), 2)
        (array([1, 1], dtype=uint8), array([False,  True]))
    """
    if top < len(distances):  # sort only what can be in the top T
        kept = np.flatnonzero(distances <= reach(distances, top))
        distances, relevant = distances[kept], relevant[kept]
    order = np.argsort(distances, kind="stable")[:top]
    return distances[order], relevant[order]


def reach(distances: UInt8[np.ndarray, " n"] | UInt16[np.ndarray, " n"], top: int) -> int:
    """The distance of the T-th item, by bisection: each look is one fast pass.

    Example:
        >>> reach(np.array([5, 1, 3], dtype=np.uint8), 2)
        3
    """
    low, high = 0, int(distances.max())
    while low < high:
        middle = (low + high) // 2
        if np.count_nonzero(distances <= middle) >= top:
            high = middle
        else:
            low = middle + 1
    return low
