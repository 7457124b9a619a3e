"""Arrays out of npz files that anybody may have made: only plain numbers and text, whole.

What is read is decided by headers, and headers lie: sizes are compared before memory is taken.
"""

import math
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import PurePath
from typing import IO, Any, TypeAlias

import numpy as np

from hashprobe.errors import HashprobeError


__all__ = ["Member", "check_members", "check_numbers", "read_archive", "read_array"]

Bytes: TypeAlias = IO[bytes] | BufferedIOBase
"""A file that is open for reading."""

NUMBERS = "biuf"
"""numpy's letters of booleans, whole and floating numbers."""
PLAIN = NUMBERS + "U"
"""The same and fixed-width text: what an npz file may hold."""

MAX_UNPACKED = 1 << 30
MAX_RATIO = 200
"""An archive may unpack to 1 GiB, or to 200 times its own size if that is more."""
BLOCK_BYTES = 1 << 24
"""Bytes that are unpacked at once."""


@dataclass(frozen=True)
class Member:
    """What an array of a file must be.

    Example:
        >>> str(Member("uint8", "n b"))
        'uint8 (n, b)'
    """

    dtype: str
    """A dtype such as `uint8`, or `whole` (any whole number), `number` or `text`."""
    dims: str = ""
    """Names of the dimensions, separated by blanks; the same name means the same length."""

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join(self.dims.split())})"

    def fits(self, array: np.ndarray) -> bool:
        """Whether an array has this dtype and as many dimensions."""
        kinds = {"whole": "iu", "number": "iuf", "text": "U"}.get(self.dtype)
        if array.ndim != len(self.dims.split()):
            return False
        if kinds is None:
            return array.dtype == np.dtype(self.dtype)
        return array.dtype.kind in kinds


def check_members(
    arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Member], what: str
) -> None:
    """Refuses arrays that are not those of a file of ours.

    Args:
        arrays: name to array, as read.
        wanted: name to what it must be; there may be no others.
        what: what an error calls the file.

    Raises:
        HashprobeError: an array that is missing, unknown, of another type or length.

    Example:
        >>> wanted = {"codes": Member("uint8", "n b"), "positions": Member("int64", "n")}
        >>> arrays = {"codes": np.zeros((2, 1), np.uint8), "positions": np.arange(3)}
        >>> check_members(arrays, wanted, "query.npz")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: query.npz: positions has 3 rows, codes 2
    """
    if set(arrays) != set(wanted):
        held = ", ".join(shown_name(name).strip("'") for name in arrays) or "nothing"
        *most, last = wanted
        raise HashprobeError(f"{what} needs {', '.join(most)} and {last}; it holds {held}")
    lengths: dict[str, tuple[str, int]] = {}
    for name, member in wanted.items():
        array = arrays[name]
        if not member.fits(array):
            raise HashprobeError(f"{what}: {name} must be {member}; got {seen(array)}")
        for axis, dim in enumerate(member.dims.split()):
            first, length = lengths.setdefault(dim, (name, array.shape[axis]))
            if array.shape[axis] != length:
                unit = "rows" if axis == 0 else "columns"
                raise HashprobeError(
                    f"{what}: {name} has {array.shape[axis]} {unit}, {first} {length}"
                )


def check_numbers(array: np.ndarray, what: str) -> None:
    """Refuses an array that holds neither numbers nor booleans.

    Args:
        array: any array.
        what: what an error calls it.

    Raises:
        HashprobeError: text, dates, complex numbers, records, or Python objects.

    Example:
        >>> check_numbers(np.array(["a"]), "labels")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: labels must be numbers or booleans; got <U1 of shape (1,)
    """
    if array.dtype.kind not in NUMBERS:
        raise HashprobeError(f"{what} must be numbers or booleans; got {seen(array)}")


