"""Arrays in .npy files that stay on the disk: rows are read when they are asked for."""

from pathlib import Path, PurePath

import numpy as np

from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import check_numbers, read_header
from hashprobe.storage.files import os_error, regular_size


def mapped_array(path: str | PurePath) -> np.ndarray:
    """The array of a .npy file, mapped into memory for reading.

    Args:
        path: the file.

    Raises:
        HashprobeError: it is missing, cut off, no .npy file, or holds anything but numbers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "codes.npy"
        >>> np.save(path, np.zeros((3, 8), np.uint8))
        >>> mapped_array(path).shape
        (3, 8)
    """
    size = regular_size(path)
    try:
        with Path(path).open("rb") as stream:
            shape, fortran, dtype = read_header(stream, str(path))
            begin = stream.tell()
        empty = np.empty(0, dtype)
        check_numbers(empty, str(path))
        if fortran and len(shape) > 1:
            raise HashprobeError(f"{path} is stored by columns: save it by rows (C order)")
        count = int(np.prod(shape, dtype=object)) if min(shape, default=1) >= 0 else -1
        if count * dtype.itemsize != size - begin:
            raise HashprobeError(f"{path} was cut off, or its header is wrong")
        if not count:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", begin, shape)
    except OSError as error:
        raise os_error(error, path) from error
