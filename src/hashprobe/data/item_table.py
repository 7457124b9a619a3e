"""What a CSV file says of items that are known by id: labels, groups and paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashprobe.checked import checked
from hashprobe.data.datasets.table import label_columns, read_columns
from hashprobe.errors import HashprobeError
from hashprobe.text import shortened, visible
from hashprobe.types import Labels


ID_NAMES = ("id", "item_id", "path", "file", "filename", "image")
LABEL_NAMES = ("label", "class", "category", "target")
GROUP_NAMES = ("group", "group_id", "source", "source_id", "original")
PATH_NAMES = ("path", "file", "filename", "image")


@checked
@dataclass(frozen=True)
class ItemColumns:
    """Names of the columns of a table of items; those that are None or empty are found.

    Example:
        >>> ItemColumns(label="breed").group is None
        True
    """

    id: str | None = None
    """The column of the ids; by default `id`, `path` or another usual name."""
    label: str | None = None
    """A column with one class an item; by default `label`, `class`, `category` or `target`."""
    labels: tuple[str, ...] = ()
    """Beginnings of the names of columns of 0 and 1; by default all such columns, from two on."""
    group: str | None = None
    """The column of the groups; by default `group`, `source` or `original`, if there is one."""
    path: str | None = None
    """The column of the paths; by default `path`, `file`, `filename` or `image`."""


FOUND = ItemColumns()
"""Columns that are found by themselves."""


@checked
@dataclass(frozen=True, eq=False)
class ItemTable:
    """What is known of N items, in the order in which they were asked for.

    Example:
        >>> ItemTable(("a", "b"), groups=("1", "1")).labels is None
        True
    """

    ids: tuple[str, ...]
    """The N items."""
    labels: Labels | None = None
    """bool (N, C), multi-hot; None if the table has no labels."""
    names: tuple[str, ...] = ()
    """Names of the C labels."""
    groups: tuple[str, ...] | None = None
    """The group of each item, such as the picture that it was cropped from; None without any."""
    paths: tuple[str, ...] | None = None
    """The path of each item; None without any."""


@checked
def read_table(
    path: Path, ids: Sequence[str] | None = None, *, columns: ItemColumns = FOUND
) -> ItemTable:
    """Reads labels, groups and paths of items from a CSV file with names in its first line.

    Args:
        path: the file.
        ids: the items that are wanted, in this order; None for all rows of the file.
        columns: names of the columns.

    Returns:
        What the table says of these items; other rows are left out.

    Raises:
        HashprobeError: the file or a column is missing or malformed, an item has no row or
            several, or a cell that is needed is empty.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "items.csv"
        >>> _ = path.write_text("id,label,group\\n1,cat,x\\n2,dog,x\\n")
        >>> found = read_table(path, ["2"])
        >>> found.labels, found.names, found.groups
        (array([[False,  True]]), ('cat', 'dog'), ('x',))
    """
    table = read_columns(path)
    id_ = column_of(path, table, columns.id, ID_NAMES)
    if id_ is None:
        held = shortened(", ".join(map(shown, table)), 200)
        raise HashprobeError(f"{path} has no column of ids: it has {held}; name one")
    rows = rows_of(path, table[id_], ids)
    group = column_of(path, table, columns.group, GROUP_NAMES)
    paths = column_of(path, table, columns.path, PATH_NAMES)
    label = None if columns.labels else column_of(path, table, columns.label, LABEL_NAMES)
    names: tuple[str, ...] = ()
    labels: Labels | None = None
    if label is not None:
        names, labels = classes_of(path, label, table[label])
    else:
        rest = {name: cells for name, cells in table.items() if name not in (id_, group, paths)}
        if columns.labels or sum(set(cells) <= {"0", "1"} for cells in rest.values()) > 1:
            names = label_columns(path, rest, columns.labels, set())
            labels = np.array([rest[name] for name in names]).T == "1"
    return ItemTable(
        tuple(table[id_][row] for row in rows),
        None if labels is None else labels[rows],
        names,
        cells_of(path, table, group, rows),
        cells_of(path, table, paths, rows),
    )


def column_of(
    csv: Path, table: dict[str, list[str]], asked: str | None, usual: tuple[str, ...]
) -> str | None:
    """The column of a name that was asked for, or of a usual one."""
    if asked is not None:
        if asked not in table:
            held = shortened(", ".join(map(shown, table)), 200)
            raise HashprobeError(f"{csv} has no column {shown(asked)}: it has {held}")
        return asked
    lower = {name.lower(): name for name in reversed(table)}
    return next((lower[name] for name in usual if name in lower), None)


def rows_of(csv: Path, known: list[str], ids: Sequence[str] | None) -> list[int]:
    """The rows of the items that are wanted."""
    twice, times = Counter(known).most_common(1)[0]
    if times > 1:
        raise HashprobeError(f"{csv} has {times} rows for item {shown(twice)}: ids must differ")
    if ids is None:
        return list(range(len(known)))
    row_of = {name: row for row, name in enumerate(known)}
    missing = [name for name in ids if name not in row_of]
    if missing:
        raise HashprobeError(
            f"{csv} has no row for {len(missing):,} of {len(ids):,} items, the first is "
            f"{shown(missing[0])}; its own first is {shown(known[0])}"
        )
    return [row_of[name] for name in ids]


def classes_of(csv: Path, name: str, cells: list[str]) -> tuple[tuple[str, ...], Labels]:
    """Names of the classes of a column and multi-hot labels; whole numbers in their order."""
    for number, cell in enumerate(cells, 1):
        if not cell:
            raise HashprobeError(f"{csv}, row {number}: column {shown(name)} is empty")
    # Whole numbers of more digits are larger; texts come after them.
    known = sorted(
        set(cells), key=lambda cell: (not cell.isdecimal(), len(cell) * cell.isdecimal(), cell)
    )
    place = {cell: column for column, cell in enumerate(known)}
    labels: Labels = np.zeros((len(cells), len(known)), bool)
    labels[np.arange(len(cells)), [place[cell] for cell in cells]] = True
    return tuple(known), labels


def cells_of(
    csv: Path, table: dict[str, list[str]], name: str | None, rows: list[int]
) -> tuple[str, ...] | None:
    """Some cells of a column, none of them empty; None without a column."""
    if name is None:
        return None
    for row in rows:
        if not table[name][row]:
            raise HashprobeError(f"{csv}, row {row + 1}: column {shown(name)} is empty")
    return tuple(table[name][row] for row in rows)


def shown(text: str) -> str:
    """A name or a cell in a sentence."""
    return repr(shortened(visible(text), 60))
