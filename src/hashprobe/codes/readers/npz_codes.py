"""Codes in a numpy archive: of `save_codes`, of a run folder, of a code file, or one's own."""

from pathlib import Path

import numpy as np

from hashprobe.codes.readers.base import Columns, StoredCodes, places
from hashprobe.codes.readers.npy_codes import any_codes
from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import seen
from hashprobe.storage.files import read_npz


CODES = ("codes", "data", "database_codes")
IDS = ("ids", "database_ids", "positions")
FLOATS = ("floats", "embeddings", "vectors")
PATHS = ("paths",)


def read(path: Path, bits: int | None, _: Columns) -> StoredCodes:
    """Codes of an `.npz` file; see `read_codes`."""
    arrays = read_npz(path)
    try:
        key = one_of(arrays, CODES)
        if key is None:
            held = ", ".join(map(repr, arrays)) or "nothing"
            raise HashprobeError(f"it lacks {' or '.join(CODES)}; it holds {held:.200}")
        own = arrays.get("bits")
        if own is not None:
            if own.size != 1 or own.dtype.kind not in "iu":
                raise HashprobeError(f"bits must be one whole number; got {seen(own)}")
            known = int(own.reshape(()))
            if bits not in (None, known):
                raise HashprobeError(f"these codes have {known} bits; asked for were {bits}")
            bits = known
        codes = any_codes(arrays[key], bits)
        ids, paths = (text_of(arrays, names) for names in (IDS, PATHS))
        ids = ids or paths or places(len(codes))
        return StoredCodes(codes, ids, floats_of(arrays), paths)
    except HashprobeError as error:
        raise HashprobeError(f"{path}: {error}") from error


def one_of(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> str | None:
    """The first of some names that the archive holds."""
    return next((name for name in names if name in arrays), None)


def text_of(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Ids or paths as texts."""
    key = one_of(arrays, names)
    if key is None:
        return None
    array = arrays[key]
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise HashprobeError(f"{key} must be texts or whole numbers (N,); got {seen(array)}")
    return tuple(map(str, array.tolist()))


def floats_of(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """The float vectors behind the codes."""
    key = one_of(arrays, FLOATS)
    if key is None:
        return None
    array = arrays[key]
    if array.ndim != 2 or array.dtype.kind != "f":
        raise HashprobeError(f"{key} must be floats (N, F); got {seen(array)}")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise HashprobeError(f"{key} hold NaN or infinity, first in row {row}")
    with np.errstate(over="ignore"):
        floats: np.ndarray = array.astype(np.float32)
    return floats
