"""What an attack is to reach: target codes, or anything but the query's own results."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int8, Int64

from hashprobe.attacks.search import Search
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes, as_numpy
from hashprobe.data.queries import Queries, picked
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, TargetSets
from hashprobe.types import Labels, check_whole


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
    own_codes: PackedCodes | None = None
    """Codes of the clean queries themselves, as the victim is judged, where they are known: they
    are not computed again."""
    enough: int | None = None
    """How many bits of a target code are enough, where a search matches within a radius; None: all.
    The default attack chooses them; other attacks steer all bits."""
    start: Queries | None = None
    """Pictures from which an attack by queries begins, such as those that were crafted on another
    victim; clipped to the budget."""
    all_of: Int8[np.ndarray, "q s k"] | None = None
    """Several target codes a query, of each of which so many bits are wanted; None: `codes`."""
    known: Codes | None = None
    """What the adversary knows of the database, codes with labels; None: nothing."""
    generator: Any = None
    """A network that was trained for the victim, from `train_generator`; or None."""

    def __post_init__(self) -> None:
        parts = {
            "target labels": self.labels,
            "codes": self.codes,
            "members": self.members,
            "target images": self.images,
            "pictures to begin with": self.start,
            "own labels": self.own_labels,
            "own codes": self.own_codes,
            "sets of target codes": self.all_of,
            "goals of a search": self.search,
        }
        lengths = {name: len(part) for name, part in parts.items() if part is not None}
        if len(set(lengths.values())) > 1:
            seen = ", ".join(f"{length} {name}" for name, length in lengths.items())
            raise HashprobeError(f"a goal has one of each for a query; got {seen}")
        if self.codes is not None and (np.abs(self.codes) > 1).any():
            raise HashprobeError("target codes must consist of -1, +1 and, for ties, 0")
        if self.enough is not None:
            check_whole("enough", self.enough, 0, 0 if self.codes is None else self.codes.shape[1])

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
    @checked
    def collide(cls, codes: Any, radius: int, **parts: Any) -> "Goal":
        """To within a radius of a stored code: K - radius bits of it are enough.

        Args:
            codes: (Q, K) stored codes, one a query, as for `targeted`.
            radius: largest Hamming distance that matches, 0 to K.
            parts: `labels`, `members` or `own_labels`, see the class.

        Raises:
            HashprobeError: entries of another kind, or a radius out of range.

        Example:
            >>> Goal.collide([[1, -1, 1]], radius=1).enough
            2
        """
        goal = cls.targeted(codes, **parts)
        assert goal.codes is not None
        bits = goal.codes.shape[1]
        return replace(goal, enough=bits - check_whole("radius", radius, 0, bits))

    @classmethod
    @checked
    def evade(cls, stored: Any, radius: int, **parts: Any) -> "Goal":
        """Beyond a radius of every stored code that matches: radius + 1 bits of each must differ.

        Args:
            stored: for each of Q queries its (S, K) stored codes, entries -1 and +1, nearest first;
                S may differ from query to query and is at least 1.
            radius: largest Hamming distance that matches, 0 to K - 1.
            parts: `labels`, `members` or `own_labels`, see the class.

        Raises:
            HashprobeError: a query without stored codes, or a radius out of range.

        Example:
            >>> goal = Goal.evade([[[1, 1, 1]], [[1, 1, 1], [1, 1, -1]]], radius=1)
            >>> goal.codes.tolist(), goal.all_of.shape, goal.enough
            ([[-1, -1, -1], [-1, -1, -1]], (2, 2, 3), 2)
        """
        sets = [cls.targeted(each).codes for each in stored]
        if not sets or not all(each is not None and len(each) for each in sets):
            raise HashprobeError("evade needs at least one stored code for each query")
        codes = [-each for each in sets if each is not None]
        bits, most = codes[0].shape[1], max(map(len, codes))
        if any(each.shape[1] != bits for each in codes):
            raise HashprobeError("the stored codes of a query and of another differ in length")
        # Shorter sets repeat their first code, which asks for nothing more.
        every = np.stack([np.concatenate([c, c[:1].repeat(most - len(c), 0)]) for c in codes])
        enough = check_whole("radius", radius, 0, bits - 1) + 1
        all_of = None if most == 1 else every
        return cls(codes=every[:, 0].copy(), enough=enough, all_of=all_of, **parts)

    @classmethod
    def untargeted(cls, own_labels: Labels | None = None, known: Codes | None = None) -> "Goal":
        """Away from a query's own results, wherever that leads.

        Args:
            own_labels: (Q, C) labels of the queries, for attacks that lead away from items with
                these labels.
            known: codes with labels of the database, for the same attacks.

        Example:
            >>> Goal.untargeted().codes is None
            True
        """
        return cls(own_labels=own_labels, known=known)

    @property
    def is_targeted(self) -> bool:
        """Whether there are target codes."""
        return self.codes is not None

    def __len__(self) -> int:
        parts = (self.codes, self.labels, self.own_labels, self.own_codes, self.images, self.search)
        return next((len(part) for part in parts if part is not None), 0)

    def take(self, rows: Any) -> "Goal":
        """The goal of some of the queries: rows are a list or an index array."""
        if len(self):  # an untargeted goal goes with any number of queries
            picked(rows, len(self))
        names = ("codes", "labels", "members", "own_labels", "all_of")
        parts = {name: getattr(self, name) for name in names}
        some = {name: None if part is None else part[rows] for name, part in parts.items()}
        images = None if self.images is None else self.images.take(rows)
        start = None if self.start is None else self.start.take(rows)
        search = None if self.search is None else self.search.take(rows)
        own = None if self.own_codes is None else self.own_codes[np.asarray(rows, np.int64)]
        return replace(self, **some, images=images, start=start, search=search, own_codes=own)

    @checked
    def codes_for(self, pixels: Images, bits: int, *, every: bool = False) -> TargetSets:
        """The target codes as a tensor beside the pixels that they belong to.

        Args:
            pixels: (Q, 3, H, W) whose dtype and device the codes get.
            bits: code length K of the victim.
            every: whether to give all target codes of a query, where it has several.

        Returns:
            (Q, K), or (Q, S, K), with entries -1, 0 and +1.

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
        given = self.codes if self.all_of is None or self.enough is None else self.all_of
        return torch.from_numpy(given if every else self.codes).to(pixels)
