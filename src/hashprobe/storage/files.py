"""Files that appear whole or not at all, and checksums.

A file is written to a sibling that ends in `.part`, flushed to the disk and renamed. A process that
is killed half-way leaves a `.part` file that nothing reads, never half a result.
"""

import dataclasses
import errno
import hashlib
import io
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import read_archive
from hashprobe.storage.guards import refuse_special
from hashprobe.storage.strict_json import parse_json
from hashprobe.text import restorable


__all__ = [
    "atomic_path",
    "fingerprint",
    "jsonable",
    "npz_bytes",
    "os_error",
    "read_bytes",
    "read_json",
    "read_npz",
    "regular_size",
    "remove",
    "sha256_array",
    "sha256_file",
    "write_bytes",
    "write_json",
    "write_npz",
]

MAX_BYTES = 1 << 30
"""Bytes of the largest text file that is read."""
MAX_JSON_BYTES = 1 << 28
"""Bytes of the largest JSON file that is read."""

SENTENCES = {
    errno.ENOSPC: "no space left on the disk for {}: free some and run the same command again",
    errno.EDQUOT: "the disk quota is used up at {}: free some and run the same command again",
    errno.EACCES: "no permission for {}",
    errno.EPERM: "no permission for {}",
    errno.EROFS: "{} is on a read-only disk",
    errno.ENOENT: "{} does not exist",
    errno.EISDIR: "{} is a folder; a file was expected",
    errno.ENOTDIR: "{} lies below a file; a folder was expected",
    errno.EEXIST: "{} is in the way: a file or folder of that name exists",
    errno.ENOTEMPTY: "{} is in the way: a folder of that name exists",
    errno.ENAMETOOLONG: "{} is too long a name",
}


def os_error(error: OSError, path: str | PurePath) -> HashprobeError:
    """The error for a file or a folder that the operating system refuses.

    Args:
        error: the error of the operating system.
        path: the file or folder as the user knows it.

    Returns:
        An error to raise from `error`.

    Example:
        >>> print(os_error(PermissionError(13, "Permission denied"), "runs/a"))
        no permission for runs/a
    """
    sentence = SENTENCES.get(error.errno or 0)
    if sentence is None:
        return HashprobeError(f"{path}: {error.strerror or error}")
    return HashprobeError(sentence.format(path))


@contextmanager
def atomic_path(path: str | PurePath) -> Iterator[Path]:
    """Gives a temporary sibling of a file, which gets the file's name if the block succeeds.

    The parent folder is made if it is missing. The sibling's name ends in `.part`: a function that
    chooses the format by the name must be told the format.

    Args:
        path: the file to make or replace.

    Returns:
        A context manager with the path to write to. On success that file is flushed to the disk
        and renamed; on any failure, also Ctrl-C, it is removed and `path` stays unchanged.

    Raises:
        HashprobeError: no space, no permission, or a folder, a link, a pipe or a device is in the
            way: only a regular file is ever replaced.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "codes.bin"
        >>> with atomic_path(target) as part:
        ...     size = part.write_bytes(b"1234")
        >>> target.read_bytes(), [p.name for p in target.parent.iterdir()]
        (b'1234', ['codes.bin'])
    """
    final = Path(path)
    part = part_of(final)
    try:
        with naming(final, part):
            final.parent.mkdir(parents=True, exist_ok=True)
            refuse_special(final)
            yield part
            flush_to_disk(part)
            refuse_special(final)
            os.replace(part, final)
            if os.name != "nt":
                flush_to_disk(final.parent)
    finally:
        with suppress(OSError):
            part.unlink()


def part_of(final: Path) -> Path:
    """A new temporary sibling of a file that is to be written."""
    if not final.name:
        raise HashprobeError(f"{final} names no file to write")
    return final.with_name(f".{final.name[:200]}.{secrets.token_hex(4)}.part")


