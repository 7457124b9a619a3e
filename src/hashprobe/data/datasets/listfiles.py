"""The two list formats in which the field publishes its splits."""

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from hashprobe.data.retrieval import RetrievalData
from hashprobe.data.sources import FileSource, Split
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_bytes
from hashprobe.types import Labels


QUERY_NAMES = ("test", "query")


def load_listfiles(lists: Path, root: Path, *, outside_root: bool = False) -> RetrievalData:
    """Query, training and database lists with an image root, multi-label.

    Two formats, recognised by the names of the files:

    - one file for each split (HashNet, DHTA, DeepHash-pytorch): `test.txt` (or `query.txt`),
      `train.txt` and `database.txt`, each line a path, a space, and C values 0 or 1;
    - two files for each split (ProS-GAN, THA, SAAT, CgAT): `test_img.txt` with a path a line and
      `test_label.txt` with C values a line, and so on.

    Label names are read from `label_names.txt` (one a line) if it is beside the lists.

    Args:
        lists: the folder of the lists.
        root: the folder that their paths start from.
        outside_root: whether paths may lead out of the root.

    Raises:
        HashprobeError: a list is missing, empty or malformed, or a path leads out of the root; the
            file and entry are named.

    Example:
        >>> load_listfiles(Path("no/lists"), Path("images"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such folder: no/lists
    """
    query, train, database, names = read_lists(lists, root, outside_root)
    return RetrievalData(f"listfiles:{lists.name}", query, train, database, names)


def read_lists(
    lists: Path, root: Path, outside_root: bool = False
) -> tuple[Split, Split, Split, tuple[str, ...]]:
    """Query, training and database items of a folder of lists, and the label names."""
    if not lists.is_dir():
        raise HashprobeError(f"no such folder: {lists}")
    query = read_split(lists, QUERY_NAMES, root, outside_root)
    train = read_split(lists, ("train",), root, outside_root)
    database = read_split(lists, ("database",), root, outside_root)
    width = query.labels.shape[1]
    for name, split in (("training", train), ("database", database)):
        if split.labels.shape[1] != width:
            raise HashprobeError(
                f"{lists}: query labels have {width} columns, {name} labels {split.labels.shape[1]}"
            )
    names = tuple(str(i) for i in range(width))
    names_file = lists / "label_names.txt"
    if names_file.is_file():
        names = tuple(line.strip() for line in read_lines(names_file))
        if len(names) != width:
            raise HashprobeError(f"{names_file} has {len(names)} names for {width} label columns")
    return query, train, database, names


def read_split(lists: Path, names: tuple[str, ...], root: Path, outside_root: bool) -> Split:
    """One split, in either format."""
    for name in names:
        file = lists / f"{name}_img.txt"
        if file.is_file():
            paths, labels = read_pair(file, lists / f"{name}_label.txt")
        elif (lists / f"{name}.txt").is_file():
            file = lists / f"{name}.txt"
            paths, labels = read_single(file)
        else:
            continue
        if not outside_root:
            refuse_outside(file, root, paths)
        return Split(paths, FileSource(root, paths), labels)
    options = " or ".join(f"{name}.txt or {name}_img.txt" for name in names)
    raise HashprobeError(f"{lists} has no {options}")


def refuse_outside(file: Path, root: Path, paths: Sequence[str], noun: str = "entry") -> None:
    """Refuses paths of a list that lead out of the root: a list from elsewhere could name any file.

    Args:
        file: the list, for the error.
        root: the folder that the paths start from; absolute paths must begin with it.
        paths: as the list has them.
        noun: what an entry of the list is called.

    Raises:
        HashprobeError: a path leads, or may lead, out of the root; entry and option are named.
    """
    for number, path in enumerate(paths, 1):
        place = PurePath(path)
        beside = place.is_absolute() and not place.is_relative_to(root.absolute())
        if beside or ".." in place.parts:
            raise HashprobeError(
                f"{file}, {noun} {number}: {path} leads out of the root {root}: mend it, or allow "
                "such paths by --outside-root"
            )


def read_single(path: Path) -> tuple[tuple[str, ...], Labels]:
    """Lines of `path 0 1 0 ...`; the path ends at the first blank."""
    rows = [line.split() for line in read_lines(path)]
    labels = parse_labels(path, [row[1:] for row in rows])
    return tuple(row[0] for row in rows), labels


def read_pair(images: Path, labels: Path) -> tuple[tuple[str, ...], Labels]:
    """A file of paths and a file of label rows in the same order."""
    paths = tuple(line.strip() for line in read_lines(images))
    if not labels.is_file():
        raise HashprobeError(f"{images} has no {labels.name} beside it")
    rows = [line.split() for line in read_lines(labels)]
    if len(rows) != len(paths):
        raise HashprobeError(f"{images} has {len(paths)} lines, {labels.name} has {len(rows)}")
    return paths, parse_labels(labels, rows)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank.

    Bytes that are not UTF-8, as in names in Latin-1, stand for the same bytes in names of files.
    """
    data = read_bytes(path)
    if b"\0" in data:
        number = data[: data.index(b"\0")].count(b"\n") + 1
        raise HashprobeError(
            f"{path} is not a text file in UTF-8: it holds a NUL byte in line {number}"
        )
    text = data.decode("utf-8-sig", "surrogateescape")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise HashprobeError(f"{path} is empty")
    return lines


def parse_labels(path: Path, rows: list[list[str]]) -> Labels:
    """Rows of 0 and 1, all of the same width."""
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != width or not width:
            raise HashprobeError(
                f"{path}, entry {number}: {len(row)} label values where the first entry has {width}"
            )
        strange = next((value for value in row if value not in ("0", "1")), None)
        if strange is not None:
            raise HashprobeError(f"{path}, entry {number}: label values are 0 or 1; got {strange}")
    labels: Labels = np.array(rows) == "1"
    return labels
