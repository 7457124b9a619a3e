"""What an audit found: numbers with signatures, as JSON, as a page, and against limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.false_matching import FalseMatches
from hashprobe.evaluation.health import CodeHealth
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.minimal_eps import NeededEps
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.evaluation.threshold import Threshold
from hashprobe.workflow.audit_options import GOAL_OF, AuditOptions, Limit


SCHEMA = 1
"""Version of the record; docs/reference/records.md describes it."""


@dataclass(frozen=True, eq=False)
class GoalResult:
    """One goal of an adversary at every budget."""

    name: str
    """evade, collide or enter."""
    queries: int
    """Queries that it is about."""
    rates: tuple[tuple[float, Measurement], ...]
    """Budget and share of these queries that have it."""
    needed: tuple[NeededEps, ...]
    """The budget that a share of the queries needs."""
    moved: tuple[float, ...]
    """Mean bits that the code moved, at each budget."""
    passes: int
    """Passes through the victim, or searches, of all queries together."""
    searches: tuple[tuple[int, Measurement], ...] = ()
    """With query access: most searches a picture, and share of the queries that have it at the
    largest budget within so many."""
    by: str = ""
    """The surrogate that pictures were crafted on, and whether queries went on from there; empty
    for an attack on the victim itself."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "goal": self.name,
            "by": self.by,
            "queries": self.queries,
            "rates": [{"eps": eps, **rate.to_json()} for eps, rate in self.rates],
            "needed": [one.to_json() for one in self.needed],
            "moved": list(self.moved),
            "passes": self.passes,
            "searches": [{"most": most, **rate.to_json()} for most, rate in self.searches],
        }


