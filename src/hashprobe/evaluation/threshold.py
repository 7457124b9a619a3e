"""The radius that a wanted false-match rate asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hashprobe.checked import checked
from hashprobe.evaluation.bootstrap import LEAST


SEEN = 10
"""How many pairs should lie within a radius at the wanted rate, for the threshold to rest on."""


@checked
@dataclass(frozen=True)
class Threshold:
    """The largest radius whose false-match rate is not above a wanted one.

    Example:
        >>> found = Threshold(4, 3, 5, 1e-3, 8e-4, 10**6, 500)
        >>> print(found)
        radius 4 [3, 5] for a false-match rate of 0.001
        >>> print(Threshold(4, None, 9, 1e-6, 0.0, 1000, 50))
        radius 4 [none, 9] for a false-match rate of 1e-06 (1,000 pairs are too few to see it: \
10,000,000 are needed)
    """

    radius: int | None
    """The radius; None where already equal codes of different sources are too many."""
    low: int | None
    """The largest radius whose rate is surely not above the wanted one; None if not even 0 is."""
    high: int | None
    """The largest radius whose rate may be no higher than the wanted one; None if not even 0 is."""
    wanted: float
    """The wanted false-match rate, in (0, 1)."""
    rate: float
    """The rate at the radius; at radius 0 if there is none."""
    pairs: int
    """Pairs of a query and an item of different sources."""
    pictures: int
    """Different source pictures among queries and items; fewer than 10 give no interval."""

    @property
    def enough(self) -> bool:
        """Whether there are pairs enough to see the wanted rate."""
        return self.pairs * self.wanted >= SEEN and self.pictures >= LEAST

    @property
    def note(self) -> str:
        """What is to be said where there are too few pairs or pictures; empty otherwise."""
        if self.enough:
            return ""
        if self.pictures < LEAST:
            return f"{self.pictures} source pictures are too few for an interval"
        needed = int(np.ceil(SEEN / self.wanted))
        return f"{self.pairs:,} pairs are too few to see it: {needed:,} are needed"

    def __str__(self) -> str:
        named = ("none" if end is None else str(end) for end in (self.radius, self.low, self.high))
        radius, low, high = named
        note = f" ({self.note})" if self.note else ""
        return f"radius {radius} [{low}, {high}] for a false-match rate of {self.wanted:g}{note}"

    def to_json(self) -> dict[str, Any]:
        """What goes into a file."""
        names = ("radius", "low", "high", "wanted", "rate", "pairs", "enough", "note")
        return {name: getattr(self, name) for name in names}
