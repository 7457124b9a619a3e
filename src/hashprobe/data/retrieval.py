"""A data set as the field splits it, with the checks that have bitten released code."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


@dataclass(frozen=True)
class Finding:
    """One thing that a check on loading saw.

    Example:
        >>> print(Finding("overlap", 3, "3 of 200 queries stand in the database", ("a.jpg",)))
        3 of 200 queries stand in the database, for example a.jpg
    """

    kind: str
    """`overlap`, `duplicates`, `unlabelled`, `order`, `sizes`, `left out`, `unseen` or `split`."""
    count: int
    """Items concerned."""
    text: str
    """What was seen, in words."""
    examples: tuple[str, ...] = ()
    """Ids of the first few."""
    harmless: bool = False
    """Part of the protocol, not a mistake (training items in the database)."""

    def __str__(self) -> str:
        return self.text + (f", for example {self.examples[0]}" if self.examples else "")


@dataclass(frozen=True)
class RetrievalData:
    """Queries, training items and a database over the same labels, all images or all clips.

    Args:
        name: the protocol's name (`digits`, `cifar10-2`, ...).
        query, train, database: the three splits.
        label_names: C names.
        unseen: those of them that only database items carry (open set).
        sizes: how many items the protocol has in the splits of some roles.
        notes: what the loader itself saw.

    Raises:
        HashprobeError: an empty split, images beside clips, label widths that differ, an unseen
            label that has no name or that a query or training item carries.

    Example:
        >>> from hashprobe.data.datasets.bundled import load_digits
        >>> data = load_digits()
        >>> len(data.query), len(data.train), len(data.database), data.label_names[3]
        (200, 250, 1347, '3')
    """

    name: str
    query: Split
    train: Split
    database: Split
    label_names: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    """Labels that the network never sees."""
    sizes: Mapping[str, int] | None = None
    """Role (query, training, database) to the protocol's number of items."""
    notes: tuple[Finding, ...] = ()
    """Findings of the loader; they stand before those of the checks."""
    findings: tuple[Finding, ...] = field(init=False)
    """What the loader and the checks on loading saw."""
    checksum: str = field(init=False)
    """SHA-256 over ids, labels and content digests of all three splits."""

    def __post_init__(self) -> None:
        digests = {}
        for role, split in self.splits().items():
            if not len(split):
                raise HashprobeError(f"{self.name}: the {role} split is empty")
            if split.video != self.video:
                raise HashprobeError(
                    f"{self.name}: the {role} split and the queries must both be "
                    "images or both be clips"
                )
            if split.labels.shape[1] != len(self.label_names):
                raise HashprobeError(
                    f"{self.name}: {role} labels are {split.labels.shape[1]} wide, "
                    f"but there are {len(self.label_names)} label names"
                )
            digests[role] = split.digests()
        seen = [
            *self.notes,
            *wrong_sizes(self.splits(), self.sizes or {}),
            *check(self.splits(), digests),
            *unseen_labels(self),
        ]
        object.__setattr__(self, "findings", tuple(seen))
        object.__setattr__(self, "checksum", checksum(self.splits(), digests))

    @property
    def video(self) -> bool:
        """Whether the items are clips."""
        return self.query.video

    def splits(self) -> dict[str, Split]:
        """The three splits by role: query, training, database."""
        return {"query": self.query, "training": self.train, "database": self.database}

    def names_of(self, label: np.ndarray) -> str:
        """A label vector in words, the names joined by commas."""
        return ", ".join(self.label_names[i] for i in np.flatnonzero(label)) or "no label"


def check(splits: dict[str, Split], digests: dict[str, list[bytes]]) -> list[Finding]:
    """Overlaps, duplicates, missing labels and class order: each has bitten released code.

    Args:
        splits: query, training and database.
        digests: content digests of each.
    """
    findings = [
        overlap("query", "database", splits, digests),
        overlap("query", "training", splits, digests),
        overlap("training", "database", splits, digests, harmless=True),
    ]
    for role, split in splits.items():
        findings.append(duplicates(role, split, digests[role]))
        without = np.flatnonzero(~split.labels.any(1))
        text = f"{len(without)} {role} items carry no label"
        examples = tuple(split.ids[i] for i in without[:3])
        findings.append(Finding("unlabelled", len(without), text, examples))
    findings.append(class_order(splits["database"].labels))
    return [f for f in findings if f.count]


