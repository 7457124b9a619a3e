"""What a comparison of defended networks is asked for, and its one table; imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import TOO_FEW, Measurement
from hashprobe.report.escape import in_markdown
from hashprobe.types import Budget, check_seed, check_whole
from hashprobe.workflow.comparison_cells import (
    UNSURE,
    aligned,
    cells,
    interval,
    measures,
    option_text,
    short,
)


ALARMS = 0.05
"""The share of clean queries that a detector may find."""


@dataclass(frozen=True)
class CompareOptions:
    """What every run of a comparison goes through.

    Raises:
        HashprobeError: a number out of range.

    Example:
        >>> CompareOptions().more_steps
        200
    """

    eps: float = 8 / 255
    """Largest change of a pixel value."""
    queries: int = 100
    """Queries that are attacked, the same for all runs."""
    steps: int = 50
    """Steps of the shorter attacks."""
    more_steps: int = 200
    """Steps of the longer ones, and of attacks that are published with thousands."""
    restarts: int = 2
    """Further starts of the longer attacks."""
    top: int | None = None
    """List length T of MAP and t-MAP; by default the whole database."""
    n_t: int = 9
    """Codes that vote on a target code, and fewest database items that a target label must have."""
    query_budget: int = 300
    """Pictures that an adversary without gradients shows to the service for each query."""
    attacks: tuple[str, ...] = ()
    """Attacks of the registry that every run meets, by name; by default all that are given
    gradients. Noise, bit margin, mainstay, the way away from the own anchors and the query-only
    attack are always among them."""
    detectors: tuple[str, ...] = ()
    """Detectors whose rate of finding attacked queries is measured, too, by name."""
    seed: int = 0
    """Seed of queries, target labels and attacks."""
    exclude_training: bool = False
    """Leave the training items that stand in the database out of the search."""

    def __post_init__(self) -> None:
        Budget(self.eps)
        for name in ("queries", "steps", "more_steps", "query_budget", "n_t"):
            check_whole(name, getattr(self, name))
        check_whole("restarts", self.restarts, 0, 1000)
        if self.top is not None:
            check_whole("top", self.top)
        check_seed(self.seed)
        if self.more_steps < self.steps:
            raise HashprobeError(
                f"more_steps must be at least steps, {self.steps}; got {self.more_steps}"
            )


@dataclass(frozen=True)
class Trial:
    """What one attack did to one run.

    Example:
        >>> Trial("noise", "noise").map is None
        True
    """

    name: str
    """Of the column."""
    title: str
    map: Measurement | None = None
    """MAP by the queries' own labels, under attack."""
    tmap: Measurement | None = None
    """t-MAP by the target labels; None for an attack without targets."""
    gradients: bool = True
    """Whether it uses the victim's gradients."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        parts = {"map": self.map, "tmap": self.tmap}
        known = {name: part.to_json() for name, part in parts.items() if part is not None}
        return {"name": self.name, "title": self.title, **known}


@dataclass(frozen=True)
class Detection:
    """What a detector finds of queries that are steered to target codes.

    Intervals are over the attacked queries; the clean ones, which set the threshold, are given.

    Example:
        >>> found = Measurement.of(np.ones(20), "found@5%|v:0.1")
        >>> Detection("nearest-code", "Nearest code", "plain", found, found, found).attack
        'plain'
    """

    name: str
    title: str
    attack: str
    """plain (the adversary does not know the detector) or adaptive (its penalty is in the loss)."""
    found: Measurement
    """Share of the attacked queries that it finds at 5 % false alarms."""
    through: Measurement
    """Share of them that reach their target code and are not found."""
    auc: Measurement
    """Area under its ROC curve."""

    @property
    def shown(self) -> tuple[Measurement, Measurement]:
        """The numbers of its cell in a table."""
        return self.found, self.through

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        numbers = {"found": self.found, "through": self.through, "auc": self.auc}
        known = {name: number.to_json() for name, number in numbers.items()}
        return {"name": self.name, "title": self.title, "attack": self.attack, **known}


@dataclass(frozen=True)
class Compared:
    """One run of a comparison.

    Example:
        >>> Compared("runs/a", "none", None, 12.0).worst is None
        True
    """

    run: str
    """Its folder."""
    defence: str
    """The name of its training against attacks, or none."""
    clean: Measurement | None
    """MAP of the same queries without an attack."""
    seconds: float | None
    """Of its own training; None where that is not known."""
    trials: tuple[Trial, ...] = ()
    flags: tuple[str, ...] = ()
    """What speaks against taking its numbers for robustness."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the defence, as it was trained."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Those of them that differ from the defaults."""
    detections: tuple[Detection, ...] = ()

    @property
    def described(self) -> str:
        """The defence with its options that differ from the defaults.

        Example:
            >>> Compared("runs/a", "p2s", None, 1.0, changed={"n_t": 1}).described
            'p2s n_t=1'
        """
        name, plus, behind = self.defence.partition(" + ")
        return " ".join([name, *map(option_text, self.changed.items())]) + plus + behind

    @property
    def worst(self) -> Measurement | None:
        """The lowest MAP under any attack."""
        known = [trial.map for trial in self.trials if trial.map is not None]
        return min(known, key=lambda one: one.value) if known else None

    @property
    def worst_by_query(self) -> Measurement | None:
        """MAP with each query under the attack that leaves it the lowest AP."""
        known = [trial.map for trial in self.trials if trial.map is not None]
        if not known:
            return None
        lowest = np.min([one.per_query for one in known], axis=0)
        return Measurement.of(lowest, f"worst {known[0].signature}")

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        worst, by_query = self.worst, self.worst_by_query
        return {
            "run": self.run,
            "defence": self.defence,
            "options": self.options,
            "changed": self.changed,
            "seconds": self.seconds,
            "map_clean": None if self.clean is None else self.clean.to_json(),
            "map_worst": None if worst is None else worst.to_json(),
            "map_worst_by_query": None if by_query is None else by_query.to_json(),
            "attacks": [trial.to_json() for trial in self.trials],
            "detectors": [one.to_json() for one in self.detections],
            "flags": list(self.flags),
        }


@dataclass(frozen=True)
class Comparison:
    """Several runs under the same attacks.

    Example:
        >>> print(Comparison((Compared("runs/a", "none", None, 12.0),)).markdown())
        |             | runs/a |
        |-------------|--------|
        | defence     | none   |
        | training, s | 12     |
        | MAP clean   |        |
        | MAP worst   |        |
        | by query    |        |
        <BLANKLINE>
    """

    runs: tuple[Compared, ...]
    options: CompareOptions = CompareOptions()

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        asked = {"eps": self.options.eps, "n_t": self.options.n_t}
        return {**asked, "runs": [run.to_json() for run in self.runs]}

    def markdown(self) -> str:
        """The table of the runs, one column each; below it flags and signatures.

        A cell of an attack is MAP by the queries' own labels and, where there is a target, t-MAP
        after a slash, in per cent. Of several runs, a MAP is marked with ~ where its difference to
        the highest of its row may be chance: the 95 % interval of that, query by query, holds 0, or
        the queries are too few for one. Numbers of different measures, as with codes of different
        lengths, are not marked.
        """
        titles = dict.fromkeys((t.name, t.title) for run in self.runs for t in run.trials)
        known = [{trial.name: trial for trial in run.trials} for run in self.runs]
        rows = [
            ["", *(in_markdown(run.run) for run in self.runs)],
            ["defence", *(run.described for run in self.runs)],
            ["training, s", *("" if r.seconds is None else f"{r.seconds:.0f}" for r in self.runs)],
            ["MAP clean", *cells([run.clean for run in self.runs], interval)],
            ["MAP worst", *cells([run.worst for run in self.runs], interval)],
            ["by query", *cells([run.worst_by_query for run in self.runs], interval)],
        ]
        for name, title in titles:
            trials = [of_run.get(name) for of_run in known]
            firsts = cells([None if one is None else one.map for one in trials], short)
            seconds = ["" if one is None or one.tmap is None else short(one.tmap) for one in trials]
            both = (" / ".join(filter(None, pair)) for pair in zip(firsts, seconds, strict=True))
            rows.append([title, *both])
        rows += detector_rows(self.runs)
        text = aligned(rows)
        if any(cell.startswith(UNSURE) for row in rows for cell in row):
            chance = "the difference to the highest MAP of the row may be chance"
            text += f"\n{UNSURE}: {chance} (95 %, same queries).\n"
        if len(measures([run.worst for run in self.runs])) > 1:
            text += "\nCodes of different lengths: no difference between runs is tested.\n"
        detections = [one for run in self.runs for one in run.detections]
        if detections:
            text += "\nDetectors: found at 5 % false alarms / through to the target unfound"
            few = any(one.found.low is None for one in detections)
            text += f" ({TOO_FEW})" * few + ".\n"
        flags = [
            f"- {in_markdown(run.run)}: {'; '.join(run.flags)}" for run in self.runs if run.flags
        ]
        numbers = [t.map for run in self.runs for t in run.trials] + [
            run.clean for run in self.runs
        ]
        numbers += [t.tmap for run in self.runs for t in run.trials]
        numbers += [number for one in detections for number in one.shown]
        signatures = dict.fromkeys(one.signature for one in numbers if one is not None)
        for part in (flags, [f"- `{signature}`" for signature in signatures]):
            text += "\n" * bool(part) + "".join(f"{said}\n" for said in part)
        return text


def detector_rows(runs: Sequence[Compared]) -> list[list[str]]:
    """Rows of what detectors find: a detector and an attack each."""
    known = [{(one.title, one.attack): one for one in run.detections} for run in runs]
    rows = []
    for title, attack in dict.fromkeys(key for of_run in known for key in of_run):
        found = [of_run.get((title, attack)) for of_run in known]
        texts = (
            "" if one is None else " / ".join(interval(number) for number in one.shown)
            for one in found
        )
        rows.append([f"{title}, {attack}", *texts])
    return rows
