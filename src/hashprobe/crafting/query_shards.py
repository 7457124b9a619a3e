"""Files of many attacked queries each: consecutive ones, in the order of the attack."""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hashprobe.crafting.query_files import CLIP_MEMBERS, MEMBERS, QueryRecord, query_path
from hashprobe.errors import HashprobeError
from hashprobe.storage import files
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.schema import RECORD


FEW = 1000
"""Most queries that are kept in a file each, with pictures beside them."""
SHARD_BYTES = 64 << 20
"""Pixels of the queries of one file, as floats and in 8 bits."""
MOST = 4096
"""Most queries of one file, however small they are."""
PIXELS = ("image", "image8")
"""The arrays that stay on the disk until they are asked for."""

Columns: TypeAlias = dict[str, np.ndarray]
"""What `QueryRecord` has of one query, of many: name to array with a row for each."""


def shard_size(queries: int, values: int, asked: int | None = None, whole: int = 1) -> int | None:
    """Queries that share a file; None where each has a file of its own.

    Args:
        queries: how many there are.
        values: pixel values of one.
        asked: what the user wants.
        whole: queries that are attacked together; files hold a multiple of them.

    Example:
        >>> shard_size(1000, 3 * 224 * 224), shard_size(10**7, 3 * 224 * 224), shard_size(9, 12, 4)
        (None, 89, 4)
    """
    if asked is None and queries <= FEW:
        return None
    size = asked or min(MOST, max(1, SHARD_BYTES // (5 * values)))
    return -(-size // whole) * whole


def shard_path(folder: Path, start: int) -> Path:
    """The file of the queries from a place on; once it is there all of them are finished."""
    return folder / "queries" / f"shard-{start:010d}.npz"


def rows_of(
    queries: list[QueryRecord], ids: tuple[int, ...], folder: Path | None = None
) -> Columns:
    """Single queries put together; with a folder, a query that does not fit is named by its file.

    Raises:
        HashprobeError: queries of different sizes or code lengths.
    """
    first = queries[0]
    for query_id, one in zip(ids, queries, strict=True):
        if [np.shape(part) for part in one] != [np.shape(part) for part in first]:
            name = f"query {query_id}" if folder is None else query_path(folder, query_id)
            raise HashprobeError(f"{name} has another size or code length than query {ids[0]}")
    return {name: np.stack([getattr(one, name) for one in queries]) for name in first._fields}


def write_shard(
    folder: Path, recipe: Mapping[str, Any], start: int, ids: tuple[int, ...], columns: Columns
) -> None:
    """Writes the queries from a place on, with the recipe's checksum."""
    counts = {"forwards": np.int64, "backwards": np.int64, "length": np.int64, "seconds": float}
    arrays = {name: np.asarray(part, counts.get(name)) for name, part in columns.items()}
    head = {
        "recipe": np.array(files.fingerprint(recipe)),
        "ids": np.array(ids, np.int64),
        "shape": np.array(columns["image8"].shape[1:], np.int64),
    }
    files.write_npz(shard_path(folder, start), head | arrays)


def read_shard(
    folder: Path, mark: str, start: int, ids: tuple[int, ...], *, pixels: bool = True
) -> Columns:
    """Reads the queries from a place on.

    Args:
        folder: the folder of the attack.
        mark: the fingerprint of its recipe.
        start: the place of the first query.
        ids: the ids that it must hold.
        pixels: whether to read them, too; without, `shape` says how large a query is.

    Raises:
        HashprobeError: the file is missing, damaged, or of another attack.
    """
    path = shard_path(folder, start)
    arrays = files.read_npz(path, () if pixels else PIXELS)
    if str(arrays.pop("recipe", "")) != mark:
        raise HashprobeError(f"{path} belongs to another attack than {RECORD} beside it")
    what = f"{path} holds no attacked queries: it"
    shape = arrays.get("shape", np.zeros(0, np.int64))
    kinds = CLIP_MEMBERS if shape.size == 4 else MEMBERS
    known = {"ids": Member("int64", "n"), "shape": Member("int64", "d")}
    for name, kind in kinds.items():
        if pixels or name not in PIXELS:
            known[name] = Member(kind.dtype, f"n {kind.dims}".strip())
    check_members(arrays, known, what)
    if not np.array_equal(arrays.pop("ids"), ids):
        raise HashprobeError(f"{path} holds other queries than {RECORD} names")
    if pixels and not all(arrays[name].shape[1:] == tuple(shape) for name in PIXELS):
        raise HashprobeError(f"{what}: its pixels have another shape than it says")
    for name in ("forwards", "backwards", "seconds", "length"):
        if not ((arrays[name] >= 0) & (arrays[name] < math.inf)).all():
            raise HashprobeError(f"{what}: {name} is negative or no number")
    least, most = (1, int(shape[0])) if shape.size == 4 else (0, 0)
    if not ((arrays["length"] >= least) & (arrays["length"] <= most)).all():
        raise HashprobeError(f"{what}: a length is not from {least} to {most}")
    return arrays


def each_shard(ids: tuple[int, ...], size: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The place of the first query of every file, and the ids in it."""
    return ((start, ids[start : start + size]) for start in range(0, len(ids), size))


def count_finished(folder: Path, ids: tuple[int, ...], shard: int | None) -> int:
    """How many queries have been kept in a folder, going by the names of files."""
    names = {path.name for path in (folder / "queries").glob("*.npz")}
    if shard is None:
        return sum(f"{query_id}.npz" in names for query_id in ids)
    whole = (
        len(some)
        if shard_path(folder, start).name in names
        else sum(f"{query_id}.npz" in names for query_id in some)
        for start, some in each_shard(ids, shard)
    )
    return sum(whole)


@lru_cache(maxsize=1)
def pixels_of(
    folder: Path, mark: str, start: int, ids: tuple[int, ...], stamp: tuple[int, int]
) -> Columns:
    """The queries of the file that was read last; `stamp` tells a file that was replaced."""
    return read_shard(folder, mark, start, ids)


def cached_shard(folder: Path, mark: str, start: int, ids: tuple[int, ...]) -> Columns:
    """The queries of a file, with pixels; the last one is kept, for those who ask row by row.

    Raises:
        HashprobeError: as `read_shard`.
    """
    path = shard_path(folder, start)
    files.regular_size(path)
    about = path.stat()
    return pixels_of(folder, mark, start, ids, (about.st_mtime_ns, about.st_size))
