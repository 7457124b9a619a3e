"""What is never replaced, written through or followed: links, pipes, devices; a leaf."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hashprobe.errors import HashprobeError


KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
OWN_PARTS = frozenset(
    [
        "attack.json",
        "attacks",
        "checksums.json",
        "codes",
        "data.json",
        "digests.npz",
        "environment.json",
        "evaluation.json",
        "metrics.jsonl",
        "model",
        "mp4",
        "pixels.npy",
        "png",
        "queries",
        "report.html",
        "run.json",
        "settings.json",
        "trained",
        "training.pt",
    ]
)
"""What a run, or the folder of an attack, is made of."""


def refuse_special(path: Path) -> None:
    """Refuses a path that is neither free nor a regular file (a folder is refused by the system).

    Args:
        path: where a file is to be written.

    Raises:
        HashprobeError: it is a link, a pipe, a socket or a device.

    Example:
        >>> refuse_special(Path("/dev/null"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: /dev/null is a device: only a regular file is replaced
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # it is free, or the system will say what is wrong
    for is_kind, name in KINDS:
        if is_kind(mode):
            raise HashprobeError(f"{path} is {name}: only a regular file is replaced")


def refuse_links(folder: Path) -> None:
    """Refuses a run folder, or the folder of an attack, with a link among its parts.

    A link would lead what is written, or removed, to files of somebody else. The folder itself may
    be reached by links.

    Args:
        folder: it may be missing.

    Raises:
        HashprobeError: one of its parts is a link or lies behind one.

    Example:
        >>> refuse_links(Path("no/such/folder"))
    """
    found = next(links(folder, top=True), None)
    if found is not None:
        raise HashprobeError(
            f"{found} is a link: the parts of a run are never followed through links; remove it"
        )


def resolved(path: Path) -> Path:
    """The absolute path without links.

    Args:
        path: it may be missing.

    Raises:
        HashprobeError: its links lead back to themselves.

    Example:
        >>> resolved(Path("/a/../b")).as_posix()
        '/b'
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        # Python 3.11 and 3.12 raise a RuntimeError here.
        raise HashprobeError(f"{path} cannot be reached: its links lead in a circle") from error


def links(folder: Path, *, top: bool) -> Iterator[Path]:
    """Links among the parts of a folder; at its top, only names of its own count."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if top and entry.name not in OWN_PARTS:
            continue
        if entry.is_symlink():
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from links(Path(entry.path), top=False)
