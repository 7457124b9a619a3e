"""The numbers of a recipe, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP
from hashprobe.evaluation.measurement import Measurement
from hashprobe.paper.recipe import Recipe
from hashprobe.paper.settings import Setting
from hashprobe.workflow.results import Finished


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
    bounds: tuple[float, float] = (0.0, 100.0)
    """The range of the value of a query."""
    runs: "Entry | None" = None
    """The mean over repeated runs and where another run would lie; None of one run."""

    @classmethod
    def of(
        cls,
        measurement: Measurement | None,
        before_rounding: float | None = None,
        runs: Measurement | None = None,
    ) -> "Entry":
        """A measurement in per cent; a query that was left out of it counts 0 in differences."""
        if measurement is None:
            raise HashprobeError("a recipe asks for a number that was not measured: attack again")
        low, high = measurement.low, measurement.high
        return cls(
            100 * measurement.value,
            None if low is None else 100 * low,
            None if high is None else 100 * high,
            measurement.signature,
            100 * np.nan_to_num(measurement.per_query),
            before_rounding,
            (100 * measurement.bounds[0], 100 * measurement.bounds[1]),
            None if runs is None else cls.of(runs),
        )

    @classmethod
    def over(
        cls, per_query: Float64[np.ndarray, " q"], signature: str, bounds: tuple[float, float]
    ) -> "Entry":
        """The mean over queries, in the units of the table."""
        found = Measurement.of(per_query, signature, bounds=bounds)
        return cls(found.value, found.low, found.high, found.signature, per_query, bounds=bounds)

    def __str__(self) -> str:
        text = f"{self.value:.2f}" if self.per_query is None else f"{self.value:.1f}"
        if self.low is not None and self.high is not None:
            text = f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"
        if self.runs is None or self.runs.low is None or self.runs.high is None:
            return text
        return f"{text}, runs {self.runs.low:.1f} to {self.runs.high:.1f}"

    def halved(self) -> "Entry":
        """Half of it, query by query."""
        half = None if self.per_query is None else self.per_query / 2
        bounds = self.bounds[0] / 2, self.bounds[1] / 2
        return Entry(self.value / 2, None, None, self.signature, half, bounds=bounds)

    def minus(self, other: "Entry") -> "Entry":
        """The difference, with a paired interval where both know their queries."""
        value, signature = self.value - other.value, f"{self.signature} less {other.signature}"
        bounds = self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0]
        if self.per_query is None or other.per_query is None:
            return Entry(value, None, None, signature, bounds=bounds)
        return Entry.over(self.per_query - other.per_query, signature, bounds)

    def doubts(self, at: float) -> tuple[float, float] | None:
        """p-values of the claims that the mean is above, and below, a value; None if unknown."""
        if self.per_query is None:
            return None
        return BOOTSTRAP.doubts(self.per_query, at, self.bounds)


def mean_of(entries: Sequence[Entry]) -> Entry:
    """The mean of several numbers over the same queries, query by query."""
    signature, bounds = f"mean of {entries[0].signature}", entries[0].bounds
    parts = [entry.per_query for entry in entries if entry.per_query is not None]
    if len(parts) < len(entries):
        value = float(np.mean([entry.value for entry in entries]))
        return Entry(value, None, None, signature, bounds=bounds)
    return Entry.over(np.mean(parts, axis=0), signature, bounds)


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


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision by list length, query by query, and mean precision over mean recall of one row.

    Example:
        >>> one = np.ones(1)
        >>> Curves(np.array([1]), np.ones((20, 1)), one, one).precision.shape
        (20, 1)
    """

    lengths: Int64[np.ndarray, " p"]
    """List lengths N."""
    precision: Float64[np.ndarray, "q p"]
    """Precision at each N of each query, in [0, 1]."""
    mean_recall: Float64[np.ndarray, " d"]
    """Mean recall within Hamming radius 0..K."""
    mean_precision: Float64[np.ndarray, " d"]
    """Mean precision within the same radius."""


@dataclass(frozen=True, eq=False)
class Result:
    """A recipe with its numbers; the grid is by (row, column).

    Example:
        >>> from hashprobe.paper.recipe import load_recipe
        >>> from hashprobe.paper.settings import load_setting
        >>> grid = {(0, 0): Entry(82.4, 80.0, 85.0, "tMAP@1000|v:0.1")}
        >>> result = Result(
        ...     load_recipe("figure8"), load_setting("digits", "bench"), grid, {}, ())
        >>> result.seconds()
        {}
    """

    recipe: Recipe
    setting: Setting
    grid: Mapping[tuple[int, int], Entry]
    attacks: Mapping[tuple[int, int], Finished]
    """The attack behind each number."""
    victims: tuple[VictimFacts, ...]
    curves: Mapping[int, "Curves"] = field(default_factory=dict)
    """Row to its curves, of recipes that show curves."""

    def seconds(self) -> dict[str, float]:
        """How long each network and each attack took when it was computed, by name."""
        trained = {victim.name: victim.seconds for victim in self.victims}
        costs = {str(done.folder): done.record.cost for done in self.attacks.values()}
        return trained | {name: cost.seconds if cost else 0.0 for name, cost in costs.items()}
