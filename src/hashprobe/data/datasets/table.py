"""Any table of pictures: a CSV file with a path, label columns and an optional group column."""

from csv import Error, reader
from pathlib import Path

import numpy as np

from hashprobe.data.datasets.folder import check_count, count_of
from hashprobe.data.datasets.listfiles import read_lines, refuse_outside
from hashprobe.data.findings import Finding
from hashprobe.data.retrieval import RetrievalData
from hashprobe.data.sources import FileSource, Split
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels, generator_of


PATH = "path"
BLANKS = frozenset(["", "-", "?", "na", "n/a", "nan", "nil", "none", "null", "<na>"])
"""How tables write a cell without a value, in small letters."""
USUAL = frozenset(["0", "1", "0.0", "1.0", "true", "false", "yes", "no"])
"""How tables write the two values of a label, in small letters."""
SPELLINGS = USUAL | {"t", "f", "y", "n", "+1", "-1"}
"""The same with spellings that also occur in columns of other kinds."""


def load_table(
    csv: Path,
    root: Path,
    *,
    labels: tuple[str, ...] = (),
    group: str | None = None,
    queries: float = 0.1,
    training: float = 0.3,
    seed: int = 0,
    outside_root: bool = False,
) -> RetrievalData:
    """Pictures that a CSV file lists, multi-label, split at random by item or by group.

    The database holds all items but the queries, so the training items are in it. The order is
    random. Items without any of the labels are left out, and a finding says how many.

    Args:
        csv: a table with names in its first line, a column `path`, and label columns of 0 and 1.
        root: the folder that the paths start from.
        labels: beginnings of the names of the label columns; by default every column that holds
            only 0 and 1. A column that is nearly one, for a blank cell or true and false, is an
            error: name the label columns if it is none.
        group: a column; items with equal values are all queries or none of them is (the
            frames of one video, the photographs of one product).
        queries: groups that become queries: a whole number, or a share below 1 of all groups;
            without `group`, each item is its own.
        training: the same for training items, drawn from the other groups.
        seed: seed of the split and of the order.
        outside_root: whether paths may lead out of the root.

    Raises:
        HashprobeError: a column is missing, malformed or nearly a label column, fewer than two
            label columns, too few groups, a path that leaves the root, or a count that is neither
            whole nor a share.

    Example:
        >>> load_table(Path("no/labels.csv"), Path("."))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no/labels.csv does not exist
    """
    for option, count in (("queries", queries), ("training", training)):
        check_count(option, count)
    if not root.is_dir():
        raise HashprobeError(f"no such folder: {root}")
    columns = read_columns(csv)
    for needed in (PATH, *([] if group is None else [group])):
        if needed not in columns:
            raise HashprobeError(f"{csv} has no column {needed!r}: it has {', '.join(columns)}")
        if "" in columns[needed]:
            row = columns[needed].index("") + 1
            raise HashprobeError(f"{csv}, row {row}: column {needed!r} is empty")
    if not outside_root:
        refuse_outside(csv, root, columns[PATH], "row")
    names = label_columns(csv, columns, labels, {PATH, group})
    table: Labels = np.array([columns[name] for name in names]).T == "1"
    kept = np.flatnonzero(table.any(1))
    paths = tuple(columns[PATH])
    whole = Split(paths, FileSource(root, paths), table).take(kept)
    group_of = np.arange(len(kept))
    if group is not None:
        _, group_of = np.unique(np.array(columns[group])[kept], return_inverse=True)
    rng = generator_of(seed)
    asking, learning = draw_groups(csv, group_of, queries, training, rng)
    return RetrievalData(
        f"table:{csv.stem}",
        whole.take(rng.permutation(np.flatnonzero(asking))),
        whole.take(rng.permutation(np.flatnonzero(learning))),
        whole.take(rng.permutation(np.flatnonzero(~asking))),
        names,
        notes=left_out(paths, table),
    )


