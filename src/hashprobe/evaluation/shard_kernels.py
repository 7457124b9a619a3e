"""Hits of a part of a database at their places in the ranking of the whole, as machine code."""

from typing import Any

import numpy as np

from hashprobe.evaluation.pair_kernels import BLOCK, distances, mark
from hashprobe.storage.compiled import compiled


@compiled
def add_hits(pairs: Any, begins: Any, ends: Any, into: Any) -> None:
    """Adds the precision at each relevant item in the first T places; counts these items.

    `pairs` are words and labels as `Ranking.pairs_of` gives them, in the order of the database.
    `begins` says, for each distance, how many items, and how many relevant ones, stand before its
    next item in the whole ranking; both are counted on. `ends` holds T and N, and `into` what is
    added to: the sums, the hits in the first T places, those in the first N.
    """
    place, hit = begins
    sums, found, first = into
    near, good = np.empty(BLOCK, np.uint16), np.empty(BLOCK, np.uint8)
    top, short = ends[0], ends[1]
    most = max(top, short)
    for start in range(0, pairs.words.shape[1], BLOCK):
        for query in range(pairs.asked.shape[1]):
            there = distances(pairs, query, start, near)
            mark(pairs, query, start, good)
            free, hits = place[query], hit[query]
            total, count, early = 0.0, 0, 0
            last = len(free)
            while last > 0 and free[last - 1] >= most:
                last -= 1  # nothing of this distance reaches the list
            for item in range(there):
                distance = near[item]
                if distance >= last:
                    continue
                rank = free[distance]
                free[distance] = rank + 1
                if good[item]:
                    before = hits[distance]
                    hits[distance] = before + 1
                    if rank < top:
                        total += (before + 1) / (rank + 1)
                        count += 1
                    if rank < short:
                        early += 1
            sums[query] += total
            found[query] += count
            first[query] += early
