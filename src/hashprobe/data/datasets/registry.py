"""Every data set by its name: the only place that knows which there are; imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hashprobe.errors import HashprobeError
from hashprobe.text import nearest
from hashprobe.types import check_seed


if TYPE_CHECKING:
    from hashprobe.data.retrieval import RetrievalData


Kind: TypeAlias = Literal["images", "videos"]

EXCLUSIVE = ("labels", "group", "official_split", "stride", "outside_root")
"""Options that are refused where a data set does not take them; others are without effect there."""
PARAMETERS = {"split_seed": "seed", "official_split": "split"}
"""Options whose parameter has another name in every loader."""
PICTURES = {"root": "the folder of its pictures"}
VIDEOS = {"root": "the folder of its videos"}
DRAWN = ("queries", "training", "split_seed")


@dataclass(frozen=True)
class DataSet:
    """One data set: its loader, and which options the loader is called with.

    Example:
        >>> digits = DATA_SETS["digits"]
        >>> digits.kind, digits.takes, len(digits.open(DataOptions("digits")).query)
        ('images', ('split_seed',), 200)
    """

    name: str
    """What users call it."""
    kind: Kind
    """`images` or `videos`."""
    loader: str
    """`module:function`, imported when it is used; it returns a `RetrievalData`."""
    help: str
    """One sentence."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Options that must be given, and what each of them is."""
    takes: tuple[str, ...] = ()
    """Further options of `DataOptions` that the loader is called with."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Options whose parameter has another name in this loader."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the loader that the name of the data set decides."""

    def open(self, options: DataOptions) -> RetrievalData:
        """Calls the loader.

        Args:
            options: those that the data set takes are handed on.

        Raises:
            HashprobeError: a needed option is missing, or what the loader finds wrong.
        """
        for option, what in self.needs.items():
            if getattr(options, option) is None:
                raise HashprobeError(f"data {self.name} needs --{option}, {what}")
        names = {**PARAMETERS, **self.renamed}
        given = {
            names.get(option, option): options.value(option)
            for option in dict.fromkeys([*self.needs, *self.takes])
        }
        module, _, function = self.loader.partition(":")
        load: Callable[..., RetrievalData] = getattr(import_module(module), function)
        return load(**given, **self.fixed)


_HERE = "hashprobe.data.datasets"
_CIFAR10 = f"{_HERE}.cifar10:load_cifar10"
_CIFAR10_TAKES = ("split_seed", "download")
_NUSWIDE = f"{_HERE}.nuswide:load_nuswide"