@contextmanager
def naming(final: Path, part: Path) -> Iterator[None]:
    """Turns an error of the system about a temporary sibling into one line about the file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        other = error.filename not in (None, str(part))
        raise os_error(error, str(error.filename) if other else final) from error


def remove(path: Path) -> None:
    """Removes a regular file that hashprobe made; a missing one is fine.

    Args:
        path: the file.

    Raises:
        HashprobeError: it is something else, or the disk refuses.

    Example:
        >>> remove(Path("no/such/file"))
    """
    refuse_special(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise os_error(error, path) from error


def flush_to_disk(path: Path) -> None:
    """Waits until the content of a file, or on POSIX of a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot flush a folder; the rename is done nevertheless.
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def write_bytes(path: str | PurePath, data: bytes) -> None:
    """Writes a file whole or not at all.

    Args:
        path: the file to make or replace.
        data: its content.

    Raises:
        HashprobeError: no space, no permission, or a folder is in the way.

    Example:
        >>> import tempfile
        >>> write_bytes(Path(tempfile.mkdtemp()) / "a.bin", b"1234")
    """
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_json(path: str | PurePath, value: object) -> None:
    """Writes a JSON file, whole or not at all, indented, in the order of the value's own keys.

    Args:
        path: the file to make or replace.
        value: anything `jsonable` takes.

    Raises:
        HashprobeError: the value is not JSON (NaN included), or the disk refuses.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_json(path, {"bits": 32})
        >>> read_json(path)
        {'bits': 32}
    """
    text = json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, restorable(text + "\n"))


