"""What universal changes are kept as: what was asked, and one change a label vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.differences import differences
from hashprobe.storage.files import read_json, read_npz, remove, write_json, write_npz
from hashprobe.workflow.results import RESULT


ASKED = "universal.json"
"""What was asked, below universal/NAME of a run."""
CHANGES = "changes.npz"
"""What was learnt, beside it."""
MEMBERS = {
    "labels": Member("bool", "u c"),
    "names": Member("text", "c"),
    "codes": Member("int8", "u k"),
    "changes": Member("float32", "u d h w"),
}
NOUNS = {"learnt.weights": "weights of the network"}
OFTEN = 30.0
"""Seconds between two writes while changes are learnt."""


@dataclass(frozen=True)
class Change:
    """A change that queries with one target label share."""

    label: np.ndarray
    """(C,)"""
    code: np.ndarray
    """(K,), where it steers."""
    pixels: np.ndarray
    """(3, H, W), or the square of a patch."""


class KeptChanges:
    """The changes of a folder by label vector; those that are not learnt yet are missing.

    Args:
        folder: universal/NAME of a run.
        names: of the labels.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder, self.names = folder, names
        self.changes: dict[bytes, Change] = {}
        self.written = monotonic()

    def claim(self, asked: Mapping[str, Any], overwrite: bool, progress: Progress) -> None:
        """Takes the folder; what the same learning has left in it is read.

        Args:
            asked: `learnt`, which decides on the changes, and the `protocol`.
            overwrite: whether to replace what was asked otherwise.
            progress: is told of changes that are read, or damaged.

        Raises:
            HashprobeError: the folder holds something that was asked otherwise.
        """
        found = self.found(overwrite)
        if found is not None and found != asked and not overwrite:
            reasons = "; ".join(map(str, differences(found, asked, NOUNS)))
            raise HashprobeError(
                f"{self.folder} holds other changes ({reasons}): choose another --name, or replace "
                "them by --overwrite"
            )
        # Numbers of what is being replaced must not outlive it, nor changes what says how they
        # were learnt.
        remove(self.folder / RESULT)
        if found is None or found.get("learnt") != asked["learnt"]:
            remove(self.folder / CHANGES)
        write_json(self.folder / ASKED, asked)
        self.read(progress)

    def found(self, overwrite: bool) -> dict[str, Any] | None:
        """What was asked before; None where nothing was."""
        if not (self.folder / ASKED).exists():
            return None
        try:
            found = read_json(self.folder / ASKED)
        except HashprobeError as error:
            if not overwrite:
                raise HashprobeError(f"{error}: replace it by --overwrite") from error
            return None
        return found if isinstance(found, dict) else {}

    def read(self, progress: Progress) -> None:
        """Reads the changes that are learnt already."""
        path = self.folder / CHANGES
        if not path.exists():
            return
        try:
            arrays = read_npz(path)
            check_members(arrays, MEMBERS, f"{path} holds no changes")
        except HashprobeError as error:
            progress.log(f"{error}: learnt anew")
            return
        for each in zip(*(arrays[name] for name in ("labels", "codes", "changes")), strict=True):
            self.changes[each[0].tobytes()] = Change(*each)
        progress.log(f"changes of {len(self.changes)} labels are learnt already, in {path}")

    def of(self, label: np.ndarray, code: np.ndarray) -> Change | None:
        """The change that steers to a label's code; None where it is not learnt yet."""
        change = self.changes.get(label.tobytes())
        return change if change is not None and np.array_equal(change.code, code) else None

    def add(self, change: Change) -> None:
        """Keeps a change, in the file from time to time."""
        self.changes[change.label.tobytes()] = change
        if monotonic() - self.written >= OFTEN:
            self.write()

    def write(self) -> None:
        """Writes all changes."""
        arrays = {
            "labels": np.stack([each.label for each in self.changes.values()]),
            "names": np.array(self.names, dtype=np.str_),
            "codes": np.stack([each.code for each in self.changes.values()]),
            "changes": np.stack([each.pixels for each in self.changes.values()]),
        }
        write_npz(self.folder / CHANGES, arrays)
        self.written = monotonic()