DATA_SETS: dict[str, DataSet] = {
    data.name: data
    for data in (
        DataSet(
            "digits",
            "images",
            f"{_HERE}.digits:load_digits",
            "1,797 scanned digits of 8x8 pixels, part of scikit-learn.",
            takes=("split_seed",),
        ),
        DataSet(
            "cifar10",
            "images",
            _CIFAR10,
            "CIFAR-10 with the training images outside the database.",
            needs=PICTURES,
            takes=_CIFAR10_TAKES,
            fixed={"convention": "cifar10"},
        ),
        DataSet(
            "cifar10-1",
            "images",
            _CIFAR10,
            "CIFAR-10 with the training images inside the database.",
            needs=PICTURES,
            takes=_CIFAR10_TAKES,
            fixed={"convention": "cifar10-1"},
        ),
        DataSet(
            "cifar10-2",
            "images",
            _CIFAR10,
            "CIFAR-10 with the test set as queries and the training set as the database.",
            needs=PICTURES,
            takes=_CIFAR10_TAKES,
            fixed={"convention": "cifar10-2"},
        ),
        DataSet(
            "folder",
            "images",
            f"{_HERE}.folder:load_folder",
            "Any tree of pictures with one folder a class.",
            needs=PICTURES,
            takes=DRAWN,
        ),
        DataSet(
            "listfiles",
            "images",
            f"{_HERE}.listfiles:load_listfiles",
            "Pictures by query, training and database lists as the field publishes them.",
            needs={**PICTURES, "lists": "the folder of the list files"},
            takes=("outside_root",),
        ),
        DataSet(
            "imagenet100",
            "images",
            f"{_HERE}.imagenet:load_imagenet100",
            "100 classes of ILSVRC 2012, by the published lists or by the paper's recipe.",
            needs=PICTURES,
            takes=("lists", "unseen", "split_seed", "outside_root"),
        ),
        DataSet(
            "nuswide-20",
            "images",
            _NUSWIDE,
            "NUS-WIDE with its 20 most frequent concepts, by the protocol of the DHTA paper.",
            needs=PICTURES,
            takes=("lists", "split_seed", "outside_root"),
            fixed={"labels": 20},
        ),
        DataSet(
            "nuswide-21",
            "images",
            _NUSWIDE,
            "NUS-WIDE with its 21 most frequent concepts, by the protocol of ProS-GAN and THA.",
            needs=PICTURES,
            takes=("lists", "split_seed", "outside_root"),
            fixed={"labels": 21},
        ),
        DataSet(
            "table",
            "images",
            f"{_HERE}.table:load_table",
            "Pictures that a CSV file lists, with columns of labels.",
            needs={**PICTURES, "lists": "the CSV file"},
            takes=("labels", "group", *DRAWN, "outside_root"),
            renamed={"lists": "csv"},
        ),
        DataSet(
            "moving-digits",
            "videos",
            f"{_HERE}.moving_digits:load_moving_digits",
            "800 clips of moving digits, 16x16 pixels, made from scikit-learn's digits.",
            takes=("split_seed",),
        ),
        DataSet(
            "videofolder",
            "videos",
            f"{_HERE}.videofolder:load_videofolder",
            "Any tree of clips with one folder a class.",
            needs=VIDEOS,
            takes=("group", "stride", *DRAWN),
        ),
        DataSet(
            "ucf101",
            "videos",
            f"{_HERE}.ucf101:load_ucf101",
            "UCF-101 by the protocol of the DHTA paper or by an official split.",
            needs=VIDEOS,
            takes=("official_split", "lists", "split_seed"),
        ),
        DataSet(
            "jhmdb",
            "videos",
            f"{_HERE}.jhmdb:load_jhmdb",
            "JHMDB by the protocol of the DHTA paper.",
            needs=VIDEOS,
            takes=("split_seed",),
        ),
        DataSet(
            "hmdb51",
            "videos",
            f"{_HERE}.hmdb51:load_hmdb51",
            "HMDB51 by an official split.",
            needs=VIDEOS,
            takes=("official_split", "lists", "split_seed"),
        ),
    )
}
"""Every data set by name, images first."""


def data_set(name: str) -> DataSet:
    """The data set of a name.

    Args:
        name: one of `DATA_SETS`.

    Raises:
        HashprobeError: there is none; the known names are listed.

    Example:
        >>> data_set("jhmdb").kind
        'videos'
    """
    if name not in DATA_SETS:
        raise HashprobeError(
            f"unknown data {name!r}: {meant(name)}choose from {', '.join(DATA_SETS)}"
        )
    return DATA_SETS[name]


def meant(name: str) -> str:
    """What was probably meant by a name that is no data set: a folder, a table or a misspelt name.

    Example:
        >>> meant("diggits")
        'did you mean digits? Otherwise '
    """
    place = Path(name)
    if place.is_dir():
        return f"to use that folder, say {kind_of_tree(place)} --root {name}. Otherwise "
    if place.is_file() and place.suffix.lower() in (".csv", ".tsv", ".txt"):
        return f"to use that file, say table --lists {name} --root FOLDER. Otherwise "
    close = nearest(name, DATA_SETS)
    return f"did you mean {close}? Otherwise " if close else ""


def kind_of_tree(folder: Path) -> str:
    """The data set for a folder: `videofolder` if its first classes hold clips, else `folder`."""
    from hashprobe.data.videos import VIDEO_SUFFIXES

    try:
        classes = [each for each in sorted(folder.iterdir()) if each.is_dir()][:3]
        inside = [file for each in classes for file in islice(each.iterdir(), 100)]
    except OSError:
        return "folder"
    videos = any(file.suffix.lower() in VIDEO_SUFFIXES for file in inside)
    return "videofolder" if videos else "folder"


