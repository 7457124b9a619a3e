"""A database of codes and labels in files that are larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.labels import AnyLabels, as_classes
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import ENDING, ShardedCodes, Slice
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.codefile import read_bits, read_codes
from hashprobe.storage.files import read_npz
from hashprobe.storage.mapped import mapped_array


QUERIES = "queries.npz"
"""The file of a folder that holds the queries."""


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
    database: ShardedCodes
    """N codes of K bits."""
    labels: tuple[Path, ...]
    """The labels of each file of them."""

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
        database = ShardedCodes.open(folder, queries.bits)
        wide = asked["query_labels"].shape[1:]
        files = zip(database.files, database.sizes, strict=True)
        beside = tuple(labels_beside(path, size, wide) for path, size in files)
        return cls(queries, asked["query_labels"], asked.get("target_labels"), database, beside)

    def __len__(self) -> int:
        return len(self.database)

    def slices(self) -> Iterator[Slice]:
        """Parts of the database in its order, of a few million items at most."""
        return self.database.slices()

    def read(self, part: Slice) -> tuple[PackedCodes, AnyLabels]:
        """Codes and labels of a part.

        Raises:
            HashprobeError: bits beyond K, or labels that are no classes.
        """
        path = self.labels[part.file]
        try:
            labels = labels_in(np.array(mapped_array(path)[part.start : part.stop]))
        except HashprobeError as error:
            raise HashprobeError(f"{path}: {error}") from error
        return self.database.read(part), labels


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


def labels_beside(codes: Path, size: int, wide: tuple[int, ...]) -> Path:
    """The file of labels of a file of codes; refuses one that does not fit the queries."""
    labels = codes.with_name(codes.name.removesuffix(ENDING) + ".labels.npy")
    found = mapped_array(labels)
    if not found.ndim:
        raise HashprobeError(f"{labels} holds one number, not a label for each code")
    if len(found) != size:
        raise HashprobeError(f"{codes} has {size} codes, {labels.name} {len(found)} labels")
    if found.shape[1:] != wide and not (found.ndim == 2 and found.shape[1] == 1):
        raise HashprobeError(
            f"{labels} has shape {found.shape}: the queries have {wide or 'classes'}"
        )
    return labels
