"""Codes in one numpy array."""

from pathlib import Path

import numpy as np

from hashprobe.codes.packed import MAX_BITS, PackedCodes, as_codes
from hashprobe.codes.readers.base import Columns, StoredCodes, places
from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import read_array
from hashprobe.storage.files import os_error, regular_size


def read(path: Path, bits: int | None, _: Columns) -> StoredCodes:
    """Codes of an `.npy` file; see `read_codes`."""
    size = regular_size(path)
    try:
        with path.open("rb") as stream:
            array = read_array(stream, size, str(path))
    except OSError as error:
        raise os_error(error, path) from error
    except MemoryError as error:
        raise HashprobeError(f"{path} holds more than fits into memory") from error
    try:
        codes = any_codes(array, bits)
    except HashprobeError as error:
        raise HashprobeError(f"{path}: {error}") from error
    return StoredCodes(codes, places(len(codes)))


def any_codes(array: np.ndarray, bits: int | None) -> PackedCodes:
    """Codes in any form; bytes beyond 0 and 1 are packed, and without bits they are all used.

    Raises:
        HashprobeError: the values belong to no form of codes.

    Example:
        >>> any_codes(np.array([[143, 7]], np.uint8), None)
        PackedCodes(1 x 16 bits)
    """
    if array.ndim == 2 and array.dtype == np.uint8 and array.size and array.max() > 1:
        if bits is None and 8 * array.shape[1] <= MAX_BITS:
            bits = 8 * array.shape[1]
    elif array.ndim == 2 and array.dtype.kind == "f" and array.size:
        # Embeddings are often given where codes are wanted: say it before a value is named.
        odd = array[~np.isin(array, (-1, 0, 1))]
        if odd.size:
            raise HashprobeError(
                f"codes must be -1/+1, 0/1 or bool; got {array.dtype} such as {odd[0]:.3g}: these "
                "are float vectors; make codes of them first (their sign less the mean)"
            )
    return as_codes(array, bits)
