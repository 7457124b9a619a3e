"""A data set as the field splits it: queries, training items and a database."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from hashprobe.data.file_digests import FileDigests
from hashprobe.data.findings import Finding, check, unseen_labels, wrong_sizes
from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.text import name_bytes
from hashprobe.types import Labels


@dataclass(frozen=True)
class RetrievalData:
    """Queries, training items and a database over the same labels, all images or all clips.

    Args:
        name: the protocol's name (`digits`, `cifar10-2`, ...).
        query, train, database: the three splits.
        label_names: C names.
        unseen: those of them that only database items carry (open set).
        sizes: the protocol's number of items of some splits, by role.
        notes: findings of the loader.

    Raises:
        HashprobeError: an empty split or one without labels, images beside clips, label widths that
            differ, two labels of one name, an unseen label that has no name or that a query or
            training item carries.

    Example:
        >>> from hashprobe.data.datasets.digits import load_digits
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
    """Findings of the loader; they come before those of the checks."""
    findings: tuple[Finding, ...] = field(init=False)
    """Findings of the loader and of the checks on loading."""
    checksum: str = field(init=False)
    """SHA-256 over ids, labels and content digests of all three splits."""

    def __post_init__(self) -> None:
        twice = [name for name in self.label_names if self.label_names.count(name) > 1]
        if twice:
            raise HashprobeError(
                f"{self.name}: two labels have the name {twice[0]!r}: give each its own"
            )
        digests, known = {}, FileDigests()
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
            if not split.labels.any():
                raise HashprobeError(
                    f"{self.name}: no item of the {role} split carries a label: nothing can be "
                    "measured with it"
                )
            digests[role] = split.digests(known)
        known.keep()
        seen = [
            *self.notes,
            *wrong_sizes(self.splits(), self.sizes or {}),
            *check(self.splits(), digests),
            *unseen_labels(self.name, self.splits(), self.label_names, self.unseen),
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


def checksum(splits: dict[str, Split], digests: dict[str, list[bytes]]) -> str:
    """One SHA-256 for ids, labels and content of all splits."""
    total = hashlib.sha256()
    for role, split in splits.items():
        total.update(f"{role} {len(split)} {split.labels.shape[1]}\n".encode())
        total.update(name_bytes("\n".join(split.ids)))
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
