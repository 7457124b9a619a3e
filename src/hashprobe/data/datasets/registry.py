"""Which data set, as one frozen record that a run folder can keep; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hashprobe.errors import HashprobeError


if TYPE_CHECKING:
    from hashprobe.data.datasets.cifar10 import Convention
    from hashprobe.data.retrieval import RetrievalData

CLIP_NAMES = ("moving-digits", "videofolder", "ucf101", "jhmdb", "hmdb51")
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
    *CLIP_NAMES,
)


@dataclass(frozen=True)
class DataOptions:
    """Where the pictures or clips are and how they are split.

    Example:
        >>> len(DataOptions("digits").load().query)
        200
    """

    name: str
    """Images: digits, cifar10, cifar10-1, cifar10-2, folder, listfiles, imagenet100, nuswide-20,
    nuswide-21 or table. Videos: moving-digits, videofolder, ucf101, jhmdb or hmdb51."""
    root: Path | None = None
    """Folder of the pictures or videos; not needed for digits and moving-digits."""
    lists: Path | None = None
    """Folder of the list files (listfiles; imagenet100, nuswide, ucf101 and hmdb51 can do without),
    or the CSV file (table)."""
    queries: float = 0.1
    """Queries of each class, or groups of a table: a whole number, or a share below 1 (folder,
    videofolder and table only)."""
    training: float = 0.3
    """Training items of each class, or groups of a table: a whole number, or a share below 1
    (folder, videofolder and table only)."""
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
    """What stays together, all queries or none: the column whose values are equal (table), or a
    regular expression whose first group finds the same in the clips' names, as '^(.*)_'
    (videofolder)."""

    official_split: int | None = None
    """Number of the official split, 1 to 3; by default the protocol of the paper for ucf101, and
    split 1 for hmdb51 (these two only)."""
    stride: int = 1
    """Every so many-th frame of a clip is kept, 40 at most (videofolder only)."""

    def load(self) -> RetrievalData:
        """The data set, checked.

        Raises:
            HashprobeError: an unknown name, an option that the data set does not have, a folder
                that is missing, or whatever the data set itself finds wrong.
        """
        from hashprobe.data.openset import hold_back

        if self.name not in DATA_NAMES:
            raise HashprobeError(f"unknown data {self.name!r}: choose from {', '.join(DATA_NAMES)}")
        for option, given, names in (
            ("labels", bool(self.labels), ("table",)),
            ("group", self.group is not None, ("table", "videofolder")),
            ("official-split", self.official_split is not None, ("ucf101", "hmdb51")),
            ("stride", self.stride != 1, ("videofolder",)),
        ):
            if given and self.name not in names:
                known = " and ".join(names)
                raise HashprobeError(f"--{option} is for data {known} only, not {self.name}")
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
        if self.name == "moving-digits":
            return data.load_moving_digits(seed)
        if root is None:
            what = "videos" if self.name in CLIP_NAMES else "pictures"
            raise HashprobeError(f"data {self.name} needs --root, the folder of its {what}")
        if self.name in CLIP_NAMES:
            return self.load_clips(root)
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

    def load_clips(self, root: Path) -> RetrievalData:
        """A data set of clips below a folder, before labels of an open set are held back."""
        from hashprobe import data

        seed, split = self.split_seed, self.official_split
        if self.name == "ucf101":
            return data.load_ucf101(root, split=split, lists=self.lists, seed=seed)
        if self.name == "hmdb51":
            return data.load_hmdb51(root, split=split, lists=self.lists, seed=seed)
        if self.name == "jhmdb":
            return data.load_jhmdb(root, seed=seed)
        return data.load_videofolder(
            root,
            group=self.group,
            queries=self.queries,
            training=self.training,
            seed=seed,
            stride=self.stride,
        )
