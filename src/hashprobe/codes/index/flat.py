"""The index in memory, on faiss."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.index.base import Found, check_length, check_search, exact_search
from hashprobe.codes.npz import load_codes, save_codes
from hashprobe.codes.packed import PackedCodes, bytes_of, check_bits


BUCKET_BYTES = 1 << 22
"""Largest buckets, (K + 1) x k positions of 8 bytes, for which faiss is faster than a sort.

faiss fills the buckets of 32 queries at a time, so they take at most 128 MiB.
"""


@checked
class FlatIndex:
    """Exact search by faiss's `IndexBinaryFlat` with counting buckets.

    The buckets keep the order of insertion, so the first k by (distance, position) come out
    without a sort. For long codes and long lists the buckets outgrow the cache, and a sort of all
    distances answers instead. faiss takes whole bytes, so a code is stored with its padding, which
    is 0 and adds nothing to a distance.

    Args:
        bits: K, in 1..4096.

    Raises:
        HashprobeError: K does not fit.

    Example:
        >>> index = FlatIndex(12)
        >>> index.add(PackedCodes.from_signs(np.array([[0] * 12, [1] * 12, [0] * 12])))
        >>> index.search(PackedCodes.from_signs(np.zeros((1, 12))), 2)
        (array([[0, 0]], dtype=int32), array([[0, 2]]))
    """

    def __init__(self, bits: int) -> None:
        check_bits(bits)
        self.bits = bits
        self.flat: Any = load_faiss().IndexBinaryFlat(8 * bytes_of(bits))
        self.flat.use_heap = False

    @checked
    def add(self, codes: PackedCodes) -> None:
        """Appends codes; see `Index.add`."""
        check_length(self, codes)
        self.flat.add(np.ascontiguousarray(codes.data))

    @checked
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
        return PackedCodes(raw.reshape(-1, bytes_of(self.bits)), self.bits)

    @checked
    def save(self, path: str | Path) -> None:
        """Writes the index; see `Index.save`."""
        save_codes(path, self.codes())

    @classmethod
    @checked
    def load(cls, path: str | Path) -> FlatIndex:
        """Reads an index; see `Index.load`."""
        codes = load_codes(path)
        index = cls(codes.bits)
        index.add(codes)
        return index

    def __len__(self) -> int:
        return int(self.flat.ntotal)


def load_faiss() -> ModuleType:
    """faiss, imported when first needed, with one thread on macOS.

    There faiss and torch each bring an OpenMP runtime; with both at work the process crashes.
    """
    import faiss

    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)
    module: ModuleType = faiss
    return module
