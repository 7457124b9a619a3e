"""The numbers of a recipe, each with its interval, and what they say of the paper's claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from hashprobe.evaluation import Measurement
from hashprobe.experiments.recipe import Claim, Recipe
from hashprobe.experiments.settings import Setting


@dataclass(frozen=True, eq=False)
class Entry:
    """One number of a table: in per cent, or in thousandths for perceptibility.

    Example:
        >>> print(Entry(82.4, 80.0, 85.0, "tMAP@1000|v:0.1"))
        82.4 [80.0, 85.0]
    """

    value: float
    low: float | None
    high: float | None
    signature: str
    per_query: Float64[np.ndarray, " q"] | None = None
    """The value of each query, for differences in pairs."""

    @classmethod
    def of(cls, measurement: Measurement) -> "Entry":
        """A measurement in per cent."""
        return cls(
            100 * measurement.value,
            100 * measurement.low,
            100 * measurement.high,
            measurement.signature,
            100 * measurement.per_query,
        )

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"

    def minus(self, other: "Entry") -> "Entry":
        """The difference, with a paired interval where both know their queries."""
        value, signature = self.value - other.value, f"{self.signature} less {other.signature}"
        if self.per_query is None or other.per_query is None:
            return Entry(value, None, None, signature)
        paired = Measurement.of(self.per_query - other.per_query, signature)
        return Entry(paired.value, paired.low, paired.high, signature, paired.per_query)


@dataclass(frozen=True)
class VictimFacts:
    """What is said of one victim."""

    name: str
    bits: int
    loss: str
    seconds: float
    """Of its training."""
    map_all: Entry
    """MAP of all its queries."""


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of one claim.

    Example:
        >>> Verdict("DHTA is above P2P", True, "32 bits: +8.2 [+4.1, +12.5]").holds
        True
    """

    say: str
    holds: bool
    numbers: str
    """The comparisons behind it, column by column."""


@dataclass(frozen=True, eq=False)
class Result:
    """A recipe with its numbers; the grid is by (row, column).

    Example:
        >>> from hashprobe.experiments import load_recipe, load_setting
        >>> grid = {(0, 0): Entry(82.4, 80.0, 85.0, "tMAP@1000|v:0.1")}
        >>> result = Result(
        ...     load_recipe("figure8"), load_setting("digits", "bench"), grid, {}, (), 1.0)
        >>> result.verdicts()
        []
    """

    recipe: Recipe
    setting: Setting
    grid: Mapping[tuple[int, int], Entry]
    folders: Mapping[tuple[int, int], Path]
    """Where the attack behind a number is kept."""
    victims: tuple[VictimFacts, ...]
    seconds: float
    """What it took, without what was there already."""

    def verdicts(self) -> list[Verdict]:
        """What the numbers say of the recipe's claims."""
        return [check(claim, self) for claim in self.recipe.claims]


def check(claim: Claim, result: Result) -> Verdict:
    """One claim on the numbers: it holds where every comparison behind it does.

    Args:
        claim: the claim.
        result: the numbers.
    """
    grid, columns = result.grid, range(len(result.recipe.columns))
    names = [column.name for column in result.recipe.columns]
    rows, by = claim.rows, claim.by
    seen: list[tuple[bool, str]] = []
    if claim.check in ("above", "mostly above", "near"):
        for j in columns:
            gap = grid[rows[0], j].minus(grid[rows[1], j])
            fine = abs(gap.value) < by if claim.check == "near" else gap.value > by
            seen.append((fine, f"{names[j]}: {signed(gap)}"))
    elif claim.check == "halves":
        for j in columns:
            one, other = grid[rows[0], j].value, grid[rows[1], j].value
            seen.append((one < other / 2, f"{names[j]}: {one:.1f} of {other:.1f}"))
    elif claim.check == "exceeds":
        for j in columns:
            seen.append((grid[rows[0], j].value > by, f"{names[j]}: {grid[rows[0], j]}"))
    elif claim.check == "grows down":
        for j in columns:
            values = [grid[i, j] for i in rows]
            gaps = [b.minus(a) for a, b in pairwise(values)]
            worst = min(gaps, key=lambda gap: gap.value)
            text = " → ".join(f"{entry.value:.1f}" for entry in values)
            text += "" if worst.value >= 0 else f" (largest fall {signed(worst)})"
            seen.append((worst.value >= 0, f"{names[j]}: {text}"))
    else:
        values = [grid[rows[0], j] for j in columns]
        gaps = [b.minus(a) for a, b in pairwise(values)]
        sign = -1 if claim.check == "falls along" else 1
        for gap, name in zip(gaps, names[1:], strict=True):
            seen.append((sign * gap.value >= 0, f"to {name}: {signed(gap)}"))
    met = sum(holds for holds, _ in seen)
    holds = met > len(seen) / 2 if claim.check == "mostly above" else met == len(seen)
    return Verdict(claim.say, holds, "; ".join(text for _, text in seen))


def signed(gap: Entry) -> str:
    """A difference with its sign and interval."""
    if gap.low is None or gap.high is None:
        return f"{gap.value:+.1f}"
    return f"{gap.value:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}]"
