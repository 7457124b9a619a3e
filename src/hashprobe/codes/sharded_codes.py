"""Codes in files that are larger than the memory, and what reads codes wherever they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.packed import PackedCodes, Rows, bytes_of, check_bits
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import sha256_array
from hashprobe.storage.mapped import mapped_array


ENDING = ".codes.npy"
"""How the names of files of codes end."""
SLICE = 1 << 22
"""Codes of a file that are in memory at once."""


@dataclass(frozen=True)
class Slice:
    """Consecutive codes of one file.

    Example:
        >>> Slice(0, 10, 30).stop
        30
    """

    file: int
    """The place of the file."""
    start: int
    stop: int


@checked
@dataclass(frozen=True, eq=False)
class ShardedCodes:
    """N codes of K bits in files `NAME.codes.npy`, packed uint8, in the order of the names.

    Like `PackedCodes` they have a length and bits, and rows of them are read by `[rows]`.

    Raises:
        HashprobeError: bits do not fit a convention by which codes are read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, byte in (("b", 7), ("a", 1)):
        ...     np.save(folder / f"{name}.codes.npy", np.full((2, 1), byte, np.uint8))
        >>> codes = ShardedCodes.open(folder, 8)
        >>> len(codes), codes[np.array([3, 0])].data.tolist()
        (4, [[7], [1]])
    """

    files: tuple[Path, ...]
    sizes: tuple[int, ...]
    """Codes of each file."""
    bits: int
    """K, the length of a code."""
    convention: BitConvention = field(default_factory=BitConvention)
    """How the bits are stored."""

    @classmethod
    @checked
    def open(
        cls, folder: str | Path, bits: int, convention: BitConvention | None = None
    ) -> ShardedCodes:
        """Finds the files of a folder, and looks at their headers.

        Args:
            folder: where they are.
            bits: K.
            convention: how the bits are stored; None: as here.

        Raises:
            HashprobeError: no such files, files of other arrays, or bits out of range.

        Example:
            >>> ShardedCodes.open("no/such/folder", 8)
            Traceback (most recent call last):
            ...
            hashprobe.errors.HashprobeError: no/such/folder holds no database: files NAME.codes.npy
        """
        check_bits(bits)
        files = tuple(sorted(Path(folder).glob(f"*{ENDING}"), key=lambda path: path.name))
        if not files:
            raise HashprobeError(f"{folder} holds no database: files NAME{ENDING}")
        sizes = tuple(len(rows_of(path, bits)) for path in files)
        return cls(files, sizes, bits, convention or BitConvention())

    @staticmethod
    def there(folder: Path) -> bool:
        """Whether a folder holds such files."""
        return next(folder.glob(f"*{ENDING}"), None) is not None

    def __len__(self) -> int:
        return sum(self.sizes)

    def slices(self) -> Iterator[Slice]:
        """Parts of the codes in their order, each of at most `SLICE`."""
        for file, size in enumerate(self.sizes):
            for start in range(0, size, SLICE):
                yield Slice(file, start, min(start + SLICE, size))

    def read(self, part: Slice) -> PackedCodes:
        """The codes of a part.

        Raises:
            HashprobeError: a file that has changed, or bits beyond K.
        """
        return self.packed(part.file, slice(part.start, part.stop))

    def packed(self, file: int, rows: slice | np.ndarray) -> PackedCodes:
        """Some codes of a file, laid out as here."""
        path = self.files[file]
        found = rows_of(path, self.bits)
        if len(found) != self.sizes[file]:
            raise HashprobeError(f"{path} has {len(found)} codes now, not {self.sizes[file]}")
        try:
            return self.convention.read(PackedCodes(np.array(found[rows]), self.bits))
        except HashprobeError as error:
            raise HashprobeError(f"{path}: {error}") from error

    def __getitem__(self, rows: Rows) -> PackedCodes:
        places, size = self.places(rows), len(self)
        beyond = places[(places < -size) | (places >= size)]
        if beyond.size:
            raise IndexError(f"index {beyond[0]} is out of bounds for {size} codes")
        places = np.where(places < 0, places + size, places)
        data = np.zeros((len(places), bytes_of(self.bits)), np.uint8)
        ends = np.cumsum(self.sizes)
        file = np.searchsorted(ends, places, side="right")
        for one in np.unique(file).tolist():
            here = file == one
            data[here] = self.packed(one, places[here] - (ends[one] - self.sizes[one])).data
        return PackedCodes(data, self.bits)

    def places(self, rows: Rows) -> np.ndarray:
        """Positions of codes, which may be counted from the end."""
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        some = np.atleast_1d(np.asarray(rows))
        if some.dtype != np.bool_:
            return some.astype(np.int64)
        if some.shape != (len(self),):
            raise IndexError(f"a mask of shape {some.shape} for {len(self)} codes")
        return np.flatnonzero(some)

    @cached_property
    def digest(self) -> str:
        """What `sha256_array` gives for all of the codes in one array."""
        shape = [len(self), bytes_of(self.bits)]
        digest = hashlib.sha256(f"{np.dtype(np.uint8).str}{shape}".encode())
        for _, part in parts_of(self):
            digest.update(np.ascontiguousarray(part.data).data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"ShardedCodes({len(self)} x {self.bits} bits in {len(self.files)} files)"


AnyCodes: TypeAlias = PackedCodes | ShardedCodes
"""Codes in memory or in files."""


def parts_of(codes: AnyCodes, most: int | None = None) -> Iterator[tuple[int, PackedCodes]]:
    """Codes in memory, in their order: as a whole, or so many at a time, and where each begins.

    Args:
        codes: any.
        most: codes of a part; None for all that are in memory together.
    """
    start = 0
    wholes = [codes] if isinstance(codes, PackedCodes) else map(codes.read, codes.slices())
    for whole in wholes:
        step = most or max(1, len(whole))
        for at in range(0, max(1, len(whole)), step):
            yield start + at, whole if step >= len(whole) else whole[at : at + step]
        start += len(whole)


def in_memory(codes: AnyCodes) -> PackedCodes:
    """Codes in memory, all of them."""
    return codes if isinstance(codes, PackedCodes) else codes[:]


def digest_of(codes: AnyCodes) -> str:
    """The SHA-256 of codes; the same in memory and in files."""
    return sha256_array(codes.data) if isinstance(codes, PackedCodes) else codes.digest


def rows_of(path: Path, bits: int) -> np.ndarray:
    """The packed codes of a file, mapped for reading.

    Raises:
        HashprobeError: another array, or an empty one.
    """
    found = mapped_array(path)
    if found.dtype != np.uint8 or found.ndim != 2 or found.shape[1] != bytes_of(bits):
        raise HashprobeError(
            f"{path} must be packed codes of {bits} bits, uint8 (N, {bytes_of(bits)}); got "
            f"{found.dtype} {found.shape}"
        )
    if not len(found):
        raise HashprobeError(f"{path} has 0 codes")
    return found
