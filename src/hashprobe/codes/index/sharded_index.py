"""Search over codes in files: each part is searched, and lists are merged."""

from __future__ import annotations

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.index.base import Found, Searched, check_search
from hashprobe.codes.index.flat import FlatIndex
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import AnyCodes, ShardedCodes, parts_of


@checked
class ShardedIndex:
    """Exact search over codes in files, of which a part is in memory at a time.

    Args:
        codes: where they are.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, byte in (("a", 255), ("b", 3)):
        ...     np.save(folder / f"{name}.codes.npy", np.full((2, 1), byte, np.uint8))
        >>> index = ShardedIndex(ShardedCodes.open(folder, 8))
        >>> index.search(PackedCodes(np.array([[1]], np.uint8), 8), 3)
        (array([[1, 1, 7]], dtype=int32), array([[2, 3, 0]]))
    """

    def __init__(self, codes: ShardedCodes) -> None:
        self.stored, self.bits = codes, codes.bits

    @checked
    def search(self, queries: PackedCodes, k: int) -> Found:
        """Finds the k nearest codes of each query; see `Index.search`."""
        check_search(self, queries, k)
        near = np.zeros((len(queries), 0), np.int32)
        positions = np.zeros((len(queries), 0), np.int64)
        for start, part in parts_of(self.stored):
            index = FlatIndex(self.bits)
            index.add(part)
            more, places = index.search(queries, min(k, len(part)))
            near = np.concatenate([near, more], axis=1)
            positions = np.concatenate([positions, places + start], axis=1)
            # Parts come in the order of the database: a stable sort keeps that of equal distances.
            order = np.argsort(near, axis=1, kind="stable")[:, :k]
            near = np.take_along_axis(near, order, axis=1)
            positions = np.take_along_axis(positions, order, axis=1)
        return near, positions

    def __len__(self) -> int:
        return len(self.stored)


def searched(codes: AnyCodes) -> Searched:
    """Codes, ready to be searched exactly."""
    if isinstance(codes, ShardedCodes):
        return ShardedIndex(codes)
    index = FlatIndex(codes.bits)
    index.add(codes)
    return index
