"""A suite of attacks without parameters: each query meets the next attack only while it stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec, attack_named
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.runner import craft
from hashprobe.data.arrays import as_queries
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.measures import score_average_precision
from hashprobe.evaluation.ranking import Ranking
from hashprobe.storage.files import write_json
from hashprobe.storage.lock import hold
from hashprobe.types import Budget, Labels, Runtime
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.wrap import as_victim
from hashprobe.workflow.attack_step import size_name
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Reader, draw
from hashprobe.workflow.run_io import open_run, pick_device
from hashprobe.workflow.suite_flags import SHOWN, Flag, flags_of
from hashprobe.workflow.suite_words import SHARES, as_text


FALLEN = 0.1
"""A query has fallen when its AP is at most this share of that of the clean query."""
MEMBERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("noise", {}),
    ("pta-untargeted", {}),
    ("bit-margin", {}),
    ("worst-code", {}),
    ("feature", {}),
    ("mainstay", {}),
    ("square", {"query_budget": SHOWN}),
)
"""The attacks with what differs from their defaults, the cheapest first; `feature` where there are
target images and features. Before `square` comes the transfer from a surrogate, if one is given."""


@dataclass(frozen=True)
class Member:
    """What one attack of a suite did.

    Example:
        >>> Member("noise", asked=9, felled=1, map_attacked=0.7, passes=0.0, seconds=0.1).asked
        9
    """

    attack: str
    """Its name; `transfer` for the default attack on a surrogate."""
    asked: int
    """Queries that still stood when it came."""
    felled: int
    """How many of them it felled."""
    map_attacked: float
    """Mean AP by the own label of the queries that it was asked, after it alone."""
    passes: float
    """Forward and backward passes per query."""
    seconds: float
    """Of the attack itself, kept with its results."""


@dataclass(frozen=True, eq=False)
class SuiteResult:
    """What is left of a victim after every attack.

    Example:
        >>> [field for field in SuiteResult.__dataclass_fields__][:2]
        ['clean', 'worst']
    """

    clean: Measurement
    """MAP by own labels of the clean queries."""
    worst: Measurement
    """MAP of each query's worst case over all attacks."""
    members: tuple[Member, ...]
    """In the order in which they came."""
    felled_by: tuple[str, ...]
    """For each query the attack that felled it; empty where it stands."""
    flags: tuple[Flag, ...]
    """What speaks against the numbers; see `Flag`."""
    budget: Budget
    seconds: float
    """All of the time of this call; little where it was resumed."""

    @property
    def standing(self) -> int:
        """Queries that no attack felled."""
        return sum(not name for name in self.felled_by)

    @property
    def raised(self) -> tuple[Flag, ...]:
        """The flags that are raised: with one of them a victim is not called robust."""
        return tuple(flag for flag in self.flags if flag.raised)

    def fallen(self, share: float) -> float:
        """The share of queries whose worst AP is at most that share of the clean one."""
        return float(fallen(self.worst.per_query, self.clean.per_query, share).mean())

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "budget": self.budget.to_json(),
            "map_clean": self.clean.to_json(),
            "map_worst": self.worst.to_json(),
            "standing": self.standing,
            "fallen": {str(share): self.fallen(share) for share in SHARES},
            "members": [vars(member) for member in self.members],
            "felled_by": list(self.felled_by),
            "flags": [vars(flag) for flag in self.flags],
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        return as_text(self)


@dataclass(frozen=True, eq=False)
class Case:
    """What a suite is run on."""

    victim: Hasher
    queries: Queries
    """Clean, uint8."""
    goal: Goal
    """Target codes and labels, own labels, the known database, target images where there are."""
    own: Labels
    database: Codes
    options: MeasureOptions
    budget: Budget
    runtime: Runtime
    seed: int = 0
    surrogate: Hasher | None = None
    out: Path | None = None

    def aps(self, codes: PackedCodes, rows: np.ndarray) -> Measurement:
        """MAP by own labels, with the AP of each query."""
        labels = self.database.labels
        assert labels is not None
        ranking = Ranking(codes, self.database.packed, self.own[rows], labels)
        return score_average_precision("MAP", ranking, self.options, "uint8")

    def craft(self, attack: str, rows: np.ndarray, **more: Any) -> Any:
        """Attacks some of the queries with an attack of the registry."""
        budget, seed = more.pop("budget", self.budget), more.pop("seed", self.seed)
        name, known = more.pop("name", attack), attack_named(attack)
        goal = self.goal.take(rows)
        if known.goal == "untargeted":
            goal = replace(goal, codes=None, labels=None, members=None)
        if "target images" not in known.needs:
            goal = replace(goal, images=None)
        spec = AttackSpec(attack, known.options(**more), budget, seed)
        return self.kept(name, self.victim, rows, goal, spec)

    def kept(
        self, name: str, victim: Hasher, rows: np.ndarray, goal: Goal, spec: AttackSpec
    ) -> Any:
        """Attacks some of the queries; what is finished is taken from the folder of that name."""
        out = None if self.out is None else self.out / name
        some = self.queries.take(rows)
        # What an earlier suite with other measures left there is of other queries.
        return craft(victim, some, goal, spec, runtime=self.runtime, out=out, overwrite=True)


