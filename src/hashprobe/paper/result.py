"""The numbers of a recipe, each with its interval, and what they say of the paper's claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from hashprobe.audit.results import Finished
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.paper.recipe import Claim, Recipe
from hashprobe.paper.settings import Setting


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
    before_rounding: float | None = None
    """The same of the pixels that the attack gave, as papers report it."""

    @classmethod
    def of(cls, measurement: Measurement | None, before_rounding: float | None = None) -> "Entry":
        """A measurement in per cent; a query that was left out of it counts 0 in differences."""
        if measurement is None:
            raise HashprobeError("a recipe asks for a number that was not measured: attack again")
        return cls(
            100 * measurement.value,
            100 * measurement.low,
            100 * measurement.high,
            measurement.signature,
            100 * np.nan_to_num(measurement.per_query),
            before_rounding,
        )

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"

    def halved(self) -> "Entry":
        """Half of it, query by query."""
        half = None if self.per_query is None else self.per_query / 2
        return Entry(self.value / 2, None, None, self.signature, half)

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
    clear: bool = True
    """Whether all of them are beyond chance: the intervals leave nothing open."""

    @property
    def word(self) -> str:
        """The verdict in words."""
        if not self.holds:
            return "does not hold"
        return "holds" if self.clear else "holds, not beyond chance"


@dataclass(frozen=True, eq=False)
class Result:
    """A recipe with its numbers; the grid is by (row, column).

    Example:
        >>> from hashprobe.paper.recipe import load_recipe
        >>> from hashprobe.paper.settings import load_setting
        >>> grid = {(0, 0): Entry(82.4, 80.0, 85.0, "tMAP@1000|v:0.1")}
        >>> result = Result(
        ...     load_recipe("figure8"), load_setting("digits", "bench"), grid, {}, ())
        >>> result.verdicts()
        []
    """

    recipe: Recipe
    setting: Setting
    grid: Mapping[tuple[int, int], Entry]
    attacks: Mapping[tuple[int, int], Finished]
    """The attack behind each number."""
    victims: tuple[VictimFacts, ...]

    def seconds(self) -> dict[str, float]:
        """How long each network and each attack took when it was computed, by name."""
        trained = {victim.name: victim.seconds for victim in self.victims}
        costs = {str(done.folder): done.record.cost for done in self.attacks.values()}
        return trained | {name: cost.seconds if cost else 0.0 for name, cost in costs.items()}

    def verdicts(self) -> list[Verdict]:
        """What the numbers say of the recipe's claims."""
        return [check(claim, self) for claim in self.recipe.claims]


def check(claim: Claim, result: Result) -> Verdict:
    """One claim on the numbers: it holds where every comparison behind it does.

    `above`: every row but the last is above the last by more than `by`. `grows`: the last is above
    the first, and no neighbour falls by more than `by`. Queries without a hit count 0.

    Args:
        claim: the claim.
        result: the numbers.
    """
    grid, columns = result.grid, range(len(result.recipe.columns))
    names = [column.name for column in result.recipe.columns]
    rows, by = claim.rows, claim.by
    seen: list[Comparison]
    if claim.check in ("above", "mostly above"):
        labels = [f"{result.recipe.rows[i].name}, " if len(rows) > 2 else "" for i in rows]
        seen = [
            beyond(grid[i, j].minus(grid[rows[-1], j]), by, f"{label}{names[j]}")
            for i, label in zip(rows[:-1], labels, strict=False)
            for j in columns
        ]
    elif claim.check == "near":
        gaps = [grid[rows[0], j].minus(grid[rows[1], j]) for j in columns]
        seen = [within(gap, by, name) for gap, name in zip(gaps, names, strict=True)]
    elif claim.check == "halves":
        pairs = [(grid[rows[0], j], grid[rows[1], j]) for j in columns]
        seen = [
            replace(
                beyond(other.halved().minus(one), 0, name),
                text=f"{name}: {one.value:.1f} of {other.value:.1f}",
            )
            for (one, other), name in zip(pairs, names, strict=True)
        ]
    elif claim.check == "exceeds":
        entries = [grid[rows[0], j] for j in columns]
        seen = [
            replace(beyond(entry, by, name), text=f"{name}: {entry}")
            for entry, name in zip(entries, names, strict=True)
        ]
    elif claim.check == "grows down":
        seen = [growth([grid[i, j] for i in rows], by, f"{names[j]}: ") for j in columns]
    else:
        values = [grid[rows[0], j] for j in columns]
        back = claim.check == "falls along"
        ends = f"from {names[-1]} to {names[0]}: " if back else ""
        seen = [growth(values[::-1] if back else values, by, ends)]
    met = sum(one.holds for one in seen)
    holds = met > len(seen) / 2 if claim.check == "mostly above" else met == len(seen)
    clear = all(one.clear for one in seen if one.holds)
    return Verdict(claim.say, holds, "; ".join(one.text for one in seen), clear)


@dataclass(frozen=True)
class Comparison:
    """One comparison behind a claim."""

    holds: bool
    clear: bool
    """Whether chance cannot explain it."""
    text: str


def beyond(gap: Entry, by: float, name: str) -> Comparison:
    """Whether a difference is above a bound, and its interval, too."""
    clear = gap.low is not None and gap.low > by
    return Comparison(gap.value > by, clear, f"{name}: {signed(gap)}")


def within(gap: Entry, by: float, name: str) -> Comparison:
    """Whether a difference is smaller than a bound either way, and its interval, too."""
    inside = gap.low is not None and gap.high is not None and -by < gap.low and gap.high < by
    return Comparison(abs(gap.value) < by, inside, f"{name}: {signed(gap)}")


def growth(values: Sequence[Entry], slack: float, name: str) -> Comparison:
    """Whether the last is above the first and no neighbour falls by more than the slack."""
    whole = values[-1].minus(values[0])
    steps = [b.minus(a) for a, b in pairwise(values)]
    worst = min(steps, key=lambda gap: gap.value)
    text = name + " → ".join(f"{entry.value:.1f}" for entry in values) + f", {signed(whole)}"
    if worst.value < 0:
        text += f", largest fall {signed(worst)}"
    holds = whole.value > 0 and worst.value >= -slack
    return Comparison(holds, whole.low is not None and whole.low > 0, text)


def signed(gap: Entry) -> str:
    """A difference with its sign and interval."""
    if gap.low is None or gap.high is None:
        return f"{gap.value:+.1f}"
    return f"{gap.value:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}]"
