"""What is encoded of a split so far, on the disk, so that a kill loses little."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_npz, write_npz


FIELDS = {"made_by", "stop", "codes", "positions", "bad"}


@dataclass(frozen=True)
class Part:
    """A stretch of a split.

    Example:
        >>> codes = PackedCodes.from_signs([[1] * 8])
        >>> Part(stop=2, codes=codes, positions=np.array([0]), bad=("1.jpg: cut off",)).stop
        2
    """

    stop: int
    """The position after its last item."""
    codes: PackedCodes
    """Codes of the items that could be had."""
    positions: Int64[np.ndarray, " n"]
    """Their positions in the split."""
    bad: tuple[str, ...]
    """What was wrong with the others."""


@dataclass(frozen=True)
class Parts:
    """A folder of parts, each file named by the position it begins at.

    Example:
        >>> import tempfile
        >>> parts = Parts(Path(tempfile.mkdtemp()), "these weights", 8)
        >>> parts.write(0, Part(2, PackedCodes.from_signs([[1] * 8] * 2), np.arange(2), ()))
        >>> [part.stop for part in parts.read()]
        [2]
    """

    folder: Path
    """Where they are."""
    made_by: str
    """Which weights made them in which precision; those of others are not taken over."""
    bits: int
    """K."""

    def read(self) -> Iterator[Part]:
        """The parts from the beginning of the split to the first gap."""
        start = 0
        while True:
            try:
                arrays = read_npz(self.path(start))
            except HashprobeError:
                return  # missing or cut off: from here on all is encoded again
            if set(arrays) != FIELDS or str(arrays["made_by"]) != self.made_by:
                return
            codes = PackedCodes(arrays["codes"], self.bits)
            start = int(arrays["stop"])
            yield Part(start, codes, arrays["positions"], tuple(arrays["bad"].tolist()))

    def write(self, start: int, part: Part) -> None:
        """Keeps the stretch from start to the part's stop.

        Raises:
            HashprobeError: the disk refuses.
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
        """Throws the parts away, once the whole is kept."""
        for path in self.folder.glob("*.npz"):
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def path(self, start: int) -> Path:
        """The file of the part that begins at a position."""
        return self.folder / f"{start:010d}.npz"
