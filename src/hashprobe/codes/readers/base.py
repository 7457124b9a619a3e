"""What every reader gives: codes with the ids of their items, and what else a store knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


@checked
@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table of hashes; those that are None are found.

    Example:
        >>> Columns(code="pdq").id is None
        True
    """

    code: str | None = None
    """The column of the hashes; by default one of a usual name, or the only hex one."""
    id: str | None = None
    """The column of the ids; by default one with a usual name, else the paths, else the place."""
    path: str | None = None
    """The column of the paths; by default one with a usual name, if there is one."""


@checked
@dataclass(frozen=True, eq=False)
class StoredCodes:
    """N codes with the ids of their items, in the order of the store.

    Raises:
        HashprobeError: ids, paths or floats are not one a code.

    Example:
        >>> StoredCodes(PackedCodes.from_signs(np.ones((2, 8))), ("a.jpg", "b.jpg"))
        StoredCodes(2 x 8 bits)
    """

    codes: PackedCodes
    """N codes of K bits."""
    ids: tuple[str, ...]
    """N ids as the store has them; places from 0 where it has none. They may repeat."""
    floats: Float32[np.ndarray, "n f"] | None = None
    """(N, F) float vectors behind the codes; None where the store has none."""
    paths: tuple[str, ...] | None = None
    """N paths of the pictures; None where the store has none."""

    def __post_init__(self) -> None:
        parts = {"ids": self.ids, "float vectors": self.floats, "paths": self.paths}
        for name, part in parts.items():
            if part is not None and len(part) != len(self.codes):
                raise HashprobeError(f"{len(part)} {name} for {len(self.codes)} codes")

    @property
    def bits(self) -> int:
        """K, the length of a code."""
        return self.codes.bits

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"StoredCodes({len(self)} x {self.bits} bits)"


def places(count: int) -> tuple[str, ...]:
    """Ids of items that have none: their places from 0."""
    return tuple(map(str, range(count)))


def check_asked_bits(found: int, bits: int | None) -> None:
    """Refuses codes of another length than was asked for."""
    if bits not in (None, found):
        raise HashprobeError(f"these codes have {found} bits; asked for were {bits}")