@checked
def attack_suite(
    victim: Any,
    queries: Any,
    database: Codes,
    *,
    labels: Any,
    eps: float | Budget = 8 / 255,
    surrogate: Any = None,
    top: int | None = None,
    seed: int = 0,
    runtime: Runtime = Runtime(),
    out: str | Path | None = None,
) -> SuiteResult:
    """Attacks queries with a fixed suite, the cheapest attack first, and keeps each worst case.

    A query meets the next attack only while its AP by its own label is above a tenth of the clean
    one. Nothing is tuned. The flags say where the numbers must not be read as robustness.

    Args:
        victim: a `Victim`, or any torch module from pixels in [0, 1] to (Q, K) logits.
        queries: (Q, 3, H, W) images, uint8 or floating in [0, 1].
        database: codes with labels, from `Victim.encode`; the adversary knows all of it.
        labels: (Q,) classes or (Q, C) multi-hot labels of the queries.
        eps: how far a pixel may move, in [0, 1] units; or a `Budget`.
        surrogate: another victim on which pictures are crafted, too; of the same code length.
        top: length of the list of MAP; None for the whole database.
        seed: 0 or above; decides on what is random.
        runtime: precision of gradients, batch size, who is told.
        out: folder to keep finished queries in, and to resume from.

    Returns:
        Who felled which query at which cost, the worst case, and the flags; print it.

    Raises:
        HashprobeError: whatever does not fit; the message says what was seen and what to do.

    Example:
        >>> import torch
        >>> from hashprobe.victims import Victim
        >>> generator = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 12))
        >>> victim, images = Victim(net, bits=12, size=8), torch.rand(40, 3, 8, 8)
        >>> database = victim.encode(images[4:], labels=[0, 1] * 18)
        >>> done = attack_suite(victim, images[:4], database, labels=[0, 1, 0, 1])
        >>> [member.attack for member in done.members][:2], len(done.felled_by)
        (['noise', 'pta-untargeted'], 4)
    """
    from hashprobe.attacks.targets import targets

    asked = as_queries(queries)
    own = as_labels(labels, labels_of(database).shape[1])
    least = min(9, int(labels_of(database).sum(0).min()))
    goal = targets(database, avoid=own, n_t=max(1, least), seed=seed, code="mean-difference")
    case = Case(
        as_victim(victim, asked.pixels),
        asked,
        goal,
        own,
        database,
        MeasureOptions(top),
        eps if isinstance(eps, Budget) else Budget(eps),
        runtime,
        seed,
        None if surrogate is None else as_victim(surrogate, asked.pixels),
        None if out is None else Path(out),
    )
    return run_suite(case)


@checked
def suite_run(
    run: Path,
    *,
    budget: Budget = Budget(),
    protocol: Protocol = Protocol(),
    surrogate: Path | None = None,
    runtime: Runtime = Runtime(),
) -> SuiteResult:
    """`attack_suite` on queries of an encoded run; kept in suites/NAME, and resumed from there.

    Args:
        run: the run folder.
        budget: how far a pixel may move.
        protocol: which queries, which targets, which measures.
        surrogate: another run, of the same code length and picture size.
        runtime: device, precision, batch size, who is told.

    Returns:
        The result, also in suites/NAME/suite.json and suite.md.

    Raises:
        HashprobeError: the run is not encoded, or the surrogate does not fit.

    Example:
        >>> suite_run(Path("/tmp/no-such-run"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ...
    """
    victim = open_run(run)
    other = None if surrogate is None else open_run(surrogate).hasher
    hasher = victim.hasher.to(pick_device(runtime.device))
    lay_channels_last(hasher)
    if other is not None and other.contract.size != hasher.contract.size:
        raise HashprobeError(
            f"the surrogate takes pictures of {other.contract.size} pixels, the victim of "
            f"{hasher.contract.size}: give one of the same size"
        )
    name = f"{size_name(budget)}-{protocol.queries}-seed{protocol.seed}"
    folder = victim.run.path / "suites" / name
    with hold(victim.run.path), ExitStack() as scratch:
        reader = Reader(victim, runtime, scratch)
        rows = draw_queries(len(victim.query), protocol)
        aimed = replace(protocol, target_code=protocol.target_code or "mean-difference")
        drawn = draw(rows, AttackSpec("bit-margin", seed=protocol.seed), aimed, reader)
        assert drawn.goal.members is not None
        first = victim.database.positions[drawn.goal.members[:, 0]]
        goal = replace(drawn.goal, images=reader.read(victim.data.database, first))
        case = Case(
            hasher,
            drawn.clean,
            goal,
            victim.query.labels[rows],
            victim.database.labelled,
            protocol.measures(),
            budget,
            runtime,
            protocol.seed,
            other,
            folder,
        )
        result = run_suite(case)
        write_json(folder / "suite.json", result.to_json())
        (folder / "suite.md").write_text(f"{result}\n")
    return result


