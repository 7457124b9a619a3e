"""What an audit is asked to do; imports no torch."""

import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hashprobe.checked import checked, shown
from hashprobe.codes.convention import BitConvention
from hashprobe.errors import HashprobeError
from hashprobe.text import without_password
from hashprobe.types import check_seed, check_whole


AuditGoal: TypeAlias = Literal["evade", "collide", "enter", "show"]
"""What an adversary wants: no match with the own source, a match with a chosen item, a match with a
list, or the results of a label."""
GOALS: tuple[AuditGoal, ...] = ("evade", "collide", "enter", "show")
Access: TypeAlias = Literal["white", "query"]
Rerank: TypeAlias = Literal["none", "cosine"]
LEVELS = (1 / 255, 2 / 255, 4 / 255, 8 / 255)
"""Budgets of an audit: from invisible to plainly visible on smooth areas."""
GOAL_OF: dict[str, AuditGoal] = {"evasion": "evade", "collision": "collide", "hit": "enter"}
"""The goal whose rate a limit calls by a name."""
MEASURES = ("evasion", "collision", "hit", "false-match")
LIMIT = re.compile(r"(?P<name>[a-z-]+)@(?P<radius>\d+)=(?P<most>[\d.]+)\Z")


@checked
@dataclass(frozen=True)
class AuditOptions:
    """How an audit is made; the defaults are those of `hashprobe audit`.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> AuditOptions(radius=31).eps[0] * 255
        1.0
    """

    radius: int | Literal["auto"] | None = None
    """Largest Hamming distance that matches; `auto` takes the largest with a false-match rate of at
    most `fpr`; None takes the usual one of a perceptual hash, else `auto`."""
    fpr: float = 1e-6
    """The wanted rate of false matches, for `auto`: the share of pairs of different pictures."""
    top: int = 10
    """Length of a result list."""
    eps: tuple[float, ...] = LEVELS
    """Budgets: how far a pixel may move, in [0, 1] units."""
    steps: int = 50
    """Gradient steps of each attack at each budget."""
    goals: tuple[AuditGoal, ...] | None = None
    """What the adversary wants; None: whatever the data allow."""
    count: int = 100
    """Most queries, evenly spread over those that are there; 0 takes all."""
    seed: int = 0
    """Decides on which item each query is to collide with."""
    exact: bool = True
    """Whether to find the smallest budget of each query between those of `eps`, too."""
    edits: bool = True
    """Whether to measure benign edits."""
    mitigate: bool = False
    """Whether to measure remedies that need no training, each attacked through it."""
    rerank: Rerank = "none"
    """`cosine`: a short list by codes is ordered anew by the cosine of floats, and attacked so."""
    oversample: int = 4
    """How many times longer than `top` the short list is."""
    access: Access = "white"
    """`white`: the adversary has the network; `query`: it sees the answers of the search alone."""
    query_budget: int = 5000
    """Searches that an adversary with query access may make for a picture."""
    distances: bool = True
    """Whether the answers of a search hold distances, or only ids in their order."""
    examples: int = 4
    """Attacked pictures on the page."""

    def __post_init__(self) -> None:
        if self.radius not in (None, "auto"):
            check_whole("radius", self.radius, 0, 4096)
        if not 0 < self.fpr < 1:
            raise HashprobeError(f"fpr must be above 0 and below 1; got {shown(self.fpr)}")
        for name in ("top", "steps", "query_budget", "oversample"):
            check_whole(name, getattr(self, name))
        check_whole("count", self.count, 0)
        check_whole("examples", self.examples, 0, 100)
        check_seed(self.seed)
        if not self.eps or len(set(self.eps)) != len(self.eps):
            raise HashprobeError(
                f"eps must be one budget or several different ones; got {self.eps}"
            )
        for eps in self.eps:
            if not (math.isfinite(eps) and 1 / 255 <= eps * (1 + 1e-9) <= 1 + 1e-6):
                raise HashprobeError(f"eps must be from 1/255 to 1; got {shown(eps)}")
        if self.goals is not None and (not self.goals or set(self.goals) - set(GOALS)):
            known = ", ".join(GOALS)
            raise HashprobeError(f"goals are {known}; got {', '.join(map(str, self.goals))}")

    def wants(self, goal: AuditGoal) -> bool:
        """Whether a goal is asked for.

        Example:
            >>> AuditOptions(goals=("evade",)).wants("collide")
            False
        """
        return self.goals is None or goal in self.goals

    def at_limit(self, limit: "Limit") -> "AuditOptions":
        """The same at the radius of a limit, where no other radius is asked for.

        Args:
            limit: a rate that must not be exceeded.

        Raises:
            HashprobeError: another radius is asked for.

        Example:
            >>> AuditOptions().at_limit(Limit("evasion", 10, 0.05)).radius
            10
        """
        if self.radius in (None, limit.radius):
            return replace(self, radius=limit.radius)
        raise HashprobeError(
            f"a limit is at radius {limit.radius} and the audit at {self.radius}: give --radius "
            f"{limit.radius}"
        )

    def to_json(self) -> dict[str, Any]:
        """The options by name, as plain JSON.

        Example:
            >>> AuditOptions(radius=31).to_json()["radius"]
            31
        """
        record = asdict(self)
        for name in ("eps", "goals"):
            record[name] = None if record[name] is None else list(record[name])
        return record


