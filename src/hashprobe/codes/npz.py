"""Codes in a file: an npz of `data` and `bits`, whole or not at all, and without pickle."""

from pathlib import Path

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.files import read_npz, write_npz


MEMBERS = {"data": Member("uint8", "n b"), "bits": Member("whole")}


@checked
def save_codes(path: str | Path, codes: PackedCodes) -> None:
    """Writes codes to a file that appears whole or not at all.

    Args:
        path: file to write, under exactly this name; an existing one is replaced.
        codes: N codes of K bits.

    Raises:
        HashprobeError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "codes.npz"
        >>> save_codes(path, PackedCodes.from_signs(np.ones((2, 8))))
        >>> load_codes(path)
        PackedCodes(2 x 8 bits)
    """
    write_npz(path, {"data": codes.data, "bits": np.array(codes.bits)})


@checked
def load_codes(path: str | Path) -> PackedCodes:
    """Reads codes that `save_codes` wrote; nothing in the file is executed.

    Args:
        path: the file to read.

    Returns:
        N codes of K bits.

    Raises:
        HashprobeError: the file is missing, truncated, or holds something else.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "codes.npz"
        >>> save_codes(path, PackedCodes.from_signs(np.ones((2, 8))))
        >>> load_codes(path).bits
        8
    """
    try:
        arrays = read_npz(path)
    except HashprobeError as error:
        if not Path(path).is_file():
            raise
        raise HashprobeError(
            f"{error}: a code file is an .npz of data (packed codes) and bits, as save_codes and "
            "an index's save write it; an index that faiss wrote itself is none"
        ) from error
    try:
        check_members(arrays, MEMBERS, "it")
        return PackedCodes(arrays["data"], int(arrays["bits"]))
    except HashprobeError as error:
        raise HashprobeError(f"{path} is not a code file: {error}") from error