def read_archive(
    stream: Bytes, path: str | PurePath, without: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays in an npz file that is open, in memory; nothing in it is executed.

    Args:
        stream: the file.
        path: its name, for errors.
        without: arrays that are left unread.

    Returns:
        Name to array, in the order of the file.

    Raises:
        HashprobeError: no npz file or cut off; a member that is encrypted, stands there twice, is
            no array, holds anything but numbers, booleans or text, or whose header is wrong; more
            than 1 GiB out of a file 200 times smaller; more than fits into memory.

    Example:
        >>> import io
        >>> read_archive(io.BytesIO(b"PK cut off"), "a.npz")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: a.npz is no npz file or was cut off
    """
    try:
        if not zipfile.is_zipfile(stream):
            raise HashprobeError(f"{path} is no npz file or was cut off")
        size = stream.seek(0, 2)
        with zipfile.ZipFile(stream) as archive:
            check_directory(archive, size, path)
            return {
                info.filename.removesuffix(".npy"): read_member(archive, info, path)
                for info in archive.infolist()
                if info.filename.removesuffix(".npy") not in without
            }
    except (HashprobeError, OSError):
        raise
    except MemoryError as error:
        raise HashprobeError(f"{path} holds more than fits into memory") from error
    except Exception as error:
        # zipfile and the decompressors raise errors of many kinds on damaged bytes.
        raise HashprobeError(f"{path} is damaged or was cut off") from error


def check_directory(archive: zipfile.ZipFile, size: int, path: str | PurePath) -> None:
    """Refuses members of one name, and an archive that unpacks to far more than its own size."""
    names = Counter(info.filename for info in archive.infolist())
    for name, times in names.items():
        if times > 1:
            raise HashprobeError(f"{path} holds {shown_name(name)} {times} times")
    total = sum(info.file_size for info in archive.infolist())
    if total > max(MAX_UNPACKED, MAX_RATIO * size):
        raise HashprobeError(
            f"{path} has {size:,} bytes and claims to unpack to {total:,}: refused; if it is "
            "yours, save it without compression (numpy.savez)"
        )


def read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str | PurePath
) -> np.ndarray:
    """One array of an archive."""
    name = shown_name(info.filename.removesuffix(".npy"))
    if info.flag_bits & 1:
        raise HashprobeError(f"{path}: {name} is encrypted: save it without a password")
    if not info.filename.endswith(".npy"):
        raise HashprobeError(f"{path} holds {name}, which is no numpy array")
    with archive.open(info) as stream:
        return read_array(stream, info.file_size, f"{path}: {name}")


def read_array(stream: Bytes, size: int, what: str) -> np.ndarray:
    """An array in numpy's format.

    Args:
        stream: at the beginning of the array.
        size: how many bytes there are.
        what: what an error calls it.

    Raises:
        HashprobeError: another format, a header that does not fit the size, or anything but
            numbers, booleans and text.

    Example:
        >>> import io
        >>> buffer = io.BytesIO()
        >>> np.save(buffer, np.array([1 + 2j]))
        >>> read_array(io.BytesIO(buffer.getvalue()), len(buffer.getvalue()), "a.npy")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: a.npy must be numbers or booleans; got complex128 of \
shape (1,)
    """
    shape, fortran, dtype = read_header(stream, what)
    if dtype.hasobject:
        raise HashprobeError(
            f"{what} holds Python objects (a pickle), which hashprobe does not load: save plain "
            "numeric arrays"
        )
    if dtype.kind not in PLAIN:
        kind = seen_as(dtype, shape)
        raise HashprobeError(f"{what} must be numbers or booleans; got {kind}")
    count, there = math.prod(shape), size - stream.tell()
    if min(shape, default=0) < 0 or count * max(1, dtype.itemsize) != there:
        raise HashprobeError(
            f"{what} is damaged or was cut off: {seen_as(dtype, shape)} does not take {there:,} "
            "bytes"
        )
    array = np.empty(count, dtype)
    bytes_of = array.view(np.uint8)
    for start in range(0, there, BLOCK_BYTES):
        block = stream.read(min(BLOCK_BYTES, there - start))
        bytes_of[start : start + len(block)] = np.frombuffer(block, np.uint8)
        if len(block) != min(BLOCK_BYTES, there - start):
            raise HashprobeError(f"{what} was cut off")
    stream.read(1)  # at the end the checksum is compared
    try:
        return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
    except (ValueError, OverflowError) as error:
        raise HashprobeError(
            f"{what} is damaged: {seen_as(dtype, shape)} is no array of numpy"
        ) from error


def read_header(stream: Bytes, what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of an array in numpy's format."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(stream)
    except ValueError as error:
        raise HashprobeError(f"{what} is no numpy array") from error
    if version not in readers:
        seen_version = ".".join(map(str, version))
        raise HashprobeError(f"{what} has version {seen_version} of numpy's format: 1.0 and 2.0 do")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            return readers[version](stream)
    except Exception as error:
        # The header is Python text: what is damaged in it raises errors of many kinds.
        raise HashprobeError(f"{what} is damaged: its header cannot be read") from error


def seen(array: np.ndarray) -> str:
    """The dtype and the shape of an array in a sentence."""
    return seen_as(array.dtype, array.shape)


def seen_as(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """A dtype and a shape in a sentence, cut to one short line."""
    kind, size = str(dtype), str(shape)
    kind, size = (text if len(text) < 60 else text[:57] + "..." for text in (kind, size))
    return f"{kind} of shape {size}"


def shown_name(name: str) -> str:
    """The name of a member in a sentence."""
    return ascii(name if len(name) < 60 else name[:57] + "...")