def run_suite(case: Case) -> SuiteResult:
    """The attacks one after the other, and the flags."""
    begin = time.perf_counter()
    everyone = np.arange(len(case.queries))
    say = case.runtime.progress.log
    clean = case.aps(clean_codes(case), everyone)
    worst = clean.per_query.copy()
    felled_by = [""] * len(everyone)
    members: list[Member] = []
    standing = everyone
    for name, how in plan(case):
        if not len(standing):
            break
        attacked = how(standing)
        aps = case.aps(attacked.codes, standing).per_query
        worst[standing] = np.minimum(worst[standing], aps)
        down = fallen(worst[standing], clean.per_query[standing], FALLEN)
        for row in standing[down]:
            felled_by[row] = name
        passes = float((attacked.forwards + attacked.backwards).mean())
        counts = len(standing), int(down.sum())
        members.append(Member(name, *counts, float(aps.mean()), passes, attacked.seconds))
        say(f"{name}: {counts[1]} of {counts[0]} queries fell, {attacked.seconds:.0f} s")
        standing = standing[~down]
    flags = flags_of(case, worst)
    say(f"{sum(flag.raised for flag in flags)} of {len(flags)} flags are raised")
    lowest = Measurement.of(worst, f"worst {clean.signature}", case.options.bootstrap)
    return SuiteResult(
        clean,
        lowest,
        tuple(members),
        tuple(felled_by),
        tuple(flags),
        case.budget,
        time.perf_counter() - begin,
    )


def plan(case: Case) -> list[tuple[str, Callable[[np.ndarray], Any]]]:
    """The attacks by name, each as a function of the queries that still stand."""
    steps: list[tuple[str, Callable[[np.ndarray], Any]]] = []
    for name, more in MEMBERS:
        if name == "feature" and not (case.goal.images and has_features(case.victim)):
            continue
        if name == "square" and case.surrogate is not None:
            steps.append(("transfer", partial(transferred, case)))
        steps.append((name, partial(case.craft, name, **more)))
    return steps


def has_features(victim: Hasher) -> bool:
    """Whether the victim has a layer whose input the feature attack can take."""
    from hashprobe.victims.backbones import last_linear

    try:
        last_linear(victim)
    except HashprobeError:
        return False
    return True


def transferred(case: Case, rows: np.ndarray) -> Any:
    """The default attack away from the surrogate's own codes, judged by the victim."""
    from hashprobe.victims.encoding import device_of, encode

    assert case.surrogate is not None
    some = case.queries.take(rows)
    there = encode(case.surrogate, some.on(device_of(case.surrogate)))
    spec = AttackSpec("bit-margin", budget=case.budget, seed=case.seed)
    goal = Goal.targeted(-there.signs())
    found = case.kept("transfer", case.surrogate, rows, goal, spec)
    seen = Queries(found.images8[:], some.ids, some.lengths).on(device_of(case.victim))
    return replace(found, codes=encode(case.victim, seen))


def clean_codes(case: Case) -> PackedCodes:
    """The judged codes of the clean queries."""
    from hashprobe.victims.encoding import device_of, encode

    return encode(case.victim, case.queries.on(device_of(case.victim)))


def fallen(
    worst: Float64[np.ndarray, " q"], clean: Float64[np.ndarray, " q"], share: float
) -> np.ndarray:
    """Whose AP is at most a share of the clean one; a clean AP of 0 has nothing to lose."""
    down: np.ndarray = worst <= share * clean
    return down
