"""A cache of decoded clips on the disk, with a budget."""

import errno
import hashlib
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hashprobe.data.sources import ClipSource
from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import read_array
from hashprobe.storage.files import atomic_path, os_error, regular_size
from hashprobe.types import InputContract


CACHE_BYTES = 4 << 30
SUFFIX = ".clip"
DIGEST = 16
OWN = re.compile(r"(\..+\.clip\.[0-9a-f]{8}\.part|[^.].*\.clip)")
"""Names of clips in a cache, and of those that a killed process did not finish."""
KEYED = re.compile(r"[0-9a-f]{32}\.clip")
"""Names by `clip_key`."""


@dataclass(frozen=True)
class ClipCache:
    """A folder of decoded clips, one file each; the least recently used files are removed first.

    A file holds a digest and an array, so that damage is detected. Several processes may share the
    folder. A full disk is no error: clips are then decoded again.

    Args:
        folder: it is made at the first use; other files in it are left alone.
        budget: most bytes of all its files; each process may exceed it by one clip for a moment.

    Raises:
        HashprobeError: a negative budget.

    Example:
        >>> import tempfile
        >>> cache = ClipCache(Path(tempfile.mkdtemp()), budget=10_000)
        >>> cache.check()
        >>> cache.put("some-key", torch.full((2, 3, 8, 8), 7, dtype=torch.uint8))
        >>> cache.get("some-key").shape, cache.get("another")
        (torch.Size([2, 3, 8, 8]), None)
    """

    folder: Path
    budget: int = CACHE_BYTES

    def __post_init__(self) -> None:
        if self.budget < 0:
            raise HashprobeError(f"a cache needs a budget of 0 or more bytes; got {self.budget}")

    def check(self) -> None:
        """Makes the folder if it is missing.

        Raises:
            HashprobeError: it cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise HashprobeError(f"no cache of clips: {os_error(error, self.folder)}") from error

    def get(self, key: str) -> UInt8[Tensor, "t 3 s s"] | None:
        """A clip that was put there, or None if it is missing or damaged."""
        path = self.folder / (key + SUFFIX)
        try:
            regular_size(path)
            data = path.read_bytes()
            if digest_of(data[DIGEST:]) != data[:DIGEST]:
                path.unlink()
                return None
            os.utime(path)
            clip = read_array(BytesIO(data[DIGEST:]), len(data) - DIGEST, str(path))
        except (OSError, HashprobeError):
            return None
        return torch.from_numpy(clip)

    def put(self, key: str, clip: UInt8[Tensor, "t 3 s s"]) -> None:
        """Keeps a clip, and removes the least recently used ones if the budget is exceeded."""
        buffer = BytesIO()
        np.save(buffer, clip.numpy(), allow_pickle=False)
        data = buffer.getvalue()
        if DIGEST + len(data) > self.budget:
            return
        with suppress(HashprobeError), atomic_path(self.folder / (key + SUFFIX)) as part:
            part.write_bytes(digest_of(data) + data)
        self.trim()

    def trim(self) -> None:
        """Removes the least recently used clips until the rest is within the budget."""
        files = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                # Unfinished files of a killed process have the suffix inside their names.
                if not OWN.fullmatch(entry.name):
                    continue
                with suppress(OSError):
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(state.st_mode):
                        files.append((state.st_mtime_ns, state.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.budget:
                break
            with suppress(OSError):
                if is_own(Path(path)):
                    os.unlink(path)
            total -= size


def is_own(path: Path) -> bool:
    """Whether a file is a clip of a cache, and not somebody else's file with such a name."""
    if KEYED.fullmatch(path.name) or path.name.endswith(".part"):
        return True
    data = path.read_bytes()
    return digest_of(data[DIGEST:]) == data[:DIGEST]


def digest_of(data: bytes) -> bytes:
    """A digest that detects damage."""
    return hashlib.blake2b(data, digest_size=DIGEST).digest()


def clip_key(source: ClipSource, position: int, contract: InputContract) -> str:
    """The cache key of one clip as a network sees it: content, frame rule, size, filter and fit."""
    rule = (source.stride, min(source.limit, contract.frames))
    shape: tuple[object, ...] = (contract.size, contract.filter, contract.fit)
    shape += (contract.resize_to,) if contract.resize_to else ()
    digest = hashlib.blake2b(repr((rule, shape)).encode(), digest_size=16)
    digest.update(source.fingerprint(position))
    return digest.hexdigest()
