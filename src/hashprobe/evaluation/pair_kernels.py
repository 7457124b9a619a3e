"""Counts by distance and first hits as machine code: the pairs of some queries and a database.

A block of the database stays in a core's cache while every query of the block is compared with it.
Distances are computed many at a time and counted one by one; no array of queries by items exists.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import intrinsic

from hashprobe.storage.compiled import compiled


BLOCK = 4096
"""Items of a block: their words, labels and distances lie in the first cache."""


class Pairs(NamedTuple):
    """Some queries and a database."""

    asked: Any
    """(W, Q) words of the queries' codes."""
    words: Any
    """(W, N) words of the database."""
    own: Any
    """(Q, 1) classes, or (Q, B) bytes of packed labels."""
    theirs: Any
    """(1, N) classes, or (B, N) bytes of packed labels."""
    classes: bool
    """Whether labels are classes."""


def generate_ones(_: Any, word: Any) -> Any:
    """The one instruction that counts the bits of a word that are 1."""
    return word(word), lambda _context, builder, _signature, given: builder.ctpop(given[0])


ones: Any = intrinsic(generate_ones)
"""The bits of a word that are 1."""


@compiled
def distances(pairs: Any, query: Any, start: Any, near: Any) -> Any:
    """Writes the distances of a query to the items of a block; how many there are."""
    # Loops over slices from 0 to their own length are what the compiler turns into vectors.
    asked, words = pairs.asked, pairs.words
    part, first = words[0, start : start + BLOCK], asked[0, query]
    for item in range(len(part)):
        near[item] = ones(part[item] ^ first)
    for word in range(1, len(words)):
        part, other = words[word, start : start + BLOCK], asked[word, query]
        for item in range(len(part)):
            near[item] += ones(part[item] ^ other)
    return len(part)


@compiled
def mark(pairs: Any, query: Any, start: Any, good: Any) -> None:
    """Writes 1 for the items of a block that are relevant to a query, 0 for the others."""
    own, theirs = pairs.own, pairs.theirs
    if pairs.classes:
        part, label = theirs[0, start : start + BLOCK], own[query, 0]
        for item in range(len(part)):
            good[item] = part[item] == label
        return
    good[:] = 0
    for byte in range(len(theirs)):
        label = own[query, byte]
        if label:
            part = theirs[byte, start : start + BLOCK]
            for item in range(len(part)):
                good[item] |= (part[item] & label) != 0


@compiled
def count_pairs(pairs: Any, counts: Any) -> None:
    """Adds to (Q, 2 bins) counts: the irrelevant items by their distance, then the relevant."""
    size = counts.shape[1]
    bins = np.uint16(size // 2)
    near, good = np.empty(BLOCK, np.uint16), np.empty(BLOCK, np.uint8)
    # Four tables: a count that was just raised is not waited for.
    tables = np.zeros(4 * size, np.uint32)
    a, b = tables[:size], tables[size : 2 * size]
    c, d = tables[2 * size : 3 * size], tables[3 * size :]
    one = np.uint32(1)
    for start in range(0, pairs.words.shape[1], BLOCK):
        for query in range(pairs.asked.shape[1]):
            there = distances(pairs, query, start, near)
            mark(pairs, query, start, good)
            for item in range(there):
                near[item] += bins * np.uint16(good[item])
            tables[:] = 0
            for four in range(there // 4):
                item = 4 * four
                a[near[item]] += one
                b[near[item + 1]] += one
                c[near[item + 2]] += one
                d[near[item + 3]] += one
            for item in range(there - there % 4, there):
                a[near[item]] += one
            for key in range(size):
                counts[query, key] += a[key] + b[key] + c[key] + d[key]


@compiled
def place_hits(pairs: Any, reach: Any, places: Any, left_out: Any, hits: Any) -> None:
    """Writes which of the first T places are relevant, in order of distance and position.

    `reach` is the distance of each query's last place, `places` the first free place of each
    distance, and `left_out` the positions that a query leaves out, -1 for none.
    """
    near, good = np.empty(BLOCK, np.uint16), np.empty(BLOCK, np.uint8)
    chosen, top = np.empty(BLOCK, np.uint16), hits.shape[1]
    for start in range(0, pairs.words.shape[1], BLOCK):
        for query in range(pairs.asked.shape[1]):
            there = distances(pairs, query, start, near)
            mark(pairs, query, start, good)
            last = np.uint16(reach[query])
            free, row, out = places[query], hits[query], left_out[query]
            count = 0
            for item in range(there):
                chosen[count] = item
                count += near[item] <= last
            for k in range(count):
                item = chosen[k]
                taken = False
                for position in out:
                    taken |= position == start + item
                place = free[near[item]]
                if not taken and place < top:
                    row[place] = good[item]
                    free[near[item]] = place + 1
