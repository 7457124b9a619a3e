"""What a comparison of defended networks is asked for, and its one table; imports no torch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.report.escape import in_markdown
from hashprobe.report.markdown import line
from hashprobe.types import Budget, check_seed, check_whole


ALARMS = 0.05
"""The share of clean queries that a detector may find."""
UNSURE = "~"
"""Marks a number that cannot be told from the best one."""


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
    query_budget: int = 300
    """Pictures that an adversary without gradients shows to the service for each query."""
    attacks: tuple[str, ...] = ()
    """Attacks of the registry that every run meets, by name; by default all that are given
    gradients, and noise. Bit margin, mainstay, the way away from the own anchors and the query-only
    attack are always among them."""
    detectors: tuple[str, ...] = ()
    """Detectors whose rate of finding attacked queries is measured, too, by name."""
    seed: int = 0
    """Seed of queries, target labels and attacks."""
    exclude_training: bool = False
    """Leave the training items that stand in the database out of the search."""

    def __post_init__(self) -> None:
        Budget(self.eps)
        for name in ("queries", "steps", "more_steps", "query_budget"):
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

    Example:
        >>> Detection("nearest-code", "Nearest code", "plain", 0.9, 0.1, 0.97).attack
        'plain'
    """

    name: str
    title: str
    attack: str
    """plain (the adversary does not know the detector) or adaptive (its penalty is in the loss)."""
    found: float
    """Share of the attacked queries that it finds at 5 % false alarms."""
    through: float
    """Share of them that reach their target code and are not found."""
    auc: float
    """Area under its ROC curve."""


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
    detections: tuple[Detection, ...] = ()

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
            "seconds": self.seconds,
            "map_clean": None if self.clean is None else self.clean.to_json(),
            "map_worst": None if worst is None else worst.to_json(),
            "map_worst_by_query": None if by_query is None else by_query.to_json(),
            "attacks": [trial.to_json() for trial in self.trials],
            "detectors": [asdict(one) for one in self.detections],
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
        return {"eps": self.options.eps, "runs": [run.to_json() for run in self.runs]}

    def markdown(self) -> str:
        """The table of the runs, one column each; below it flags and signatures.

        A cell of an attack is MAP by the queries' own labels and, where there is a target, t-MAP
        after a slash, in per cent. Of several runs, a MAP is marked with ~ where it cannot be told
        from the highest of its line: the 95 % interval of their difference, query by query, holds
        0, or the queries are too few for one.
        """
        titles = dict.fromkeys((t.name, t.title) for run in self.runs for t in run.trials)
        known = [{trial.name: trial for trial in run.trials} for run in self.runs]
        rows = [
            ["", *(in_markdown(run.run) for run in self.runs)],
            ["defence", *(run.defence for run in self.runs)],
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
            text += f"\n{UNSURE} cannot be told from the highest MAP of its line (95 %, paired).\n"
        if any(run.detections for run in self.runs):
            text += "\nDetectors: found at 5 % false alarms / through to the target unfound.\n"
        flags = [
            f"- {in_markdown(run.run)}: {'; '.join(run.flags)}" for run in self.runs if run.flags
        ]
        numbers = [t.map for run in self.runs for t in run.trials] + [
            run.clean for run in self.runs
        ]
        numbers += [t.tmap for run in self.runs for t in run.trials]
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
            "" if one is None else f"{100 * one.found:.0f} / {100 * one.through:.0f}"
            for one in found
        )
        rows.append([f"{title}, {attack}", *texts])
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown with columns as wide as their widest cell; the first row heads it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows
    ]
    lines.insert(1, "|" + "".join("-" * (width + 2) + "|" for width in widths))
    return "\n".join(lines) + "\n"


def cells(
    numbers: Sequence[Measurement | None], text: Callable[[Measurement], str]
) -> Iterator[str]:
    """The MAP of each run, marked where it cannot be told from the highest of them."""
    known = [number for number in numbers if number is not None]
    best = max(known, key=lambda one: one.value) if known else None
    for number in numbers:
        if number is None or best is None:
            yield ""
        else:
            yield UNSURE * (number is not best and not apart(best, number)) + text(number)


def apart(higher: Measurement, lower: Measurement) -> bool:
    """Whether the difference of two numbers over the same queries is more than chance."""
    low = (higher - lower).low
    return low is not None and low > 0


def short(number: Measurement) -> str:
    """A number in per cent."""
    return f"{100 * number.value:.1f}"


def interval(number: Measurement) -> str:
    """A number in per cent with its interval."""
    if number.low is None or number.high is None:
        return short(number)
    return f"{short(number)} [{100 * number.low:.1f}, {100 * number.high:.1f}]"
