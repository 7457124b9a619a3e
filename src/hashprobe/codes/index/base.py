"""What every index does: codes in, the nearest ones out, by distance and then by position.

A new index is a file of this folder, and one line in `INDEXES` of tests/codes/index/test_base.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64

from hashprobe.codes.packed import (
    BLOCK_ENTRIES,
    PackedCodes,
    as_words,
    check_same_bits,
    word_distances,
)
from hashprobe.errors import HashprobeError


Found: TypeAlias = tuple[Int32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]
"""Distances in 0..K and database positions of the k nearest codes of q queries."""


@runtime_checkable
class Searched(Protocol):
    """Codes that can be searched, and nothing more; see `Index`.

    Example:
        >>> from hashprobe.codes.index.fake import FakeIndex
        >>> isinstance(FakeIndex(8), Searched)
        True
    """

    @property
    def bits(self) -> int:
        """K, the length of the codes."""

    def search(self, queries: PackedCodes, k: int) -> Found:
        """Finds the k nearest codes of each query; see `Index.search`."""

    def __len__(self) -> int: ...


@runtime_checkable
class Index(Protocol):
    """What searches codes; results come by distance, equal distances by database position.

    Example:
        >>> from hashprobe.codes.index.fake import FakeIndex
        >>> index: Index = FakeIndex(8)
        >>> index.add(PackedCodes.from_signs(np.array([[0] * 8, [1] * 8, [0] * 8])))
        >>> index.search(PackedCodes.from_signs(np.zeros((1, 8))), 3)
        (array([[0, 0, 8]], dtype=int32), array([[0, 2, 1]]))
    """

    @property
    def bits(self) -> int:
        """K, the length of the codes."""

    def add(self, codes: PackedCodes) -> None:
        """Appends codes; the first gets position len(index), the next one more, and so on.

        Raises:
            HashprobeError: the codes have another length.
        """

    def search(self, queries: PackedCodes, k: int) -> Found:
        """Finds the k nearest codes of each query, k in 1..len(index).

        Returns:
            Distances int32 (Q, k) and database positions int64 (Q, k), ordered by distance, then
            by position. The order also holds where the list ends among equal distances.

        Raises:
            HashprobeError: the index or the queries are empty, k does not fit, or the codes have
                another length.
        """

    def save(self, path: str | Path) -> None:
        """Writes the index to a file that appears whole or not at all.

        Raises:
            HashprobeError: the file cannot be written.
        """

    @classmethod
    def load(cls, path: str | Path) -> Index:
        """Reads an index that `save` wrote.

        Raises:
            HashprobeError: the file is missing, truncated, or holds something else.
        """

    def __len__(self) -> int: ...


def exact_search(database: PackedCodes, queries: PackedCodes, k: int) -> Found:
    """The k nearest codes of each query by a stable sort of all distances."""
    check_same_bits(database, queries)
    distances = np.empty((len(queries), k), dtype=np.int32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    words, query_words = as_words(database.data), as_words(queries.data)
    step = max(1, BLOCK_ENTRIES // len(database))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = word_distances(query_words[:, rows], words)
        positions[rows] = np.argsort(block, axis=1, kind="stable")[:, :k]
        distances[rows] = np.take_along_axis(block, positions[rows], axis=1)
    return distances, positions


def check_length(index: Searched, codes: PackedCodes) -> None:
    """Refuses codes of another length than the index's."""
    if codes.bits != index.bits:
        raise HashprobeError(f"this index holds codes of {index.bits} bits; got {codes.bits} bits")


def check_search(index: Searched, queries: PackedCodes, k: int) -> None:
    """Refuses a search without codes, without queries, or for more codes than there are."""
    check_length(index, queries)
    if len(index) == 0:
        raise HashprobeError("the database is empty: add codes to the index before searching")
    if len(queries) == 0:
        raise HashprobeError("there are no queries to search for")
    if not 1 <= k <= len(index):
        raise HashprobeError(f"k must be 1 to the size of the database, {len(index)}; got {k}")