def write_npz(path: str | PurePath, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as an uncompressed npz, whole or not at all; equal arrays give equal bytes.

    Args:
        path: the file to make or replace; its name is used as given.
        arrays: name to array of numbers, booleans or fixed-width text.

    Raises:
        HashprobeError: an array holds Python objects, or the disk refuses.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.npz"
        >>> write_npz(path, {"codes": np.zeros((2, 4), np.uint8)})
        >>> read_npz(path)["codes"].shape
        (2, 4)
    """
    refuse_objects(path, arrays)
    with atomic_path(path) as part:
        write_archive(part, arrays)


def npz_bytes(path: str | PurePath, arrays: Mapping[str, np.ndarray]) -> bytes:
    """What `write_npz` would write to a path.

    Args:
        path: named in errors.
        arrays: as there.

    Raises:
        HashprobeError: an array holds Python objects.

    Example:
        >>> npz_bytes("a.npz", {"codes": np.zeros((2, 4), np.uint8)})[:2]
        b'PK'
    """
    refuse_objects(path, arrays)
    buffer = io.BytesIO()
    write_archive(buffer, arrays)
    return buffer.getvalue()


def refuse_objects(path: str | PurePath, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses arrays of Python objects, which only a pickle could hold."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise HashprobeError(f"array {name!r} for {path} holds Python objects, not numbers")


def write_archive(target: Path | io.BytesIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as an uncompressed npz; equal arrays give equal bytes."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays.items():
            # The stamp of a fresh ZipInfo is 1980, whatever the clock says.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def regular_size(path: str | PurePath) -> int:
    """The bytes of a regular file; pipes and devices, which may never end, are refused unopened.

    Args:
        path: the file, or a link to one.

    Raises:
        HashprobeError: it is missing, a folder, a pipe or a device, or its name cannot be one.

    Example:
        >>> regular_size("/dev/zero")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: /dev/zero is no regular file (a pipe or a device)
    """
    try:
        about = os.stat(path)
    except OSError as error:
        raise os_error(error, path) from error
    except ValueError as error:
        raise HashprobeError(f"{str(path)!r} cannot be the name of a file: {error}") from error
    if stat.S_ISDIR(about.st_mode):
        raise HashprobeError(SENTENCES[errno.EISDIR].format(path))
    if not stat.S_ISREG(about.st_mode):
        raise HashprobeError(f"{path} is no regular file (a pipe or a device)")
    return about.st_size


def read_bytes(path: str | PurePath, most: int = MAX_BYTES) -> bytes:
    """The content of a regular file that is not too large.

    Args:
        path: the file.
        most: the largest number of bytes.

    Raises:
        HashprobeError: it is missing, no regular file, too large, or may not be read.

    Example:
        >>> read_bytes("no/such/file")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no/such/file does not exist
    """
    size = regular_size(path)
    if size > most:
        raise HashprobeError(f"{path} has {size:,} bytes; at most {most:,} are read")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise os_error(error, path) from error


def read_json(path: str | PurePath) -> Any:
    """The value in a JSON file.

    Args:
        path: the file, in UTF-8, at most 256 MiB.

    Raises:
        HashprobeError: it is missing, may not be read, is too large, or as `parse_json`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_bytes(path, b'{"bits": 3')
        >>> read_json(path)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ...a.json is no JSON or was cut off: line 1, column 11
    """
    return parse_json(read_bytes(path, MAX_JSON_BYTES), path)


def read_npz(path: str | PurePath, without: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The arrays in an npz file, in memory; pickled objects are refused, not loaded.

    Args:
        path: the file.
        without: arrays that are left on the disk.

    Returns:
        Name to array, in the order of the file.

    Raises:
        HashprobeError: it is missing, or as `read_archive`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.npz"
        >>> write_bytes(path, b"PK cut off")
        >>> read_npz(path)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ...a.npz is no npz file or was cut off
    """
    regular_size(path)
    try:
        with Path(path).open("rb") as stream:
            return read_archive(stream, path, without)
    except OSError as error:
        if error.errno is None:
            raise HashprobeError(f"{path} is damaged: {error}") from error
        raise os_error(error, path) from error


def sha256_file(path: str | PurePath) -> str:
    """The SHA-256 of a file's content, in hexadecimal.

    Args:
        path: the file; it is read in pieces.

    Raises:
        HashprobeError: it is missing or may not be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> write_bytes(path, b"abc")
        >>> sha256_file(path)[:16]
        'ba7816bf8f01cfea'
    """
    regular_size(path)
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise os_error(error, path) from error


def sha256_array(array: np.ndarray) -> str:
    """The SHA-256 of an array's type, shape and content, in hexadecimal, on any byte order.

    Args:
        array: any shape, no Python objects; a view or another memory order gives the same.

    Raises:
        HashprobeError: it holds Python objects.

    Example:
        >>> a = np.arange(6).reshape(2, 3)
        >>> sha256_array(a) == sha256_array(np.asfortranarray(a)), sha256_array(a)[:8]
        (True, '3dc4c301')
    """
    if array.dtype.hasobject:
        raise HashprobeError("an array of Python objects has no checksum")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str}{list(array.shape)}".encode())
    digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def fingerprint(value: object) -> str:
    """The SHA-256 of a configuration, in hexadecimal; the order of keys does not matter.

    Args:
        value: anything `jsonable` takes.

    Raises:
        HashprobeError: the value is not JSON (NaN included).

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    text = json.dumps(jsonable(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def jsonable(value: object) -> Any:
    """A value as plain JSON: dataclasses become objects, paths text, arrays lists.

    Args:
        value: None, bool, int, float, text, path, numpy scalar or array, and lists, tuples,
            mappings with text keys and dataclasses of these.

    Returns:
        The same, made of None, bool, int, float, str, list and dict.

    Raises:
        HashprobeError: anything else, or a number that is not finite; it names the place.

    Example:
        >>> jsonable({"eps": np.float64(0.5), "out": Path("a/b"), "sizes": (1, np.int64(2))})
        {'eps': 0.5, 'out': 'a/b', 'sizes': [1, 2]}
    """
    return plain(value, "value")


def plain(value: Any, where: str) -> Any:
    """`jsonable` for the value at a place such as `value.budget.eps`."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist(), where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not np.isfinite(value):
            raise HashprobeError(f"{where} is {value}, which JSON cannot hold")
        return float(value)
    if isinstance(value, PurePath):
        return value.as_posix()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name), f"{where}.{f.name}") for f in fields}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise HashprobeError(f"{where} has the key {key!r}; keys must be text")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise HashprobeError(f"{where} is a {type(value).__name__}, which JSON cannot hold")
