"""ImageNet-100: the field's single-label protocol, from its lists or from an ImageNet folder."""

import re
from csv import DictReader
from pathlib import Path

import numpy as np

from hashprobe.data.datasets.folder import class_folders, up_to_each
from hashprobe.data.datasets.listfiles import read_lines, read_lists
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import FileSource, Split, join
from hashprobe.data.walk import Tree, is_image
from hashprobe.errors import HashprobeError
from hashprobe.types import generator_of


WNID = re.compile(r"n\d{8}")
"""How ImageNet names a class."""
BASES = ("", "ILSVRC2012", "ILSVRC/Data/CLS-LOC")
"""Where train/ and val/ may be below the root."""
SOLUTION = "LOC_val_solution.csv"
SIZES = {"query": 5_000, "training": 10_000}
DATABASE = 128_503
"""Of the published lists."""

Parts = tuple[Split, Split, Split, tuple[str, ...]]
"""Query, training, database, label names."""


def load_imagenet100(
    root: Path,
    lists: Path | None = None,
    *,
    unseen: int = 0,
    seed: int = 0,
    classes: int = 100,
    queries: int = 50,
    training: int = 100,
    outside_root: bool = False,
) -> RetrievalData:
    """ImageNet-100: 100 classes of ILSVRC 2012, validation images as queries.

    Published lists are used unchanged, except that at most 100 training items of a class are drawn
    from them (HashNet lists 130, DHTA trains with 100). Without lists, the recipe of the paper is
    used: random classes, all their training images as the database, 100 of each class to train
    with, 50 validation images of each as queries, all in random order. To fix the classes, name
    them one a line in `classes.txt`, the only file in the folder `lists`.

    Unseen classes join the database only, as targets of an open-set attack; with the published
    lists the database is then shuffled. The other classes, the queries and the training items are
    the same for any number of them.

    Source: HashNet (Cao et al., ICCV 2017) and DHTA (Bai et al., ECCV 2020), the experiments.

    Args:
        root: the folder that the paths of the lists start from; or one with train/<wnid>/*.JPEG
            and val/<wnid>/*.JPEG, or both below ILSVRC/Data/CLS-LOC. A val without class folders
            needs Kaggle's LOC_val_solution.csv in the root or up to three folders above it.
        lists: the folder of the published lists, or of classes.txt.
        unseen: further classes in the database, drawn from root/train.
        seed: seed of the classes, of the draws and of the order.
        classes: how many classes to draw (not with lists or classes.txt).
        queries: validation images of each class, at most (not with published lists).
        training: training images of each class, at most.
        outside_root: whether paths of the lists may lead out of the root.

    Raises:
        HashprobeError: a folder or list is missing or malformed, a named class is not there, or
            too few classes are.

    Example:
        >>> load_imagenet100(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no ImageNet in no/such/folder: it must hold \
train/<wnid>/*.JPEG, in the folder itself or below ILSVRC2012 or ILSVRC/Data/CLS-LOC
    """
    for name, number, least in (
        ("unseen", unseen, 0),
        ("classes", classes, 2),
        ("queries", queries, 1),
        ("training", training, 1),
    ):
        if number < least:
            raise HashprobeError(f"{name} must be at least {least}; got {number}")
    rng = generator_of(seed)
    tree, named = Tree(root), named_classes(lists)
    sizes = dict(SIZES)
    if lists is None or named:
        query, train, database, names = from_folder(tree, named, classes, queries, training, rng)
        seen = set(names)
    else:
        query, train, database, names = from_lists(lists, root, training, rng, outside_root)
        ids = [*query.ids, *train.ids, *database.ids]
        seen = {part for path in ids for part in path.split("/") if WNID.fullmatch(part)}
        sizes["database"] = DATABASE
    hidden: tuple[str, ...] = ()
    if unseen:
        hidden, extra = further(tree, seen, unseen, len(names), rng)
        width = len(names) + unseen
        query, train, database = (widen(split, width) for split in (query, train, database))
        database = join(database, extra)
        database = database.take(rng.permutation(len(database)))
        if "database" in sizes:
            sizes["database"] += len(extra)
    return RetrievalData(
        "imagenet100",
        query,
        train,
        database,
        names + hidden,
        hidden,
        sizes,
        notes=tree.left_out(),
    )


def named_classes(lists: Path | None) -> list[str]:
    """The classes of a classes.txt that is the only text file in its folder."""
    named = [] if lists is None else [p.name for p in lists.glob("*.txt") if p.name[0] != "."]
    if lists is None or named != ["classes.txt"]:
        return []
    names = [line.split()[0] for line in read_lines(lists / "classes.txt")]
    strange = next((name for name in names if not WNID.fullmatch(name)), None)
    if strange is not None:
        raise HashprobeError(
            f"{lists / 'classes.txt'} must name a class a line, as n01440764; got {strange}"
        )
    if len(set(names)) < max(2, len(names)):
        raise HashprobeError(
            f"{lists / 'classes.txt'} must name two or more classes, each once; it has "
            f"{len(names)} lines and {len(set(names))} classes"
        )
    return names


