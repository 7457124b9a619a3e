"""Who is relevant to whom: items that share at least one label."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from hashprobe.codes.labels import AnyLabels, as_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


def check_labels(labels: np.ndarray, codes: PackedCodes, name: str, side: str) -> None:
    """Refuses labels that are neither classes nor multi-hot, or not one for each code."""
    classes = labels.ndim == 1 and labels.dtype.kind in "iu"
    rows = labels.ndim == 2 and labels.dtype == np.bool_ and labels.shape[1] > 0
    if not classes and not rows:
        seen = f"{labels.dtype} of shape {labels.shape}"
        raise HashprobeError(
            f"{name} labels must be multi-hot bool (N, C) or integer classes (N,); got {seen}: "
            "read them with as_labels"
        )
    if len(labels) != len(codes):
        raise HashprobeError(f"{len(labels)} {name} labels for {len(codes)} {side} codes")
    if classes and labels.size and labels.min() < 0:
        raise HashprobeError(f"{name} labels must not be negative; got {labels.min()}")


def check_labelled(labels: Labels, name: str) -> None:
    """Refuses queries without a label: nothing is relevant to them, whatever they retrieve.

    Args:
        labels: bool (Q, C).
        name: what an error calls them.

    Raises:
        HashprobeError: a row of zeros.

    Example:
        >>> check_labelled(np.array([[True], [False]]), "query_labels")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: query_labels: query 1 has no label (1 of 2 have none): \
its row holds only zeros; leave it out
    """
    without = np.flatnonzero(~labels.any(axis=1))
    if len(without):
        raise HashprobeError(
            f"{name}: query {without[0]} has no label ({len(without)} of {len(labels)} have none): "
            "its row holds only zeros; leave it out"
        )


@dataclass(frozen=True, eq=False)
class Relevance:
    """Which items of a database are relevant to which queries.

    Classes are compared as numbers. Multi-hot labels are packed eight a byte, and only the bytes
    in which a query has a label are compared, which for most queries are one or two.

    Example:
        >>> relevance = Relevance.between(np.array([1, 0]), np.array([0, 1, 1]))
        >>> relevance.of(slice(0, 1), slice(0, 3))
        array([[False,  True,  True]])
    """

    queries: np.ndarray
    """(Q,) classes, or (Q, B) bytes of packed labels."""
    database: np.ndarray
    """(N,) classes, or (B, N) bytes of packed labels."""

    @classmethod
    def between(cls, queries: AnyLabels, database: AnyLabels) -> "Relevance":
        """Prepares labels; one side may be classes and the other multi-hot."""
        if queries.ndim == database.ndim == 1:
            highest = max(queries.max(initial=0), database.max(initial=0))
            kind = np.min_scalar_type(int(highest))
            return cls(queries.astype(kind), database.astype(kind))
        width = max(x.shape[1] for x in (queries, database) if x.ndim == 2)
        packed = [np.packbits(as_labels(x, width), axis=1) for x in (queries, database)]
        return cls(packed[0], np.ascontiguousarray(packed[1].T))

    def of(self, rows: slice, items: slice) -> Bool[np.ndarray, "q n"]:
        """Which of some items are relevant to which of some queries."""
        if self.queries.ndim == 1:
            same: np.ndarray = self.queries[rows, None] == self.database[None, items]
            return same
        asked = self.queries[rows]
        shared = np.zeros((len(asked), self.database[0, items].size), np.uint8)
        for row, byte in zip(*np.nonzero(asked), strict=True):
            shared[row] |= self.database[byte, items] & asked[row, byte]
        relevant: np.ndarray = shared != 0
        return relevant

    def of_pairs(
        self, rows: Int64[np.ndarray, " p"], items: Int64[np.ndarray, " p"]
    ) -> Bool[np.ndarray, " p"]:
        """Which of some pairs of a query and an item are relevant."""
        if self.queries.ndim == 1:
            same: np.ndarray = self.queries[rows] == self.database[items]
            return same
        shared: np.ndarray = (self.queries[rows] & self.database[:, items].T).any(axis=1)
        return shared