def wrong_sizes(splits: dict[str, Split], sizes: Mapping[str, int]) -> list[Finding]:
    """Splits that have another number of items than the protocol."""
    findings = []
    for role, wanted in sizes.items():
        there = len(splits[role])
        text = f"the {role} split has {there:,} items where the protocol has {wanted:,}"
        findings.append(Finding("sizes", abs(there - wanted), text))
    return [f for f in findings if f.count]


def unseen_labels(data: RetrievalData) -> list[Finding]:
    """What the open set is, after a check that it is one."""
    strange = set(data.unseen) - set(data.label_names)
    if strange:
        raise HashprobeError(f"{data.name}: unseen {min(strange)!r} is none of the label names")
    columns = [data.label_names.index(name) for name in data.unseen]
    for role, split in (("query", data.query), ("training", data.train)):
        carriers = np.flatnonzero(split.labels[:, columns].any(1))
        if len(carriers):
            raise HashprobeError(
                f"{data.name}: {role} item {split.ids[carriers[0]]} carries a label that is unseen"
            )
    where = np.flatnonzero(data.database.labels[:, columns].any(1))
    names = ", ".join(data.unseen[:3]) + (", ..." if len(data.unseen) > 3 else "")
    text = (
        f"{len(data.unseen)} labels are unseen ({names}): {len(where)} database items carry them, "
        "no query or training item does"
    )
    examples = tuple(data.database.ids[i] for i in where[:3])
    return [Finding("unseen", len(where), text, examples, harmless=True)] if columns else []


def overlap(
    role: str,
    other: str,
    splits: dict[str, Split],
    digests: dict[str, list[bytes]],
    harmless: bool = False,
) -> Finding:
    """Items of one split whose content stands in another."""
    known = set(digests[other])
    same = [i for i, digest in enumerate(digests[role]) if digest in known]
    text = f"{len(same)} of {len(splits[role])} {role} items stand in the {other} split too"
    examples = tuple(splits[role].ids[i] for i in same[:3])
    return Finding("overlap", len(same), text, examples, harmless)


def duplicates(role: str, split: Split, digests: list[bytes]) -> Finding:
    """Items whose content stands earlier in the same split."""
    times = Counter(digests)
    again = [i for i, digest in enumerate(digests) if times[digest] > 1]
    extra = len(digests) - len(times)
    text = f"{extra} {role} items repeat the content of another"
    return Finding("duplicates", extra, text, tuple(split.ids[i] for i in again[:3]))


def class_order(labels: Labels) -> Finding:
    """Whether neighbours in the database mostly carry the same label: ties then follow class."""
    if len(labels) < 3:
        return Finding("order", 0, "")
    _, kind = np.unique(labels, axis=0, return_inverse=True)
    pairs, times = len(labels) - 1, np.bincount(kind)
    alike = int((kind[1:] == kind[:-1]).sum())
    sorted_by_class = len(labels) - len(times)
    chance = float((times * (times - 1)).sum()) / (len(labels) * pairs)
    shuffled = pairs * chance + 3 * (pairs * chance * (1 - chance)) ** 0.5
    ordered = alike > 0.9 * sorted_by_class and alike > shuffled
    text = (
        f"the database is ordered by class ({alike / pairs:.0%} of neighbours share their label): "
        "ties at equal distance follow it, so prefer ties=expected or shuffle it"
    )
    return Finding("order", len(labels) if ordered else 0, text)


def checksum(splits: dict[str, Split], digests: dict[str, list[bytes]]) -> str:
    """One SHA-256 for ids, labels and content of all splits."""
    total = hashlib.sha256()
    for role, split in splits.items():
        total.update(f"{role} {len(split)} {split.labels.shape[1]}\n".encode())
        total.update("\n".join(split.ids).encode())
        total.update(np.packbits(split.labels).tobytes())
        total.update(b"".join(digests[role]))
    return total.hexdigest()


def one_hot(classes: Int64[np.ndarray, " n"], count: int) -> Labels:
    """Multi-hot labels of items with one class each.

    Args:
        classes: (N,) integers from 0 to C - 1.
        count: C.

    Example:
        >>> one_hot(np.array([1]), 2)
        array([[False,  True]])
    """
    labels: Labels = np.arange(count) == classes[:, None]
    return labels
