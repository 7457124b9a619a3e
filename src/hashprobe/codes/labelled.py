"""Codes with their labels: a database, as every function that reads one takes it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hashprobe.checked import checked, shown
from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes, as_codes
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


@checked
@dataclass(frozen=True, eq=False)
class Codes:
    """N codes of K bits, with their labels and their pictures where these are known.

    Raises:
        HashprobeError: labels are not multi-hot bool, or there are more or fewer labels or
            pictures than codes.

    Example:
        >>> Codes(PackedCodes.from_signs(np.ones((2, 12))), np.eye(2, dtype=bool))
        Codes(2 x 12 bits, 2 classes)
    """

    packed: PackedCodes
    """The codes, eight bits a byte."""
    labels: Labels | None = None
    """bool (N, C), multi-hot; None if not known."""
    pictures: Any = None
    """(N, 3, H, W) pixels behind the codes, for reports: an array, a tensor, or pixels that are
    read from files block by block; None if not kept."""

    def __post_init__(self) -> None:
        labels = self.labels
        if labels is not None and (labels.ndim != 2 or labels.dtype != np.bool_):
            seen = f"{labels.dtype} of shape {labels.shape}"
            raise HashprobeError(f"labels must be bool (N, C); got {seen}: use Codes.of")
        if not hasattr(self.pictures, "shape") and self.pictures is not None:
            seen = shown(self.pictures)
            raise HashprobeError(f"pictures must be an array or a tensor, (N, 3, H, W); got {seen}")
        for name, given in (("labels", labels), ("pictures", self.pictures)):
            count = len(self) if given is None else next(iter(given.shape), 0)
            if count != len(self):
                raise HashprobeError(f"{count} {name} for {len(self)} codes")

    @classmethod
    @checked
    def of(
        cls, codes: Any, labels: Any = None, *, bits: int | None = None, pictures: Any = None
    ) -> "Codes":
        """Reads codes and labels in any of the forms of `as_codes` and `as_labels`.

        Args:
            codes: (N, K) of -1/+1, 0/1 or bool, packed uint8 with bits, or PackedCodes.
            labels: (N,) classes or (N, C) multi-hot; None if not known.
            bits: K of packed codes; None for one entry a bit.
            pictures: (N, 3, H, W) pixels; None if not kept.

        Raises:
            HashprobeError: codes or labels are in none of the forms, or the numbers differ.

        Example:
            >>> Codes.of([[1, 0, 1], [1, 1, 1]], [0, 2])
            Codes(2 x 3 bits, 3 classes)
        """
        known = None if labels is None else as_labels(labels)
        return cls(as_codes(codes, bits), known, pictures)

    @property
    def bits(self) -> int:
        """K, the length of a code."""
        return self.packed.bits

    def __len__(self) -> int:
        return len(self.packed)

    def __repr__(self) -> str:
        classes = "no labels" if self.labels is None else f"{self.labels.shape[1]} classes"
        return f"Codes({len(self)} x {self.bits} bits, {classes})"


def labels_of(database: Any) -> Labels:
    """The labels of a database; refuses what is no database, and one without labels.

    Args:
        database: `Codes` with labels.

    Raises:
        HashprobeError: something else, or codes without labels.

    Example:
        >>> labels_of(Codes.of([[1, 0, 1]], [0]))
        array([[ True]])
    """
    if not isinstance(database, Codes):
        seen = type(database).__name__
        raise HashprobeError(f"the database must be Codes, from encode or Codes.of; got {seen}")
    if database.labels is None:
        raise HashprobeError("the database has no labels: give them to encode(..., labels=...)")
    return database.labels
