"""One writer of a folder at a time; a leaf: standard library alone.

Who writes holds the folder: `.lock` in it names the process and its host. The file appears with its
whole content or not at all. One that a killed process left behind is recognised and replaced.
"""

import json
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import os_error, remove
from hashprobe.storage.guards import refuse_links


LOCK = ".lock"
TRIES = 20
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.part")
"""The name of a file that a killed process did not finish."""
SCRATCH = "clean-"
"""How the name of a folder begins that holds the clean queries while they are attacked."""
PAGE = ".report.html."
"""How such a name begins while somebody who does not hold the folder writes its page."""
OWN = frozenset(["model", "codes", "attacks", "queries", "png", "mp4"])
"""The folders in a run, or in the folder of an attack, that unfinished files are looked for in."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a folder.

    Example:
        >>> Holder.this().alive
        True
    """

    pid: int
    host: str
    since: str
    """ISO 8601, in UTC."""
    start: str = ""
    """When the process started, in the words of its system; a later process of its number differs
    in it."""

    @classmethod
    def this(cls) -> "Holder":
        """This process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), now, start_of(os.getpid()) or "")

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it still runs; of another machine's process nobody here knows, so it may."""
        if not self.here:
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            return True
        start = start_of(self.pid)
        return start is None or not self.start or start == self.start


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds a folder for the writers of the block, and clears what killed ones left unfinished.

    Args:
        folder: made if it is missing.

    Raises:
        HashprobeError: another process holds it (its number and host are named), one of its own
            parts is a link, or the disk refuses.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with hold(folder):
        ...     (folder / ".lock").exists()
        True
        >>> (folder / ".lock").exists()
        False
    """
    path, mine = folder / LOCK, Holder.this()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(error, folder) from error
    refuse_links(folder)
    for _ in range(TRIES):
        if claim(path, mine):
            break
        refuse_held(folder)
        retire(path)
    else:
        raise HashprobeError(f"{folder} cannot be held: its {LOCK} comes and goes; try again")
    try:
        sweep(folder)
        yield
    finally:
        if read(path) == mine:
            with suppress(OSError):
                path.unlink()


def refuse_held(folder: Path) -> None:
    """Refuses a folder that another process holds.

    Args:
        folder: it may be missing.

    Raises:
        HashprobeError: it is held; number and host of the process are named.

    Example:
        >>> refuse_held(Path("no/such/folder"))
    """
    holder = read(folder / LOCK)
    if holder is None or not holder.alive:
        return
    who = f"process {holder.pid} on {holder.host}"
    if holder.here and holder.pid == os.getpid():
        who = "this process"
    hint = "" if holder.here else f", or remove {folder / LOCK} if that process is gone"
    raise HashprobeError(f"{folder} is in use: {who} holds it since {holder.since}: wait{hint}")


def claim(path: Path, mine: Holder) -> bool:
    """Makes the lock with its whole content; whether it was not there."""
    part = path.with_name(f"{LOCK}.{secrets.token_hex(4)}.part")
    content = json.dumps(asdict(mine)).encode()
    try:
        part.write_bytes(content)
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except OSError:
            # A file system without hard links: the content comes a moment after the name.
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                return False
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
        return True
    except OSError as error:
        raise os_error(error, path.parent) from error
    finally:
        with suppress(OSError):
            part.unlink()


def read(path: Path) -> Holder | None:
    """Who holds a folder; None where nobody does, or nothing says who."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        content: Any = json.loads(path.read_bytes())
        kinds = {"pid": int, "host": str, "since": str, "start": str}
        parts = {name: content[name] for name in kinds}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if any(type(parts[name]) is not kind for name, kind in kinds.items()):
        return None
    return Holder(**parts)


def retire(path: Path) -> None:
    """Removes the lock of a process that is gone, unless somebody else has just replaced it."""
    try:
        import fcntl
    except ImportError:  # not on Windows: a race of two successors is not seen there
        remove(path)
        return
    try:
        with path.open("rb") as stream:
            # Who removes a stale lock holds its file: no second one then removes the next lock.
            fcntl.flock(stream, fcntl.LOCK_EX)
            now = path.lstat()
            same = (now.st_ino, now.st_dev) == (
                os.fstat(stream.fileno()).st_ino,
                os.fstat(stream.fileno()).st_dev,
            )
            holder = read(path)
            if same and (holder is None or not holder.alive):
                path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise os_error(error, path) from error


def start_of(pid: int) -> str | None:
    """When a process started, in ticks since a named start of the machine; None if not known."""
    try:
        # The name of the program, in parentheses, may hold blanks.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError):
        return None
    return "gone" if words[0] in "ZX" else f"{boot[:8]}-{words[19]}"


def sweep(folder: Path) -> None:
    """Removes files that killed writers of a folder did not finish, and no others."""
    for path in unfinished(folder, 0):
        with suppress(OSError, HashprobeError):
            remove(path)
    for path in folder.glob(f"{SCRATCH}????????"):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError, HashprobeError):
                remove(path / "pixels.npy")
                path.rmdir()


def unfinished(folder: Path, depth: int) -> Iterator[Path]:
    """Unfinished files in a folder and in the folders that belong to it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth or entry.name in OWN:
                yield from unfinished(Path(entry.path), depth + 1)
        elif UNFINISHED.fullmatch(entry.name) and not entry.name.startswith(PAGE):
            yield Path(entry.path)
