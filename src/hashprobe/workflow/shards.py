"""The finished parts of an encoding, on the disk, so that a kill loses little work."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.files import read_npz, remove, write_npz


NAME = re.compile(r"\d{10,}\.npz")
MEMBERS = {
    "made_by": Member("text"),
    "stop": Member("whole"),
    "codes": Member("uint8", "n b"),
    "positions": Member("int64", "n"),
    "bad": Member("text", "m"),
}


@dataclass(frozen=True)
class Part:
    """The codes of some consecutive items of a split.

    Example:
        >>> codes = PackedCodes.from_signs([[1] * 8])
        >>> Part(stop=2, codes=codes, positions=np.array([0]), bad=("1.jpg: cut off",)).stop
        2
    """

    stop: int
    """The position after its last item."""
    codes: PackedCodes
    """Codes of the items that could be decoded."""
    positions: Int64[np.ndarray, " n"]
    """Their positions in the split."""
    bad: tuple[str, ...]
    """The errors of the other items."""


@dataclass(frozen=True)
class Parts:
    """A folder of parts; the name of each file is the position of its first item.

    Example:
        >>> import tempfile
        >>> parts = Parts(Path(tempfile.mkdtemp()), "these weights", 8)
        >>> parts.write(0, Part(2, PackedCodes.from_signs([[1] * 8] * 2), np.arange(2), ()))
        >>> [part.stop for part in parts.read()]
        [2]
    """

    folder: Path
    """The folder."""
    made_by: str
    """A key of the weights and the precision; parts with another key are ignored."""
    bits: int
    """Code length K."""

    def read(self) -> Iterator[Part]:
        """The parts from the beginning of the split to the first gap."""
        start = 0
        while True:
            try:
                arrays = read_npz(self.path(start))
            except HashprobeError:
                return  # missing or cut off: the rest is encoded again
            try:
                part = self.part_of(arrays, start)
            except HashprobeError:
                return  # other weights, or damaged: the same
            start = part.stop
            yield part

    def part_of(self, arrays: Mapping[str, np.ndarray], start: int) -> Part:
        """The part in the arrays of a file that begins at a position.

        Raises:
            HashprobeError: it is of other weights, or damaged.
        """
        check_members(arrays, MEMBERS, "it")
        positions, stop = arrays["positions"], int(arrays["stop"])
        ends = np.concatenate([[start - 1], positions, [stop]])
        if str(arrays["made_by"]) != self.made_by or stop <= start or (np.diff(ends) < 1).any():
            raise HashprobeError("it is of other weights or other items")
        codes = PackedCodes(arrays["codes"], self.bits)
        return Part(stop, codes, positions, tuple(arrays["bad"].tolist()))

    def write(self, start: int, part: Part) -> None:
        """Saves the part from a position to its stop.

        Raises:
            HashprobeError: the file cannot be written.
        """
        arrays = {
            "made_by": np.array(self.made_by),
            "stop": np.array(part.stop),
            "codes": part.codes.data,
            "positions": part.positions,
            "bad": np.array(part.bad, dtype=np.str_),
        }
        write_npz(self.path(start), arrays)

    def remove(self) -> None:
        """Removes the parts, once the whole split is saved."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if NAME.fullmatch(path.name):
                remove(path)
        with suppress(OSError):  # somebody else's files are in it
            self.folder.rmdir()

    def path(self, start: int) -> Path:
        """The file of the part that begins at a position."""
        return self.folder / f"{start:010d}.npz"
