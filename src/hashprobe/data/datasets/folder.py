"""Any tree of pictures with one folder a class."""

from math import inf
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hashprobe.data.findings import Finding
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import FileSource, Split
from hashprobe.data.walk import Tree
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels, generator_of


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the class folders below a root, sorted.

    Raises:
        HashprobeError: no such folder, or no folder in it.
    """
    if not root.is_dir():
        raise HashprobeError(f"no such folder: {root}")
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise HashprobeError(f"{root} holds no class folders: one folder a class is expected")
    return tuple(names)


def read_tree(
    root: Path, parts: tuple[str, ...] = ("",)
) -> tuple[Split, tuple[str, ...], tuple[Finding, ...]]:
    """Every image below root/<part>/<class>, sorted by path, the class names, what was left out.

    Args:
        root: the folder.
        parts: sub-folders that hold the class folders; all must hold the same classes.

    Raises:
        HashprobeError: a folder is missing, holds no images, or parts disagree about classes.
    """
    names = class_folders(root / parts[0])
    tree = Tree(root)
    paths: list[str] = []
    classes: list[int] = []
    for part in parts:
        if class_folders(root / part) != names:
            raise HashprobeError(f"{root / part} and {root / parts[0]} hold different classes")
        tree.loose(part)
        for number, name in enumerate(names):
            files = tree.pictures(f"{part}/{name}" if part else name)
            paths += files
            classes += [number] * len(files)
    labels = one_hot(np.array(classes, dtype=np.int64), len(names))
    split = Split(tuple(paths), FileSource(root, tuple(paths)), labels)
    return split, names, tree.left_out()


def check_count(what: str, count: float) -> None:
    """Refuses a number of items that is neither whole nor a share."""
    if not 0 < count < inf or (count > 1 and count != int(count)):
        raise HashprobeError(
            f"{what} must be a whole number, or a share between 0 and 1; got {count:g}"
        )


def count_of(count: float, total: int) -> int:
    """The number of items for a whole number or a share below 1 of `total`, at least one."""
    return max(1, round(count * total)) if count < 1 else int(count)


def up_to_each(
    labels: Labels,
    count: int,
    rng: np.random.Generator,
    taken: Int64[np.ndarray, " _"] | None = None,
) -> Int64[np.ndarray, " _"]:
    """Draw items label by label, up to `count` for each, none of them twice.

    Args:
        labels: (N, C) multi-hot.
        count: items for each label; fewer where there are no more.
        rng: the source of randomness.
        taken: positions that must not be drawn.

    Returns:
        Positions in random order.
    """
    free = np.ones(len(labels), dtype=bool)
    if taken is not None:
        free[taken] = False
    drawn = [np.array([], dtype=np.int64)]
    for column in labels.T:
        chosen = rng.permutation(np.flatnonzero(column & free))[:count]
        free[chosen] = False
        drawn.append(chosen)
    return rng.permutation(np.concatenate(drawn))


def per_class(
    labels: Labels,
    counts: list[int] | list[float],
    rng: np.random.Generator,
    names: tuple[str, ...],
    what: str = "images",
) -> list[Int64[np.ndarray, " _"]]:
    """Draw disjoint sets of positions with the same count, or share, of every class; then the rest.

    Args:
        labels: (N, C) one-hot.
        counts: items of each class for each set: a whole number, or a share below 1.
        rng: the source of randomness.
        names: C names of the classes.
        what: what the items are, in words.

    Returns:
        One array of positions a count, and one of what is left, each in random order.

    Raises:
        HashprobeError: a class has too few items; it is named.
    """
    sets: list[list[np.ndarray]] = [[] for _ in range(len(counts) + 1)]
    for column, name in zip(labels.T, names, strict=True):
        order = rng.permutation(np.flatnonzero(column))
        taken = 0
        for number, count in enumerate(counts):
            wanted = count_of(count, len(order))
            if taken + wanted > len(order):
                raise HashprobeError(
                    f"class {name} has {len(order)} {what}, too few to draw {taken + wanted}"
                )
            sets[number].append(order[taken : taken + wanted])
            taken += wanted
        sets[-1].append(order[taken:])
    return [rng.permutation(np.concatenate(part)) for part in sets]


def load_folder(
    root: Path, *, queries: float = 0.1, training: float = 0.3, seed: int = 0
) -> RetrievalData:
    """A class-per-folder tree, split at random within each class.

    The database holds all items but the queries, so the training items are in it, as in the
    protocol of ImageNet-100. Items are in random order, so ties do not follow class.

    Args:
        root: root/<class>/**/*.{jpg,jpeg,jpe,jfif,png,webp,gif}. Files and folders whose
            names begin with a dot are skipped; a finding counts other files. Links are followed.
        queries: items of each class that become queries: a whole number, or a share below 1.
        training: the same for training items.
        seed: seed of the split.

    Raises:
        HashprobeError: no such folder, one class only, a class without images or with too few,
            or a count that is neither whole nor a share.

    Example:
        >>> load_folder(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such folder: no/such/folder
    """
    for option, count in (("queries", queries), ("training", training)):
        check_count(f"{option} of each class", count)
    whole, names, notes = read_tree(root)
    if len(names) < 2:
        raise HashprobeError(f"{root} holds one class, {names[0]}: retrieval needs two or more")
    rng = generator_of(seed)
    query, train, rest = per_class(whole.labels, [queries, training], rng, names)
    database = rng.permutation(np.concatenate([train, rest]))
    return RetrievalData(
        f"folder:{root.name}",
        whole.take(query),
        whole.take(train),
        whole.take(database),
        names,
        notes=notes,
    )
