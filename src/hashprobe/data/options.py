"""Which data set, as one frozen record that a run folder can keep; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hashprobe.errors import HashprobeError


if TYPE_CHECKING:
    from hashprobe.data.cifar10 import Convention
    from hashprobe.data.protocols import RetrievalData

DATA_NAMES = (
    "digits",
    "cifar10",
    "cifar10-1",
    "cifar10-2",
    "folder",
    "listfiles",
    "imagenet100",
    "nuswide-20",
    "nuswide-21",
    "table",
)


@dataclass(frozen=True)
class DataOptions:
    """Where the pictures are and how they are split.

    Example:
        >>> len(DataOptions("digits").load().query)
        200
    """

    name: str
    """digits, cifar10, cifar10-1, cifar10-2, folder, listfiles, imagenet100, nuswide-20,
    nuswide-21 or table."""
    root: Path | None = None
    """Folder of the pictures; not needed for digits."""
    lists: Path | None = None
    """Folder of the list files (listfiles; imagenet100 and nuswide can do without), or the CSV file
    (table)."""
    queries: float = 0.1
    """Queries of each class, or groups of a table: a whole number, or a share below 1 (folder and
    table only)."""
    training: float = 0.3
    """Training items of each class, or groups of a table: a whole number, or a share below 1
    (folder and table only)."""
    split_seed: int = 0
    """Seed of the split and of the database order."""
    download: bool = False
    """Let torchvision download CIFAR-10 into the root."""

    unseen: int = 0
    """Classes that the network never sees; their items stay in the database as targets (open
    set)."""
    labels: str = ""
    """Beginnings of the names of the label columns, joined by commas; by default every column of
    0 and 1 (table only)."""
    group: str | None = None
    """Column whose equal values stay together, all queries or none (table only)."""

    def load(self) -> RetrievalData:
        """The data set, checked.

        Raises:
            HashprobeError: an unknown name, a folder that is missing or not needed, or whatever
                the data set itself finds wrong.
        """
        from hashprobe.data import hold_back

        if self.name not in DATA_NAMES:
            raise HashprobeError(f"unknown data {self.name!r}: choose from {', '.join(DATA_NAMES)}")
        if self.name != "table" and (self.labels or self.group is not None):
            raise HashprobeError(f"--labels and --group are for data table only, not {self.name}")
        data = self.load_closed()
        # ImageNet has further classes to draw from; elsewhere some of those there are held back.
        if self.unseen and self.name != "imagenet100":
            data = hold_back(data, self.unseen, self.split_seed)
        return data

    def load_closed(self) -> RetrievalData:
        """The data set by its name, before labels of an open set are held back."""
        from hashprobe import data

        root, lists, seed = self.root, self.lists, self.split_seed
        if self.name == "digits":
            return data.load_digits(seed)
        if root is None:
            raise HashprobeError(f"data {self.name} needs --root, the folder of its pictures")
        if self.name == "folder":
            return data.load_folder(root, queries=self.queries, training=self.training, seed=seed)
        if self.name == "imagenet100":
            return data.load_imagenet100(root, lists, unseen=self.unseen, seed=seed)
        if self.name in ("nuswide-20", "nuswide-21"):
            return data.load_nuswide(root, int(self.name[-2:]), lists=lists, seed=seed)
        if self.name == "listfiles":
            if lists is None:
                raise HashprobeError("data listfiles needs --lists, the folder of the list files")
            return data.load_listfiles(lists, root)
        if self.name == "table":
            if lists is None:
                raise HashprobeError("data table needs --lists, the CSV file")
            return data.load_table(
                lists,
                root,
                labels=tuple(part.strip() for part in self.labels.split(",") if part.strip()),
                group=self.group,
                queries=self.queries,
                training=self.training,
                seed=seed,
            )
        convention = cast("Convention", self.name)
        return data.load_cifar10(root, convention, seed=seed, download=self.download)
