"""What a comparison of defended networks is asked for, and its one table; imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.report.markdown import line
from hashprobe.types import Budget, check_seed, check_whole


SLACK = 0.02
"""By how much an attack may be weaker than one that should be weaker, before a flag goes up."""


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
    attacks: tuple[str, ...] = ()
    """Attacks of the registry that every run meets, by name; by default all that are given
    gradients, and noise. Bit margin and the way away from the own anchors are always among them."""
    seed: int = 0
    """Seed of queries, target labels and attacks."""
    exclude_training: bool = False
    """Leave the training items that stand in the database out of the search."""

    def __post_init__(self) -> None:
        Budget(self.eps)
        for name in ("queries", "steps", "more_steps"):
            check_whole(name, getattr(self, name))
        check_whole("restarts", self.restarts, 0, 1000)
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

    @property
    def worst(self) -> Measurement | None:
        """The lowest MAP under any attack."""
        known = [trial.map for trial in self.trials if trial.map is not None]
        return min(known, key=lambda one: one.value) if known else None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        worst = self.worst
        return {
            "run": self.run,
            "defence": self.defence,
            "options": self.options,
            "seconds": self.seconds,
            "map_clean": None if self.clean is None else self.clean.to_json(),
            "map_worst": None if worst is None else worst.to_json(),
            "attacks": [trial.to_json() for trial in self.trials],
            "flags": list(self.flags),
        }


@dataclass(frozen=True)
class Comparison:
    """Several runs under the same attacks.

    Example:
        >>> print(Comparison((Compared("runs/a", "none", None, 12.0),)).markdown())
        | run | defence | training, s | MAP clean | MAP worst | flags |
        |---|---|---|---|---|---|
        | runs/a | none | 12 |  |  |  |
        <BLANKLINE>
    """

    runs: tuple[Compared, ...]
    options: CompareOptions = CompareOptions()

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"eps": self.options.eps, "runs": [run.to_json() for run in self.runs]}

    def markdown(self) -> str:
        """The table of the runs, one line each, and the signatures of MAP and t-MAP.

        A cell of an attack is MAP by the queries' own labels and, where there is a target, t-MAP
        after a slash, in per cent.
        """
        titles = dict.fromkeys((t.name, t.title) for run in self.runs for t in run.trials)
        heads = ["run", "defence", "training, s", "MAP clean", "MAP worst"]
        lines = [line([*heads, *(title for _, title in titles), "flags"])]
        lines.append("|" + "---|" * (len(heads) + len(titles) + 1))
        for run in self.runs:
            known = {trial.name: trial for trial in run.trials}
            cells = [run.run, run.defence, "" if run.seconds is None else f"{run.seconds:.0f}"]
            cells += [interval(run.clean), interval(run.worst)]
            cells += [cell(known.get(name)) for name, _ in titles]
            lines.append(line([*cells, "; ".join(run.flags)]))
        text = "\n".join(lines) + "\n"
        signed = [t.map for run in self.runs for t in run.trials] + [run.clean for run in self.runs]
        signed += [t.tmap for run in self.runs for t in run.trials]
        known_as = dict.fromkeys(one.signature for one in signed if one is not None)
        return (
            text + "".join(f"\n- `{signature}`" for signature in known_as) + "\n" * bool(known_as)
        )


def interval(number: Measurement | None) -> str:
    """A number in per cent with its interval."""
    if number is None:
        return ""
    text = f"{100 * number.value:.1f}"
    if number.low is None or number.high is None:
        return text
    return f"{text} [{100 * number.low:.1f}, {100 * number.high:.1f}]"


def cell(trial: Trial | None) -> str:
    """MAP and t-MAP of an attack in per cent."""
    if trial is None:
        return ""
    parts = [trial.map, trial.tmap]
    return " / ".join(f"{100 * part.value:.1f}" for part in parts if part is not None)


def flags_of(
    clean: Measurement | None, trials: Sequence[Trial], saturated: float, huge: Measurement | None
) -> tuple[str, ...]:
    """What speaks against taking the numbers of a run for robustness.

    Args:
        clean: MAP without an attack.
        trials: its attacks.
        saturated: share of the bits of clean queries whose tanh is beyond 0.999.
        huge: t-MAP of the longer targeted attack within 64/255 less that of its target codes, which
            an attack that finds its way brings to 0.

    Returns:
        Sentences; none where nothing is suspicious.

    Example:
        >>> flags_of(None, (), 0.95, None)
        ('95% of the bits are saturated',)
    """
    known = {trial.name: trial for trial in trials}
    found = []
    white = [t.map.value for t in trials if t.gradients and t.map is not None]
    blind = [t for t in trials if not t.gradients and t.map is not None]
    for trial in blind:
        assert trial.map is not None
        if white and trial.map.value < min(white) - SLACK:
            found.append(f"{trial.title} is stronger than every attack with gradients")
    for short, long in (("away", "away-more"), ("bit-margin", "bit-margin-more")):
        pair = known.get(short), known.get(long)
        if pair[0] is None or pair[1] is None:
            continue
        for part, sign in (("tmap", 1), ("map", -1)):
            values = [getattr(one, part) for one in pair]
            if part == "map" and short != "away":
                continue
            if None not in values and sign * (values[0].value - values[1].value) > SLACK:
                found.append(f"{pair[1].title} is weaker than {pair[0].title}")
    if saturated > 0.9:
        found.append(f"{saturated:.0%} of the bits are saturated")
    if huge is not None and huge.value < -0.1:
        found.append(f"64/255 does not reach the target codes (t-MAP {100 * huge.value:+.0f})")
    return tuple(found)
