"""Digests of files, and where they are kept between two commands."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.files import read_npz, regular_size, write_npz
from hashprobe.text import name_bytes


HEAD_BYTES = 65536
DIGEST_BYTES = 16
FRESH = 2_000_000_000
"""Nanoseconds for which a file that was changed may change again without another time."""
MEMBERS = {"stamps": Member("int64", "n s"), "digests": Member("uint8", "n b")}
WIDTHS = {"stamps": 4, "digests": DIGEST_BYTES}

_kept_at: ContextVar[Path | None] = ContextVar("digests kept at", default=None)


def file_digest(path: str | Path, *, tail: bool = False) -> bytes:
    """A digest of a regular file's size and first 64 KiB, or of its name if it cannot be read.

    Args:
        path: the file.
        tail: whether its last 64 KiB count too.

    Example:
        >>> len(file_digest(Path("no/such/file")))
        16
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    try:
        size = regular_size(path)
        with open(path, "rb", buffering=0) as file:
            digest.update(size.to_bytes(8, "little"))
            digest.update(file.read(HEAD_BYTES))
            if tail:
                file.seek(max(0, size - HEAD_BYTES))
                digest.update(file.read(HEAD_BYTES))
    except (OSError, HashprobeError):
        return name_digest(path)
    return digest.digest()


def name_digest(path: str | Path) -> bytes:
    """What stands for a file that cannot be read."""
    return hashlib.blake2b(name_bytes(str(Path(path))), digest_size=DIGEST_BYTES).digest()


@contextmanager
def digests_kept_at(path: Path) -> Iterator[None]:
    """Data sets that are loaded inside the block read only files that changed since the last time.

    Args:
        path: an npz file with size, times, number and digest of each file. One that is missing or
            damaged, or that cannot be written, costs time and nothing else.

    Example:
        >>> with digests_kept_at(Path("no/such/folder/digests.npz")):
        ...     pass
    """
    token = _kept_at.set(path)
    try:
        yield
    finally:
        _kept_at.reset(token)


class FileDigests:
    """Digests of the files of a data set: each is read once, and again only if it changed.

    A file is taken for unchanged if its size, its times of modification and of change, and its
    number in the file system are those of the last time. On POSIX no program can set the time of
    change; a file system that has none still gives another number to a file that takes the place of
    one. A file that changed in the last two seconds is always read.

    Example:
        >>> [len(digest) for digest in FileDigests().of(["no/such/file"])]
        [16]
    """

    def __init__(self) -> None:
        self.path, self.read, self.changed = _kept_at.get(), dict[str, bytes](), False
        self.lists: dict[str, tuple[Int64[np.ndarray, "n 4"], UInt8[np.ndarray, "n b"]]] = {}
        """Stamps and digests by the name of a list of files."""
        self.asked: dict[str, list[bytes]] = {}
        if self.path is not None:
            with suppress(HashprobeError):
                self.lists = lists_in(self.path)

    def of(self, paths: Sequence[str]) -> list[bytes]:
        """The digest of each file, in order."""
        all_names = name_bytes("\0".join((str(HEAD_BYTES), *paths)))
        name = hashlib.blake2b(all_names, digest_size=DIGEST_BYTES).hexdigest()
        if name not in self.asked:
            self.asked[name] = self.digests(name, paths)
        return self.asked[name]

    def digests(self, name: str, paths: Sequence[str]) -> list[bytes]:
        """The same for a list of files that was not asked for yet."""
        if self.path is None:
            return [self.digest(path) for path in paths]
        stamps = stamps_of(paths)
        before, digests = self.lists.get(name, (np.zeros((0, 4)), np.zeros((0, DIGEST_BYTES))))
        known = np.zeros(len(paths), bool)
        if len(before) == len(paths):
            known = (before == stamps).all(1) & (stamps[:, 0] >= 0)
        blob = bytearray(digests.tobytes() if known.any() else len(paths) * DIGEST_BYTES)
        for row in np.flatnonzero(~known).tolist():
            blob[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES] = digest = self.digest(paths[row])
            if digest == name_digest(paths[row]):
                stamps[row, 0] = -1  # it may be readable the next time
        if not known.all():
            made = np.frombuffer(bytes(blob), np.uint8).reshape(-1, DIGEST_BYTES)
            self.lists[name], self.changed = (stamps, made), True
        return [bytes(blob[i : i + DIGEST_BYTES]) for i in range(0, len(blob), DIGEST_BYTES)]

    def digest(self, path: str) -> bytes:
        """The digest of one file, which is read once."""
        if path not in self.read:
            self.read[path] = file_digest(path)
        return self.read[path]

    def keep(self) -> None:
        """Writes what is known of the lists that were asked for, if it changed."""
        if self.path is None or not self.changed:
            return
        arrays = {
            f"{name}.{member}": array
            for name, parts in self.lists.items()
            if name in self.asked
            for member, array in zip(MEMBERS, parts, strict=True)
        }
        with suppress(HashprobeError):  # a run on a read-only disk is opened without it
            write_npz(self.path, arrays)


def lists_in(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Stamps and digests by the name of a list of files, as `FileDigests.keep` wrote them."""
    arrays = read_npz(path)
    lists = {}
    for name in {each.partition(".")[0] for each in arrays}:
        content = {m: arrays[f"{name}.{m}"] for m in MEMBERS if f"{name}.{m}" in arrays}
        check_members(content, MEMBERS, f"{path} holds no digests: it")
        if any(array.shape[1] != WIDTHS[member] for member, array in content.items()):
            raise HashprobeError(f"{path} holds no digests")
        lists[name] = (content["stamps"], content["digests"])
    return lists


def stamps_of(paths: Sequence[str]) -> Int64[np.ndarray, "n 4"]:
    """Size, times and number of each file; size -1 for one that is none, or changed just now."""
    now, stamps = time.time_ns(), []
    for path in paths:
        try:
            about = os.stat(path)
        except (OSError, ValueError):
            stamps.append((-1, 0, 0, 0))
            continue
        times = about.st_mtime_ns, about.st_ctime_ns
        settled = stat.S_ISREG(about.st_mode) and max(times) < now - FRESH
        number = about.st_ino % 2**63  # of some systems, more than an int64 holds
        stamps.append((about.st_size if settled else -1, *times, number))
    return np.array(stamps, np.int64).reshape(-1, 4)
