"""Search over binary codes: one contract, an exact index on faiss and a plain one for tests.

Every index answers in the same order, by distance and then by database position. A later index
(a server, a cluster) implements `Index` and joins the list in tests/codes/test_index.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64

from hashprobe.codes.npz import load_codes, save_codes
from hashprobe.codes.packed import (
    BLOCK_ENTRIES,
    PackedCodes,
    as_words,
    check_bits,
    check_same_bits,
    word_distances,
)
from hashprobe.errors import HashprobeError


Found: TypeAlias = tuple[Int32[np.ndarray, "q k"], Int64[np.ndarray, "q k"]]
"""Distances in 0..K and database positions of the k nearest codes of q queries."""

BUCKET_BYTES = 1 << 22
"""Size of faiss's counting buckets, (K + 1) x k positions of 8 bytes, up to which they win.

faiss fills the buckets of 32 queries at a time, so they take 128 MiB at most; with larger ones it
was measured to be slower than a sort of all distances.
"""


@runtime_checkable
class Index(Protocol):
    """What searches codes; results come by distance, equal distances by database position.

    Example:
        >>> index: Index = FakeIndex(8)
        >>> index.add(PackedCodes.from_signs(np.array([[0] * 8, [1] * 8, [0] * 8])))
        >>> index.search(PackedCodes.from_signs(np.zeros((1, 8))), 3)
        (array([[0, 0, 8]], dtype=int32), array([[0, 2, 1]]))
    """

    @property
    def bits(self) -> int:
        """K, the length of the codes."""

    def add(self, codes: PackedCodes) -> None:
        """Appends codes; their positions go on from len(index).

        Raises:
            HashprobeError: the codes have another length.
        """

    def search(self, queries: PackedCodes, k: int) -> Found:
        """Finds the k nearest codes of each query, k in 1..len(index).

        Returns:
            Distances int32 (Q, k) and database positions int64 (Q, k), ordered by distance, then
            by position, also where the k-th place falls among equal distances.

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


class FlatIndex:
    """Exact search by faiss's `IndexBinaryFlat` with counting buckets.

    The buckets keep the order of insertion, so the first k by (distance, position) come out
    without a sort, also where the k-th place falls among equal distances. For long codes and long
    lists, where the buckets outgrow the cache, `exact_search` answers instead.

    Args:
        bits: K, a multiple of 8 in 8..4096.

    Raises:
        HashprobeError: K does not fit.

    Example:
        >>> index = FlatIndex(8)
        >>> index.add(PackedCodes.from_signs(np.array([[0] * 8, [1] * 8, [0] * 8])))
        >>> index.search(PackedCodes.from_signs(np.zeros((1, 8))), 2)
        (array([[0, 0]], dtype=int32), array([[0, 2]]))
    """

    def __init__(self, bits: int) -> None:
        check_bits(bits)
        self.bits = bits
        self.flat: Any = load_faiss().IndexBinaryFlat(bits)
        self.flat.use_heap = False

    def add(self, codes: PackedCodes) -> None:
        """Appends codes; see `Index.add`."""
        check_length(self, codes)
        self.flat.add(np.ascontiguousarray(codes.data))

    def search(self, queries: PackedCodes, k: int) -> Found:
        """Finds the k nearest codes of each query; see `Index.search`."""
        check_search(self, queries, k)
        if (self.bits + 1) * k * 8 > BUCKET_BYTES:
            return exact_search(self.codes(), queries, k)
        distances, positions = self.flat.search(np.ascontiguousarray(queries.data), k)
        return distances, positions

    def codes(self) -> PackedCodes:
        """All codes of the index, in order of position."""
        raw = load_faiss().vector_to_array(self.flat.xb)
        return PackedCodes(raw.reshape(-1, self.bits // 8), self.bits)

    def save(self, path: str | Path) -> None:
        """Writes the index; see `Index.save`."""
        save_codes(path, self.codes())

    @classmethod
    def load(cls, path: str | Path) -> FlatIndex:
        """Reads an index; see `Index.load`."""
        codes = load_codes(path)
        index = cls(codes.bits)
        index.add(codes)
        return index

    def __len__(self) -> int:
        return int(self.flat.ntotal)


class FakeIndex:
    """The contract in plain numpy, for tests and as the reference of other indexes.

    Args:
        bits: K, a multiple of 8 in 8..4096.

    Raises:
        HashprobeError: K does not fit.

    Example:
        >>> index = FakeIndex(8)
        >>> index.add(PackedCodes.from_signs(np.ones((3, 8))))
        >>> len(index)
        3
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.stored = PackedCodes(np.zeros((0, bits // 8), dtype=np.uint8), bits)

    def add(self, codes: PackedCodes) -> None:
        """Appends codes; see `Index.add`."""
        check_length(self, codes)
        self.stored = PackedCodes.concatenate([self.stored, codes])

    def search(self, queries: PackedCodes, k: int) -> Found:
        """Finds the k nearest codes of each query; see `Index.search`."""
        check_search(self, queries, k)
        return exact_search(self.stored, queries, k)

    def save(self, path: str | Path) -> None:
        """Writes the index; see `Index.save`."""
        save_codes(path, self.stored)

    @classmethod
    def load(cls, path: str | Path) -> FakeIndex:
        """Reads an index; see `Index.load`."""
        codes = load_codes(path)
        index = cls(codes.bits)
        index.add(codes)
        return index

    def __len__(self) -> int:
        return len(self.stored)


def exact_search(database: PackedCodes, queries: PackedCodes, k: int) -> Found:
    """The k nearest codes of each query by a stable sort of all distances.

    Args:
        database: N codes of K bits, k at most N.
        queries: Q codes of K bits.
        k: length of each list.

    Returns:
        Distances int32 (Q, k) and positions int64 (Q, k), by distance, then by position.

    Raises:
        HashprobeError: the lengths of the codes differ.

    Example:
        >>> ones = PackedCodes.from_signs(np.ones((2, 8)))
        >>> exact_search(ones, ones[:1], 2)
        (array([[0, 0]], dtype=int32), array([[0, 1]]))
    """
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


def load_faiss() -> ModuleType:
    """faiss, imported when first needed.

    On macOS faiss and torch each bring an OpenMP runtime, and two at work in one process crash
    it; so faiss is kept to one thread there.
    """
    import faiss

    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)
    module: ModuleType = faiss
    return module


def check_length(index: Index, codes: PackedCodes) -> None:
    """Refuses codes of another length than the index's."""
    if codes.bits != index.bits:
        raise HashprobeError(f"this index holds codes of {index.bits} bits; got {codes.bits} bits")


def check_search(index: Index, queries: PackedCodes, k: int) -> None:
    """Refuses a search that cannot be answered as promised."""
    check_length(index, queries)
    if len(index) == 0:
        raise HashprobeError("the database is empty: add codes to the index before searching")
    if len(queries) == 0:
        raise HashprobeError("there are no queries to search for")
    if not 1 <= k <= len(index):
        raise HashprobeError(f"k must be 1 to the size of the database, {len(index)}; got {k}")
