"""Labels as they are given, integers or multi-hot, and who is relevant to whom by them."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


AnyLabels: TypeAlias = Bool[np.ndarray, "_ _"] | Integer[np.ndarray, " _"]
"""Multi-hot (N, C), or one class per item, (N,) from 0."""


def as_labels(values: Any, classes: int | None = None) -> Labels:
    """Reads labels as multi-hot.

    Args:
        values: (N,) integers 0..C-1, one an item; or (N, C) multi-hot in bool or 0/1.
        classes: C; None takes the largest integer + 1, or the width given.

    Returns:
        bool (N, C).

    Raises:
        HashprobeError: another shape or dtype, a negative label, or one that is not below C.

    Example:
        >>> as_labels(np.array([2, 0]))
        array([[False, False,  True],
               [ True, False, False]])
    """
    array = np.asarray(values)
    if array.ndim == 2:
        return multi_hot(array, classes)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        seen = f"{array.dtype} of shape {array.shape}"
        raise HashprobeError(f"labels must be integers (N,) or multi-hot (N, C); got {seen}")
    if array.size and array.min() < 0:
        where = int(np.argmin(array))
        raise HashprobeError(f"labels must not be negative; got {array[where]} at item {where}")
    width = (int(array.max()) + 1 if array.size else 1) if classes is None else classes
    if array.size and array.max() >= width:
        where = int(np.argmax(array))
        raise HashprobeError(f"label {array[where]} of item {where} is not below {width} classes")
    result = np.zeros((len(array), width), dtype=bool)
    result[np.arange(len(array)), array] = True
    return result


def multi_hot(array: Shaped[np.ndarray, "n c"], classes: int | None) -> Labels:
    """Multi-hot labels in bool, from bool or 0/1."""
    if classes is not None and array.shape[1] != classes:
        raise HashprobeError(f"labels must have {classes} classes; got {array.shape[1]}")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf" or not ((array == 0) | (array == 1)).all():
        raise HashprobeError(f"multi-hot labels must be bool or 0/1; got dtype {array.dtype}")
    return array.astype(bool)


def check_labels(labels: np.ndarray, codes: PackedCodes, name: str, side: str) -> None:
    """Refuses labels that are neither classes nor multi-hot rows, or not one a code."""
    classes = labels.ndim == 1 and labels.dtype.kind in "iu"
    rows = labels.ndim == 2 and labels.dtype == np.bool_ and labels.shape[1] > 0
    if not classes and not rows:
        seen = f"{labels.dtype} of shape {labels.shape}"
        raise HashprobeError(
            f"{name} labels must be multi-hot bool (N, C), see as_labels, or classes (N,); "
            f"got {seen}"
        )
    if len(labels) != len(codes):
        raise HashprobeError(f"{len(labels)} {name} labels for {len(codes)} {side} codes")
    if classes and labels.size and labels.min() < 0:
        raise HashprobeError(f"{name} labels must not be negative; got {labels.min()}")


@dataclass(frozen=True, eq=False)
class Relevance:
    """Who is relevant to whom: who shares at least one label.

    One class per item is compared as it is. Of multi-hot labels, packed eight a byte, only those
    bytes are looked at in which a query has a label: one or two for most.

    Example:
        >>> relevance = Relevance.between(np.array([1, 0]), np.array([0, 1, 1]))
        >>> relevance.of(slice(0, 1), slice(0, 3))
        array([[False,  True,  True]])
    """

    queries: np.ndarray
    """(Q,) classes, or (Q, B) packed labels."""
    database: np.ndarray
    """(N,) classes, or (B, N) packed labels, a row a byte."""

    @classmethod
    def between(cls, queries: AnyLabels, database: AnyLabels) -> "Relevance":
        """Prepares labels, both of the same kind or not."""
        if queries.ndim == database.ndim == 1:
            highest = max(queries.max(initial=0), database.max(initial=0))
            kind = np.min_scalar_type(int(highest))
            return cls(queries.astype(kind), database.astype(kind))
        width = max(x.shape[1] for x in (queries, database) if x.ndim == 2)
        packed = [np.packbits(as_labels(x, width), axis=1) for x in (queries, database)]
        return cls(packed[0], np.ascontiguousarray(packed[1].T))

    def of(self, rows: slice, items: slice) -> Bool[np.ndarray, "q n"]:
        """Which items are relevant to which queries."""
        if self.queries.ndim == 1:
            same: np.ndarray = self.queries[rows, None] == self.database[None, items]
            return same
        asked = self.queries[rows]
        shared = np.zeros((len(asked), self.database[0, items].size), np.uint8)
        for row, byte in zip(*np.nonzero(asked), strict=True):
            shared[row] |= self.database[byte, items] & asked[row, byte]
        relevant: np.ndarray = shared != 0
        return relevant
