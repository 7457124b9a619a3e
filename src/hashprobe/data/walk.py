"""The files of a tree of pictures or clips: which of them count, and what is left out."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from hashprobe.data.findings import Finding
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import os_error
from hashprobe.storage.guards import resolved


PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"})
"""Suffixes of pictures in small letters."""
SUFFIXES = tuple(PICTURE_SUFFIXES)


BROKEN, SPECIAL = "broken link", "special file"
"""What a file is called that is none, and one that is no regular file (a pipe or a device)."""


def is_image(path: Path) -> bool:
    """Whether a path is a regular file, or a link to one, with the name of a picture.

    Args:
        path: only its last part may not be hidden.

    Example:
        >>> is_image(Path("no/such/file.png"))
        False
    """
    named = path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    return named and path.is_file()


class Tree:
    """The files below a root that are not hidden, and those of them that nobody took.

    Links to files and to folders are followed.

    Args:
        root: the folder.

    Example:
        >>> import tempfile
        >>> tree = Tree(Path(tempfile.mkdtemp()))
        >>> (tree.root / "notes.txt").touch()
        >>> [path.name for path in tree.files()]
        ['notes.txt']
        >>> print(*tree.left_out())
        1 file was left out (1 .txt), for example notes.txt
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: set[str] = set()
        self.used: set[str] = set()
        self.outside: set[str] = set()

    def files(self, part: str = "") -> list[Path]:
        """Every file below a folder of the root that is not hidden, of any kind.

        Args:
            part: the folder, from the root.

        Raises:
            HashprobeError: a link leads back to a folder that it is in, or a folder cannot be read.
        """
        return [Path(entry.path) for _, entry in self.entries(part)]

    def entries(self, part: str) -> list[tuple[str, os.DirEntry[str]]]:
        """The same as paths from the root, with what the folder says of each file."""
        folder = self.root / part
        # Strings and not paths: there may be millions of files.
        before, inside = len(os.path.join(folder, "")), self.name(folder)
        prefix = "" if inside == "." else f"{inside}/"
        found = [
            (prefix + entry.path[before:].replace(os.sep, "/"), entry)
            for entry in below(folder, tuple(map(identity, resolved(folder).parents)))
        ]
        self.seen.update(name for name, _ in found)
        return found

    def loose(self, part: str = "") -> None:
        """Counts the files in a folder itself, where only folders are expected, as left out."""
        there = [p for p in (self.root / part).iterdir() if not p.name.startswith(".")]
        files = [path for path in there if not path.is_dir()]
        self.seen.update(map(self.name, files))
        self.outside.update(self.name(path) for path in files if is_image(path))

    def take(self, paths: Iterable[Path]) -> list[str]:
        """Sorted paths from the root; they do not count as left out."""
        names = sorted(map(self.name, paths))
        self.used.update(names)
        return names

    def pictures(self, part: str = "") -> list[str]:
        """The pictures below a folder of the root, as sorted paths from the root.

        Args:
            part: the folder, from the root.

        Raises:
            HashprobeError: there is none, or as `files`.
        """
        found = sorted(
            name
            for name, entry in self.entries(part)
            if name.lower().endswith(SUFFIXES) and entry.is_file()
        )
        self.used.update(found)
        if not found:
            suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
            raise HashprobeError(f"{self.root / part} holds no images ({suffixes})")
        return found

    def left_out(self) -> tuple[Finding, ...]:
        """The finding about files that were seen and not taken, with a count for each suffix."""
        left = sorted(self.seen - self.used)
        if not left:
            return ()
        counts = Counter(
            kind_of(self.root / name) + " in no class folder" * (name in self.outside)
            for name in left
        )
        kinds = ", ".join(
            f"{n:,} {kind}{'s' if n > 1 and kind in (BROKEN, SPECIAL) else ''}"
            for kind, n in sorted(counts.items())
        )
        text = f"{len(left):,} {'file was' if len(left) == 1 else 'files were'} left out ({kinds})"
        return (Finding("left out", len(left), text, tuple(left[:3])),)

    def name(self, path: Path) -> str:
        """A path from the root."""
        return path.relative_to(self.root).as_posix()


def kind_of(path: Path) -> str:
    """The suffix of a file that was left out, or what else it is."""
    if not path.exists():
        return BROKEN
    if not path.is_file():
        return SPECIAL
    return path.suffix.lower() or "without a suffix"


def identity(folder: Path) -> tuple[int, int]:
    """What two paths to one folder have in common."""
    about = folder.stat()
    return about.st_dev, about.st_ino


def below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder that is not hidden; `above` identifies the folders it is in."""
    try:
        mine = identity(folder)
        if mine in above:
            raise HashprobeError(f"{folder} leads back to a folder that it is in: remove this link")
        with os.scandir(folder) as entries:
            there = [(entry, entry.is_dir()) for entry in entries]
    except OSError as error:
        raise os_error(error, error.filename or folder) from error
    for entry, is_folder in there:
        if not entry.name.startswith("."):
            yield from below(folder / entry.name, (*above, mine)) if is_folder else (entry,)