def read_columns(csv: Path) -> dict[str, list[str]]:
    """The columns of a table by name, as text."""
    try:
        head, *rows = reader(read_lines(csv), strict=True)
    except Error as error:
        raise HashprobeError(f"{csv} is no CSV file: {error}") from error
    head = [name.strip() for name in head]
    if len(set(head)) < len(head):
        twice = next(name for name in head if head.count(name) > 1)
        raise HashprobeError(f"{csv} has two columns {twice!r}")
    if not rows:
        raise HashprobeError(f"{csv} has no rows below the names of its columns")
    for number, row in enumerate(rows, 1):
        if len(row) != len(head):
            raise HashprobeError(
                f"{csv}, row {number}: {len(row)} values for {len(head)} column names"
            )
    return {name: [row[i].strip() for row in rows] for i, name in enumerate(head)}


def label_columns(
    csv: Path, columns: dict[str, list[str]], prefixes: tuple[str, ...], others: set[str | None]
) -> tuple[str, ...]:
    """Names of the label columns, in the order of the table."""
    if prefixes:
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in columns):
                raise HashprobeError(
                    f"{csv} has no column whose name begins with {prefix!r}: it has "
                    f"{', '.join(columns)}"
                )
        names = tuple(name for name in columns if name.startswith(prefixes) and name not in others)
        for name in names:
            for number, value in enumerate(columns[name], 1):
                if value not in ("0", "1"):
                    raise HashprobeError(
                        f"{csv}, row {number}: label column {name!r} must hold 0 or 1; got "
                        f"{value!r}"
                    )
    else:
        rest = {name: values for name, values in columns.items() if name not in others}
        for name, values in rest.items():
            check_nearly_boolean(csv, name, values)
        names = tuple(name for name, values in rest.items() if set(values) <= {"0", "1"})
    if len(names) < 2:
        raise HashprobeError(
            f"{csv} needs two or more label columns; got {', '.join(names) or 'none'}"
        )
    return names


def check_nearly_boolean(csv: Path, name: str, values: list[str]) -> None:
    """Refuses a column that would be a label but for some cells: left out, its labels are lost.

    Such a column holds two values in another spelling (true, y, 1.0), or 0 and 1 but for blank
    cells, one odd cell, or odd cells that are at most a quarter of those with a value.
    """
    strange = next((row for row, value in enumerate(values) if value not in ("0", "1")), None)
    if strange is None:
        return
    filled = [word for word in map(str.lower, values) if word not in BLANKS]
    spelt = sum(word in SPELLINGS for word in filled)
    usual = sum(word in USUAL for word in filled)
    odd = len(filled) - usual
    if not filled or (spelt < len(filled) and (usual <= odd or odd > max(1, len(filled) // 4))):
        return
    raise HashprobeError(
        f"{csv}, row {strange + 1}: column {name!r} holds {values[strange]!r} where a label column "
        "holds 0 or 1: mend it, or name the label columns (--labels)"
    )


def draw_groups(
    csv: Path, group_of: np.ndarray, queries: float, training: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which items are queries and which train, whole groups at a time."""
    groups = int(group_of.max(initial=-1)) + 1
    asking, learning = count_of(queries, groups), count_of(training, groups)
    if asking + learning > groups:
        raise HashprobeError(
            f"{csv} has {groups} labelled items or groups of them, too few to draw "
            f"{asking + learning}"
        )
    order = rng.permutation(groups)
    learners = order[asking : asking + learning]
    return np.isin(group_of, order[:asking]), np.isin(group_of, learners)


def left_out(paths: tuple[str, ...], table: Labels) -> tuple[Finding, ...]:
    """The finding about items without a label."""
    without = np.flatnonzero(~table.any(1))
    text = f"{len(without):,} of {len(paths):,} items carry none of the labels and were left out"
    finding = Finding("left out", len(without), text, tuple(paths[i] for i in without[:3]))
    return (finding,) if len(without) else ()
