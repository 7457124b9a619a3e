"""Codes with their labels: what a database is to everything that reads one."""

from dataclasses import dataclass
from typing import Any

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


@dataclass(frozen=True, eq=False)
class Codes:
    """N codes of K bits, with labels and, where they are known, the pictures behind them.

    Raises:
        HashprobeError: another number of labels than of codes.

    Example:
        >>> import numpy as np
        >>> Codes(PackedCodes.from_signs(np.ones((2, 12))), np.eye(2, dtype=bool))
        Codes(2 x 12 bits, 2 labels)
    """

    packed: PackedCodes
    """The codes, eight bits a byte."""
    labels: Labels | None = None
    """(N, C) multi-hot; None where they are not known."""
    pictures: Any = None
    """(N, 3, H, W) pixels behind the codes, for reports; None where they are not kept."""

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.packed):
            raise HashprobeError(f"{len(self.labels)} labels for {len(self.packed)} codes")

    @property
    def bits(self) -> int:
        """K, the length of a code."""
        return self.packed.bits

    def __len__(self) -> int:
        return len(self.packed)

    def __repr__(self) -> str:
        classes = "no labels" if self.labels is None else f"{self.labels.shape[1]} labels"
        return f"Codes({len(self)} x {self.bits} bits, {classes})"
