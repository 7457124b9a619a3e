"""What an attack is to reach: target codes, or anything but the query's own results."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int8, Int64

from hashprobe.attacks.search import Search
from hashprobe.checked import checked
from hashprobe.codes.packed import as_numpy
from hashprobe.data.queries import Queries, picked
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Targets
from hashprobe.types import Labels


@checked
@dataclass(frozen=True, eq=False)
class Goal:
    """Where each of Q queries is to be steered; make one by `targeted`, `untargeted` or `targets`.

    Raises:
        HashprobeError: parts of different lengths, or code entries other than -1, 0 and +1.

    Example:
        >>> goal = Goal.targeted(np.ones((1, 8)), labels=np.array([[True, False]]))
        >>> len(goal), goal.is_targeted, Goal.untargeted().is_targeted
        (1, True, False)
    """

    codes: Int8[np.ndarray, "q k"] | None = None
    """Target codes: -1 and +1, or 0 for a bit that is left alone; None for an untargeted goal."""
    labels: Labels | None = None
    """(Q, C) target labels, multi-hot; None where they are not known."""
    members: Int64[np.ndarray, "q n_t"] | None = None
    """Database positions of the items whose codes voted, in the order in which they were drawn."""
    images: Queries | None = None
    """One database item with the target label for each query, for attacks that steer to images."""
    search: Search | None = None
    """The service that a query-only adversary asks, and what each query is to reach there."""
    own_labels: Labels | None = None
    """(Q, C) labels of the queries themselves, multi-hot; None where they are not known."""

    def __post_init__(self) -> None:
        parts = {
            "target labels": self.labels,
            "codes": self.codes,
            "members": self.members,
            "target images": self.images,
            "own labels": self.own_labels,
            "goals of a search": self.search,
        }
        lengths = {name: len(part) for name, part in parts.items() if part is not None}
        if len(set(lengths.values())) > 1:
            seen = ", ".join(f"{length} {name}" for name, length in lengths.items())
            raise HashprobeError(f"a goal has one of each for a query; got {seen}")
        if self.codes is not None and (np.abs(self.codes) > 1).any():
            raise HashprobeError("target codes must consist of -1, +1 and, for ties, 0")

    @classmethod
    @checked
    def targeted(cls, codes: Any, labels: Labels | None = None, **parts: Any) -> "Goal":
        """Target codes, one a query.

        Args:
            codes: (Q, K) with entries -1 and +1, or 0 for a bit that is left alone: an array, a
                tensor, a list, or `PackedCodes`.
            labels: (Q, C) target labels, multi-hot, for measures by label.
            parts: `members`, `images`, `search` or `own_labels`, see the class.

        Raises:
            HashprobeError: entries of another kind, or parts of different lengths.

        Example:
            >>> Goal.targeted([[1, -1, 0]]).codes
            array([[ 1, -1,  0]], dtype=int8)
        """
        array = as_numpy(codes.signs() if hasattr(codes, "signs") else codes, "target codes")
        if array.ndim != 2:
            raise HashprobeError(f"target codes must have shape (Q, K); got {array.shape}")
        odd = array[~np.isin(array, (-1, 0, 1))]
        if odd.size:
            raise HashprobeError(
                f"target codes must consist of -1 and +1 (or 0 for a tie); got {odd[0]:.3g}"
            )
        return cls(codes=array.astype(np.int8), labels=labels, **parts)

    @classmethod
    def untargeted(cls) -> "Goal":
        """Away from a query's own results, wherever that leads.

        Example:
            >>> Goal.untargeted().codes is None
            True
        """
        return cls()

    @property
    def is_targeted(self) -> bool:
        """Whether there are target codes."""
        return self.codes is not None

    def __len__(self) -> int:
        parts = (self.codes, self.labels, self.own_labels, self.images, self.search)
        return next((len(part) for part in parts if part is not None), 0)

    def take(self, rows: Any) -> "Goal":
        """The goal of some of the queries: rows are a list or an index array."""
        if len(self):  # an untargeted goal goes with any number of queries
            picked(rows, len(self))
        names = ("codes", "labels", "members", "own_labels")
        parts = {name: getattr(self, name) for name in names}
        some = {name: None if part is None else part[rows] for name, part in parts.items()}
        images = None if self.images is None else self.images.take(rows)
        search = None if self.search is None else self.search.take(rows)
        return replace(self, **some, images=images, search=search)

    @checked
    def codes_for(self, pixels: Images, bits: int) -> Targets:
        """The target codes as a tensor beside the pixels that they belong to.

        Args:
            pixels: (Q, 3, H, W) whose dtype and device the codes get.
            bits: code length K of the victim.

        Returns:
            (Q, K) with entries -1, 0 and +1.

        Raises:
            HashprobeError: an untargeted goal, another number of codes, or another K.
        """
        import torch

        if self.codes is None:
            raise HashprobeError("this attack needs target codes: give it a targeted goal")
        n, k = self.codes.shape
        if k != bits:
            raise HashprobeError(f"target codes have {k} bits but the victim gives {bits}")
        if n != len(pixels):
            raise HashprobeError(f"{n} target codes for {len(pixels)} images: give one per image")
        return torch.from_numpy(self.codes).to(pixels)