@checked
@dataclass(frozen=True)
class AuditFiles:
    """What an audit reads beside the queries and the database.

    Example:
        >>> AuditFiles().labels is None
        True
    """

    labels: Path | None = None
    """A CSV file with ids, and labels, groups or both, of queries and items."""
    block_list: str | Path | None = None
    """Codes that an adversary wants to enter, for the goal `enter`."""
    item: str | None = None
    """The database item that every query is to collide with; None takes a random one each."""
    label: str | None = None
    """The label whose items queries are to lead to, for the goal `show`; None: random ones."""
    surrogates: tuple[str, ...] = ()
    """Other victims, by which an adversary without access crafts pictures."""
    second_hash: str | None = None
    """Another victim that must agree on a match, as a remedy; None takes phash (pdq for phash)."""
    second_radius: int | None = None
    """Largest distance at which it matches; None takes the usual one of a perceptual hash."""
    hardened: tuple[str, ...] = ()
    """Hardened networks that could take the victim's place, as remedies."""
    convention: BitConvention = field(default_factory=BitConvention)
    """How the codes of the database are stored."""

    def to_json(self) -> dict[str, Any]:
        """What is asked for, as plain JSON, without passwords.

        Example:
            >>> AuditFiles(item="a.png").to_json()
            {'item': 'a.png'}
        """
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        convention = known.pop("convention")
        record = {
            name: list(map(str, value)) if isinstance(value, tuple) else value
            for name, value in known.items()
            if value not in (None, ())
        }
        texts = {
            name: without_password(str(value)) if isinstance(value, str | Path) else value
            for name, value in record.items()
        }
        return texts | ({} if convention == BitConvention() else {"convention": asdict(convention)})


def check_asked(asked: AuditOptions, files: AuditFiles, *, labelled: bool) -> None:
    """Refuses what asks for a goal or a way that is not there, before anything is computed.

    Args:
        asked: what is measured.
        files: what is read.
        labelled: whether labels are given without a file.

    Raises:
        HashprobeError: a goal without its data, or an option without its goal.
    """
    named = asked.goals or ()
    needs: dict[AuditGoal, tuple[Any, str]] = {
        "enter": (files.block_list, "--block-list"),
        "show": (files.labels or labelled or None, "--labels with labels of queries and items"),
    }
    if files.label is not None and needs["show"][0] is None:
        raise HashprobeError(f"--show-label needs {needs['show'][1]}")
    for goal, (given, option) in needs.items():
        if goal in named and given is None:
            raise HashprobeError(f"goal {goal} needs {option}")
    serves: dict[AuditGoal, tuple[Any, str]] = {
        "enter": (files.block_list, "--block-list"),
        "collide": (files.item, "--item"),
        "show": (files.label, "--show-label"),
        "evade": (files.surrogates or None, "--surrogate"),
    }
    for goal, (given, option) in serves.items():
        if given is not None and not asked.wants(goal):
            raise HashprobeError(f"{option} needs the goal {goal}: add it to --goals")
    if asked.access == "query" and ("show" in named or files.label is not None):
        raise HashprobeError("goal show is attacked by gradients: leave out --access query")
    if asked.mitigate and asked.goals is not None and set(named) <= {"show"}:
        raise HashprobeError("--mitigate measures remedies by the goals evade and collide: add one")
    if files.hardened and asked.goals is not None and set(named) <= {"show"}:
        raise HashprobeError("--hardened is measured by the goals evade and collide: add one")
    if asked.access == "query" and asked.rerank != "none":
        raise HashprobeError("--rerank is attacked by gradients: leave out --access query")
    if files.second_radius is not None:
        check_whole("second radius", files.second_radius, 0, 4096)
    if files.second_hash is not None or files.second_radius is not None:
        if not asked.mitigate:
            raise HashprobeError("a second hash is a remedy: give --mitigate, too")
        if asked.access == "query":
            raise HashprobeError("a second hash is attacked by gradients: leave out --access query")


@checked
@dataclass(frozen=True)
class Limit:
    """A rate that an audit must not exceed, for a pipeline that fails if it does.

    Example:
        >>> Limit.read("evasion@10=0.05")
        Limit(name='evasion', radius=10, most=0.05)
    """

    name: str
    """evasion, collision, hit or false-match."""
    radius: int
    """The radius that it is measured at."""
    most: float
    """The largest rate that is accepted, 0 to 1."""

    @classmethod
    def read(cls, text: str) -> "Limit":
        """A limit as it is written on the command line.

        Args:
            text: MEASURE@RADIUS=RATE.

        Raises:
            HashprobeError: another form, an unknown measure or a rate beyond 1.

        Example:
            >>> Limit.read("evasion=5%")
            Traceback (most recent call last):
            ...
            hashprobe.errors.HashprobeError: a limit is MEASURE@RADIUS=RATE, such as \
evasion@10=0.05, with the measures evasion, collision, hit, false-match; got 'evasion=5%'
        """
        found = LIMIT.fullmatch(text.strip())
        try:
            most = float(found["most"]) if found else math.nan
        except ValueError:
            most = math.nan
        if found is None or found["name"] not in MEASURES or not 0 <= most <= 1:
            raise HashprobeError(
                "a limit is MEASURE@RADIUS=RATE, such as evasion@10=0.05, with the measures "
                f"{', '.join(MEASURES)}; got {text!r:.80}"
            )
        return cls(found["name"], int(found["radius"]), most)
