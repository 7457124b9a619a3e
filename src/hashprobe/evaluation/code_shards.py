"""A database of codes and labels in files that are larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.labels import AnyLabels, as_classes
from hashprobe.codes.packed import PackedCodes, bytes_of
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.codefile import read_bits, read_codes
from hashprobe.storage.files import read_npz
from hashprobe.storage.mapped import mapped_array


QUERIES = "queries.npz"
"""The file of a folder that holds the queries."""
SLICE = 1 << 22
"""Items of the database that are in memory at once."""


@dataclass(frozen=True)
class Slice:
    """Consecutive items of one file.

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
class CodeShards:
    """Queries, and where the codes and labels of the database are.

    A folder holds `queries.npz` (`query_codes`, `query_labels`, optionally `target_labels`, and
    `bits` for packed codes) and pairs of files `NAME.codes.npy`, packed uint8 (N, ceil(K / 8)), and
    `NAME.labels.npy`, classes (N,) or multi-hot (N, C). The order of the database is that of the
    names.

    Raises:
        HashprobeError: files that are missing, damaged, or do not fit each other.

    Example:
        >>> CodeShards.open("no/such/folder")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no/such/folder/queries.npz does not exist
    """

    query_codes: PackedCodes
    """Q codes of K bits."""
    query_labels: AnyLabels
    """Classes (Q,), or multi-hot (Q, C)."""
    target_labels: AnyLabels | None
    """The same of the targets; None without any."""
    files: tuple[tuple[Path, Path], ...]
    """Codes and labels, in the order of the database."""
    sizes: tuple[int, ...]
    """Items of each pair of files."""

    @classmethod
    @checked
    def open(cls, folder: str | Path) -> CodeShards:
        """Reads the queries and looks at the headers of the other files.

        Args:
            folder: see the class.

        Raises:
            HashprobeError: files that are missing, damaged, or do not fit each other.
        """
        folder = Path(folder)
        arrays = read_npz(folder / QUERIES)
        for key in ("query_codes", "query_labels"):
            if key not in arrays:
                raise HashprobeError(f"{folder / QUERIES} lacks {key}")
        try:
            queries = read_codes(arrays["query_codes"], "query_codes", read_bits(arrays))
            asked = {key: labels_in(arrays[key]) for key in LABELS if key in arrays}
        except HashprobeError as error:
            raise HashprobeError(f"{folder / QUERIES}: {error}") from error
        for key, labels in asked.items():
            if len(labels) != len(queries):
                raise HashprobeError(
                    f"{folder / QUERIES}: {len(labels)} {key} for {len(queries)} query codes"
                )
        names = sorted(path.name.removesuffix(CODES) for path in folder.glob(f"*{CODES}"))
        if not names:
            raise HashprobeError(
                f"{folder} holds no database: files NAME{CODES} and NAME.labels.npy"
            )
        files = tuple((folder / f"{n}{CODES}", folder / f"{n}.labels.npy") for n in names)
        wide = [labels.shape[1:] for labels in asked.values()]
        sizes = tuple(checked_size(*pair, queries.bits, wide[0]) for pair in files)
        return cls(queries, asked["query_labels"], asked.get("target_labels"), files, sizes)

    def __len__(self) -> int:
        return sum(self.sizes)

    def slices(self) -> Iterator[Slice]:
        """Parts of the database in its order, each of at most `SLICE` items."""
        for file, size in enumerate(self.sizes):
            for start in range(0, size, SLICE):
                yield Slice(file, start, min(start + SLICE, size))

    def read(self, part: Slice) -> tuple[PackedCodes, AnyLabels]:
        """Codes and labels of a part.

        Raises:
            HashprobeError: bits beyond K, or labels that are no classes.
        """
        codes, labels = (
            mapped_array(path)[part.start : part.stop] for path in self.files[part.file]
        )
        try:
            found = PackedCodes(np.array(codes), self.query_codes.bits)
            return found, labels_in(np.array(labels))
        except HashprobeError as error:
            raise HashprobeError(f"{self.files[part.file][0]}: {error}") from error


CODES = ".codes.npy"
LABELS = ("query_labels", "target_labels")


def labels_in(array: np.ndarray) -> AnyLabels:
    """Classes (N,) as they are, or multi-hot rows as bool."""
    found = as_classes(array)
    if found.ndim == 1:
        if found.dtype.kind not in "iu":
            raise HashprobeError(f"labels must be whole numbers; got {found.dtype}")
        return found
    if found.dtype != np.bool_:
        if not np.isin(found, (0, 1)).all():
            raise HashprobeError("labels in columns must be 0 and 1")
        found = found.astype(bool)
    return found


def checked_size(codes: Path, labels: Path, bits: int, wide: tuple[int, ...]) -> int:
    """The items of a pair of files whose headers fit the queries."""
    one, two = mapped_array(codes), mapped_array(labels)
    if one.dtype != np.uint8 or one.ndim != 2 or one.shape[1] != bytes_of(bits):
        raise HashprobeError(
            f"{codes} must be packed codes of {bits} bits, uint8 (N, {bytes_of(bits)}); got "
            f"{one.dtype} {one.shape}"
        )
    if len(one) == 0 or len(one) != len(two):
        raise HashprobeError(f"{codes} has {len(one)} codes, {labels.name} {len(two)} labels")
    if two.shape[1:] != wide and not (two.ndim == 2 and two.shape[1] == 1):
        raise HashprobeError(
            f"{labels} has shape {two.shape}: the queries have {wide or 'classes'}"
        )
    return len(one)
