"""The index in plain numpy: the reference that the others are tested against."""

from __future__ import annotations

from pathlib import Path

from hashprobe.checked import checked
from hashprobe.codes.index.base import Found, check_length, check_search, exact_search
from hashprobe.codes.npz import load_codes, save_codes
from hashprobe.codes.packed import PackedCodes


@checked
class FakeIndex:
    """Exact search in plain numpy, for tests and as the reference of other indexes.

    Args:
        bits: K, in 1..4096.

    Raises:
        HashprobeError: K does not fit.

    Example:
        >>> import numpy as np
        >>> index = FakeIndex(12)
        >>> index.add(PackedCodes.from_signs(np.ones((3, 12))))
        >>> len(index)
        3
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.stored = PackedCodes.empty(bits)

    @checked
    def add(self, codes: PackedCodes) -> None:
        """Appends codes; see `Index.add`."""
        check_length(self, codes)
        self.stored = PackedCodes.concatenate([self.stored, codes])

    @checked
    def search(self, queries: PackedCodes, k: int) -> Found:
        """Finds the k nearest codes of each query; see `Index.search`."""
        check_search(self, queries, k)
        return exact_search(self.stored, queries, k)

    @checked
    def save(self, path: str | Path) -> None:
        """Writes the index; see `Index.save`."""
        save_codes(path, self.stored)

    @classmethod
    @checked
    def load(cls, path: str | Path) -> FakeIndex:
        """Reads an index; see `Index.load`."""
        codes = load_codes(path)
        index = cls(codes.bits)
        index.add(codes)
        return index

    def __len__(self) -> int:
        return len(self.stored)
