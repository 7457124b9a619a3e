"""Database items that a measure leaves out: those whose codes voted, and those of the training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from hashprobe.checked import checked
from hashprobe.codes.labels import AnyLabels
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


@checked
@dataclass(frozen=True, eq=False)
class Exclusion:
    """Which database items are left out of the search.

    The codes that vote for a target code stand in the database as hits for the target label, and a
    network has seen its training items: both make a search look better than it is for other items.

    Raises:
        HashprobeError: neither kind of item is given.

    Example:
        >>> Exclusion(voters=np.array([[0, 3]])).name
        'voters'
    """

    voters: Int64[np.ndarray, "q m"] | None = None
    """(Q, M) positions in the database that are left out for one query each; -1 for none."""
    training: Bool[np.ndarray, " n"] | None = None
    """(N,) which items are left out for all queries."""

    def __post_init__(self) -> None:
        if self.voters is None and self.training is None:
            raise HashprobeError("nothing is excluded: give voters, training items, or None")

    @property
    def name(self) -> str:
        """What is left out, for the signature."""
        kinds = {"voters": self.voters, "training": self.training}
        return "+".join(kind for kind, items in kinds.items() if items is not None)

    def applied(
        self, queries: int, codes: PackedCodes, labels: AnyLabels
    ) -> tuple[PackedCodes, AnyLabels, Int64[np.ndarray, "q m"] | None]:
        """The database without training items, and the voters at their places in it.

        Raises:
            HashprobeError: voters or training items that do not fit, or no item is left.
        """
        size, voters = len(codes), self.voters
        if voters is not None:
            if voters.ndim != 2 or len(voters) != queries:
                raise HashprobeError(
                    f"voters must be one row of positions a query, ({queries}, M); got shape "
                    f"{voters.shape}"
                )
            if voters.size and not (voters.min() >= -1 and voters.max() < size):
                odd = voters.max() if voters.max() >= size else voters.min()
                raise HashprobeError(
                    f"voters must be positions below the database's {size}, or -1; got {odd}"
                )
        if self.training is None:
            return codes, labels, voters
        if self.training.shape != (size,) or self.training.dtype != np.bool_:
            seen = f"{self.training.dtype} of shape {self.training.shape}"
            raise HashprobeError(f"training items must be one bool an item, ({size},); got {seen}")
        kept = ~self.training
        if not kept.any():
            raise HashprobeError(
                "all database items are training items: without them there is nothing to search"
            )
        if voters is not None:
            places = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
            voters = places[voters]
        return codes[np.flatnonzero(kept)], labels[kept], voters
