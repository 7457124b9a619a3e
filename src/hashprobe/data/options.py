"""Which data set, as one frozen record that a run folder can keep; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hashprobe.errors import HashprobeError


if TYPE_CHECKING:
    from hashprobe.data.cifar10 import Convention
    from hashprobe.data.protocols import RetrievalData

DATA_NAMES = ("digits", "cifar10", "cifar10-1", "cifar10-2", "folder", "listfiles")


@dataclass(frozen=True)
class DataOptions:
    """Where the pictures are and how they are split.

    Example:
        >>> len(DataOptions("digits").load().query)
        200
    """

    name: str
    """digits, cifar10, cifar10-1, cifar10-2, folder or listfiles."""
    root: Path | None = None
    """Folder of the pictures; not needed for digits."""
    lists: Path | None = None
    """Folder of the list files (listfiles only)."""
    queries: float = 0.1
    """Queries of each class: a whole number, or a share below 1 (folder only)."""
    training: float = 0.3
    """Training items of each class: a whole number, or a share below 1 (folder only)."""
    split_seed: int = 0
    """Seed of the split and of the database order."""
    download: bool = False
    """Let torchvision download CIFAR-10 into the root."""

    def load(self) -> RetrievalData:
        """The data set, checked.

        Raises:
            HashprobeError: an unknown name, a folder that is missing or not needed, or whatever
                the data set itself finds wrong.
        """
        from hashprobe import data

        if self.name == "digits":
            return data.load_digits(self.split_seed)
        if self.name not in DATA_NAMES:
            raise HashprobeError(f"unknown data {self.name!r}: choose from {', '.join(DATA_NAMES)}")
        if self.root is None:
            raise HashprobeError(f"data {self.name} needs --root, the folder of its pictures")
        if self.name == "folder":
            return data.load_folder(
                self.root, queries=self.queries, training=self.training, seed=self.split_seed
            )
        if self.name == "listfiles":
            if self.lists is None:
                raise HashprobeError("data listfiles needs --lists, the folder of the list files")
            return data.load_listfiles(self.lists, self.root)
        convention = cast("Convention", self.name)
        return data.load_cifar10(
            self.root, convention, seed=self.split_seed, download=self.download
        )