def data_names(kind: Kind | None = None) -> tuple[str, ...]:
    """The names of all data sets, or of those of one kind, in the order of the registry.

    Args:
        kind: `images` or `videos`; None for both.

    Example:
        >>> data_names("videos")
        ('moving-digits', 'videofolder', 'ucf101', 'jhmdb', 'hmdb51')
    """
    return tuple(data.name for data in DATA_SETS.values() if kind in (None, data.kind))


def data_help() -> str:
    """The names of the data sets by kind, in words, for help texts.

    Example:
        >>> print(data_help().split(". ")[1])
        Videos: moving-digits, videofolder, ucf101, jhmdb or hmdb51.
    """
    images, videos = (list(data_names(kind)) for kind in ("images", "videos"))
    return f"Images: {joined(images, 'or')}. Videos: {joined(videos, 'or')}."


def joined(names: list[str], word: str) -> str:
    """Names with commas between them and a word before the last."""
    return f" {word} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


@dataclass(frozen=True)
class DataOptions:
    """Which data set, where its pictures or clips are, and how they are split.

    Example:
        >>> len(DataOptions("digits").load().query)
        200
    """

    name: str
    """The name of a data set; `data_help` lists them."""
    root: Path | None = None
    """Folder of the pictures or videos; not needed for digits and moving-digits."""
    lists: Path | None = None
    """Folder of the list files (listfiles; optional for imagenet100, nuswide, ucf101 and hmdb51),
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
    outside_root: bool = False
    """Allow paths in list files and tables that lead out of the root (listfiles, table, imagenet100
    and nuswide only)."""

    unseen: int = 0
    """Classes that the network never sees; their items stay in the database as targets (open
    set)."""
    labels: str = ""
    """Beginnings of the names of the label columns, joined by commas; by default every column of
    0 and 1 (table only)."""
    group: str | None = None
    """What must not be divided between queries and other items: the column whose values are equal
    (table), or a regular expression whose first group finds the same text in the names of clips,
    as '^(.*)_', or, where it finds nothing in any name, in their paths from the root, as
    '/(S[0-9]+)_' (videofolder)."""

    official_split: int | None = None
    """Number of the official split, 1 to 3; by default the protocol of the paper for ucf101, and
    split 1 for hmdb51 (these two only)."""
    stride: int = 1
    """Only every stride-th frame of a clip is read, at most 40 frames (videofolder only)."""

    def __post_init__(self) -> None:
        check_seed(self.split_seed, "split_seed")
        for option in ("root", "lists"):
            place = getattr(self, option)
            if isinstance(place, str):
                if not place.strip():
                    raise HashprobeError(f"{option} is an empty path: name a folder")
                object.__setattr__(self, option, Path(place).expanduser())

    def load(self) -> RetrievalData:
        """The data set, checked.

        Raises:
            HashprobeError: an unknown name, an option that the data set does not have, a folder
                that is missing, or what the data set itself finds wrong.
        """
        from hashprobe.data.openset import hold_back

        chosen = data_set(self.name)
        for option in EXCLUSIVE:
            if getattr(self, option) == DEFAULTS[option] or option in chosen.takes:
                continue
            takers = joined([d.name for d in DATA_SETS.values() if option in d.takes], "and")
            flag = option.replace("_", "-")
            raise HashprobeError(f"--{flag} is for data {takers} only, not {self.name}")
        data = chosen.open(self)
        # A loader that takes `unseen` draws further classes itself.
        if self.unseen and "unseen" not in chosen.takes:
            data = hold_back(data, self.unseen, self.split_seed)
        return data

    def value(self, option: str) -> Any:
        """An option as loaders take it: the comma-separated labels as a tuple."""
        value = getattr(self, option)
        if option == "labels":
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {name: kind.default for name, kind in DataOptions.__dataclass_fields__.items()}
)