@dataclass(frozen=True, eq=False)
class EditResult:
    """One benign edit."""

    name: str
    title: str
    match: Measurement
    """Share of the edited queries that still match their own source."""
    moved: float
    """Mean bits that the code moved."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"edit": self.name, "match": self.match.to_json(), "moved": self.moved}


@dataclass(frozen=True, eq=False)
class RemedyResult:
    """One remedy: what it costs, and what an adversary does who knows it."""

    name: str
    title: str
    match: Measurement | None
    """Share of the clean queries that match their own source behind it; None where none has one."""
    false_match: float | None
    """Share of pairs of different pictures that match behind it; None where none are known."""
    eps: float
    evasion: Measurement | None
    collision: Measurement | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        record: dict[str, Any] = {"remedy": self.name, "title": self.title, "eps": self.eps}
        record |= {"false_match": self.false_match}
        for name in ("match", "evasion", "collision"):
            rate = getattr(self, name)
            record[name] = None if rate is None else rate.to_json()
        return record


@dataclass(frozen=True, eq=False)
class RadiusPoint:
    """The audit at one other radius."""

    radius: int
    eps: float
    evasion: float | None
    collision: float | None
    match: float | None
    false_match: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, eq=False)
class Sample:
    """One attacked picture, for the page."""

    name: str
    goal: str
    eps: float
    image: np.ndarray
    """uint8 (3, H, W)."""
    attacked: np.ndarray
    before: tuple[tuple[str, int, bool], ...]
    """Nearest items: id, distance, whether of the own source."""
    after: tuple[tuple[str, int, bool], ...]


@dataclass(frozen=True, eq=False)
class AuditResult:
    """What an adversary can do to a victim and its database, and what helps.

    Print it for the verdict; `.report(path)` writes the page, `.to_json()` gives the record.

    Example:
        >>> import torch
        >>> from hashprobe.victims import Victim
        >>> from hashprobe.workflow import audit
        >>> generator = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 16))
        >>> done = audit(Victim(net, bits=16, size=8), torch.rand(12, 3, 8, 8), radius=2,
        ...              eps=(64 / 255,), exact=False, edits=False)
        >>> done.queries, done.exceeded([])
        (12, [])
    """

    options: AuditOptions
    victim: dict[str, Any]
    """Name, bits, contract, what judges, how far the torch form agrees with it."""
    queries: int
    items: int
    radius: int
    threshold: Threshold | None
    match: Measurement | None
    """Share of the clean queries that match their own source; None where none has one."""
    false_matches: FalseMatches | None
    """How often pictures of different sources match; None where nobody says what is different."""
    lists: dict[str, Measurement]
    """recall@k, rank and overlap@k of the result lists, before and after evasion."""
    health: CodeHealth | None
    """What the bits of the database are worth; None for a single item."""
    goals: tuple[GoalResult, ...]
    edits: tuple[EditResult, ...] = ()
    remedies: tuple[RemedyResult, ...] = ()
    radii: tuple[RadiusPoint, ...] = ()
    labels: Evaluation | None = None
    """MAP and t-MAP of the goal `show`, where labels are known."""
    quality: dict[str, float] = field(default_factory=dict)
    """Of PDQ: its quality gate, and the share of the pictures of each goal that fall below it."""
    notes: tuple[str, ...] = ()
    """What was assumed, and what a user should know."""
    samples: tuple[Sample, ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)
    """What else was asked: files, an item, a label, surrogates, a second hash,
    hardened networks."""
    command: str = ""
    """How to run it again."""
    created: str = ""
    version: str = ""

    def goal(self, name: str) -> GoalResult | None:
        """The result of a goal; None where it was not asked for.

        Args:
            name: evade, collide or enter.
        """
        return next((one for one in self.goals if one.name == name and not one.by), None)

    @cached_property
    def false_match(self) -> Measurement | None:
        """The false-match rate at the radius; None where nobody says what is different."""
        rates = self.false_matches
        return None if rates is None else rates.rate(self.radius)

    def to_json(self) -> dict[str, Any]:
        """The record that `audit.json` holds."""
        return {
            "schema": SCHEMA,
            "version": self.version,
            "created": self.created,
            "command": self.command,
            "options": self.options.to_json() | self.asked,
            "victim": self.victim,
            "queries": self.queries,
            "items": self.items,
            "radius": self.radius,
            "threshold": None if self.threshold is None else self.threshold.to_json(),
            "match": None if self.match is None else self.match.to_json(),
            "false_match": None if self.false_match is None else self.false_match.to_json(),
            "lists": {name: value.to_json() for name, value in self.lists.items()},
            "health": None if self.health is None else self.health.to_json(),
            "goals": [one.to_json() for one in self.goals],
            "edits": [one.to_json() for one in self.edits],
            "remedies": [one.to_json() for one in self.remedies],
            "radii": [one.to_json() for one in self.radii],
            "labels": None if self.labels is None else self.labels.to_json(),
            "quality": self.quality,
            "notes": list(self.notes),
        }

    def exceeded(self, limits: Sequence[Limit]) -> list[str]:
        """What is above its limit, in words.

        Args:
            limits: rates that must not be exceeded, at the largest budget.

        Raises:
            HashprobeError: a limit at another radius, or of what was not measured.
        """
        return [text for limit in limits if (text := self.above(limit))]

    def above(self, limit: Limit) -> str:
        """What is said of a limit that is exceeded; nothing where it is kept."""
        if limit.radius != self.radius:
            raise HashprobeError(
                f"the limit is at radius {limit.radius} and the audit at {self.radius}: give "
                f"--radius {limit.radius}"
            )
        if limit.name == "false-match":
            if self.false_match is None:
                raise HashprobeError("false-match was not measured: no sources are known")
            value = self.false_match.value
        else:
            goals = [one for one in self.goals if one.name == GOAL_OF[limit.name]]
            if not goals:
                raise HashprobeError(f"{limit.name} was not measured: its goal was not attacked")
            # Of all adversaries the strongest counts, whatever it has.
            value = max(one.rates[-1][1].value for one in goals)
        if value <= limit.most:
            return ""
        return f"{limit.name} at radius {limit.radius} is {value:.4g}, above {limit.most:.4g}"

    def report(self, path: str | Path) -> Path:
        """Writes one HTML page that needs nothing beside it.

        Args:
            path: the page.

        Returns:
            The path.

        Raises:
            HashprobeError: the disk refuses.
        """
        from hashprobe.workflow.audit_page import write_audit_page

        write_audit_page(self, Path(path))
        return Path(path)

    def markdown(self) -> str:
        """The tables as Markdown."""
        from hashprobe.workflow.audit_words import markdown

        return markdown(self)

    def __str__(self) -> str:
        from hashprobe.workflow.audit_words import plain

        return plain(self)