def from_lists(
    lists: Path, root: Path, training: int, rng: np.random.Generator, outside_root: bool = False
) -> Parts:
    """The published lists, with as many training items of a class as the paper has, at most."""
    query, train, database, names = read_lists(lists, root, outside_root)
    if train.labels.sum(0).max() > training:
        train = train.take(up_to_each(train.labels, training, rng))
    return query, train, database, names


def from_folder(
    tree: Tree,
    named: list[str],
    classes: int,
    queries: int,
    training: int,
    rng: np.random.Generator,
) -> Parts:
    """The paper's recipe on an ImageNet folder."""
    root = tree.root
    train = train_folder(root)
    known = wnids(train)
    missing = next((name for name in named if name not in known), None)
    if missing is not None:
        raise HashprobeError(f"{train} has no folder {missing}, which classes.txt names")
    if not named and len(known) < classes:
        raise HashprobeError(f"{train} holds {len(known)} classes, too few to draw {classes}")
    names = tuple(sorted(named or (known[i] for i in rng.permutation(len(known))[:classes])))
    asked = labelled(root, validation(tree, train.parent / "val", names), len(names))
    query = asked.take(up_to_each(asked.labels, queries, rng))
    files = [tree.pictures(tree.name(train / name)) for name in names]
    database = labelled(root, files, len(names))
    database = database.take(rng.permutation(len(database)))
    return query, database.take(up_to_each(database.labels, training, rng)), database, names


def further(
    tree: Tree, seen: set[str], unseen: int, first: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], Split]:
    """The names and the training images of classes that are not among those seen."""
    train = train_folder(tree.root)
    if not seen:
        raise HashprobeError(
            "the paths of the lists have no folder with the name of a class (n01440764 or such): "
            "unseen classes cannot be drawn"
        )
    rest = [name for name in wnids(train) if name not in seen]
    if len(rest) < unseen:
        raise HashprobeError(
            f"{train} holds {len(rest)} classes besides the {len(seen)} of the protocol, too few "
            f"for {unseen} unseen"
        )
    names = tuple(rest[i] for i in rng.permutation(len(rest))[:unseen])
    files = [tree.pictures(tree.name(train / name)) for name in names]
    return names, labelled(tree.root, files, first + unseen, first)


def train_folder(root: Path) -> Path:
    """The folder of the training images in any of the known layouts."""
    for base in BASES:
        if (root / base / "train").is_dir():
            return root / base / "train"
    raise HashprobeError(
        f"no ImageNet in {root}: it must hold train/<wnid>/*.JPEG, in the folder itself or below "
        f"{' or '.join(BASES[1:])}"
    )


def wnids(folder: Path) -> list[str]:
    """The classes that have a folder, sorted."""
    return [name for name in class_folders(folder) if WNID.fullmatch(name)]


def validation(tree: Tree, folder: Path, names: tuple[str, ...]) -> list[list[str]]:
    """Paths of the validation images of each class, in folders by class or in one."""
    if any((folder / name).is_dir() for name in names):
        return [tree.pictures(tree.name(folder / name)) for name in names]
    root = tree.root
    above = [root.absolute(), *root.absolute().parents[:3]]
    table = next((p / SOLUTION for p in above if (p / SOLUTION).is_file()), None)
    if table is None or not folder.is_dir():
        raise HashprobeError(
            f"{folder} must hold one folder a class (as {names[0]}/), or all validation images "
            f"with Kaggle's {SOLUTION} (columns ImageId and PredictionString) in {root} or up to "
            "three folders above it"
        )
    rows = list(DictReader(read_lines(table)))
    if not rows or not {"ImageId", "PredictionString"} <= set(rows[0]):
        raise HashprobeError(f"{table} must have the columns ImageId and PredictionString")
    class_of = {row["ImageId"]: (row["PredictionString"] or "").split(" ")[0] for row in rows}
    files: dict[str, list[str]] = {name: [] for name in names}
    for path in sorted(p for p in folder.iterdir() if is_image(p)):
        files.get(class_of.get(path.stem, ""), []).append(tree.name(path))
    return [files[name] for name in names]


def labelled(root: Path, files: list[list[str]], width: int, first: int = 0) -> Split:
    """The files of consecutive classes as one split; `first` is the number of the first class."""
    paths = tuple(path for of_class in files for path in of_class)
    numbers = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files])
    return Split(paths, FileSource(root, paths), one_hot(numbers + first, width))


def widen(split: Split, width: int) -> Split:
    """The same items with columns for labels that none of them carries."""
    more = np.zeros((len(split), width - split.labels.shape[1]), dtype=bool)
    return Split(split.ids, split.source, np.hstack([split.labels, more]))
