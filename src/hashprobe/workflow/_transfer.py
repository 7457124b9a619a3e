"""What pictures that are crafted on one victim do to another: a matrix of sources and targets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement, paired_difference
from hashprobe.evaluation.measures import score_average_precision
from hashprobe.evaluation.ranking import Ranking
from hashprobe.report.escape import in_markdown
from hashprobe.report.markdown import table
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import device_of, encode
from hashprobe.victims.ensemble import Ensemble
from hashprobe.workflow.drawing import draw_goal, draw_queries
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Reader
from hashprobe.workflow.run_io import EncodedRun, open_run, pick_device


ALL_OTHERS = "all others"
"""The source that is the ensemble of all victims but the target."""


@dataclass(frozen=True, eq=False)
class TransferMatrix:
    """t-MAP on each target of what was crafted on each source, and by how much it is raised.

    Example:
        >>> [name for name in TransferMatrix.__dataclass_fields__][:2]
        ['sources', 'targets']
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    floor: tuple[Measurement, ...]
    """Of each target: t-MAP of the untouched queries."""
    achieved: tuple[tuple[Measurement, ...], ...]
    """A row a source, a column a target."""
    lift: tuple[tuple[Measurement, ...], ...]
    """Achieved less floor, paired."""
    title: str
    """Attack and budget."""

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "title": self.title,
            "sources": list(self.sources),
            "targets": list(self.targets),
            "floor": [each.to_json() for each in self.floor],
            "achieved": [[each.to_json() for each in row] for row in self.achieved],
            "lift": [[each.to_json() for each in row] for row in self.lift],
        }

    def __str__(self) -> str:
        head = ["crafted on", *map(in_markdown, self.targets)]
        rows = [["(untouched)", *(f"{100 * each.value:.1f}" for each in self.floor)]]
        for name, some, lifts in zip(self.sources, self.achieved, self.lift, strict=True):
            cells = zip(some, lifts, strict=True)
            rows.append([in_markdown(name), *(cell(value, lift) for value, lift in cells)])
        title = f"t-MAP in per cent, and its lift over the untouched: {self.title}"
        return "\n".join([title, "", *table(head, rows)])


def cell(value: Measurement, lift: Measurement) -> str:
    """A t-MAP with its lift and the interval of that."""
    text = f"{100 * value.value:.1f} ({100 * lift.value:+.1f})"
    if lift.low is None or lift.high is None:
        return text
    return f"{text[:-1]} [{100 * lift.low:+.1f}, {100 * lift.high:+.1f}])"


@checked
def transfer_runs(
    runs: Sequence[Path],
    spec: AttackSpec = AttackSpec("nag"),
    *,
    protocol: Protocol = Protocol(),
    runtime: Runtime = Runtime(),
) -> TransferMatrix:
    """Attacks each victim and shows the pictures to all others; from three on, ensembles, too.

    Attacks that need a database (`pta`, `reach`, `sdha-targeted`) take no ensembles.

    Queries and target labels are the same for all. Each source is steered to its own target codes
    of the label, and each target is measured on its own database. On the diagonal the attack sees
    the network that it is judged by.

    Args:
        runs: two or more encoded runs on the same data and of the same picture size.
        spec: a targeted attack with its options and budget; its seed is that of the protocol.
        protocol: which queries, which targets, which measures.
        runtime: device, precision, batch size, who is told.

    Returns:
        t-MAP and lift of every source on every target.

    Raises:
        HashprobeError: fewer than two runs, other data, other sizes, or an untargeted attack.

    Example:
        >>> transfer_runs([Path("runs/one")])
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: a transfer needs two runs or more; got 1
    """
    if len(runs) < 2:
        raise HashprobeError(f"a transfer needs two runs or more; got {len(runs)}")
    others = {"target images", "generator"} & spec.attack.needs
    if spec.attack.goal != "targeted" or others:
        raise HashprobeError(f"a transfer takes an attack to target codes; {spec.name} is another")
    spec = replace(spec, seed=protocol.seed)
    victims = [open_run(path) for path in runs]
    check_same_data(victims)
    device = pick_device(runtime.device)
    for each in victims:
        each.hasher.to(device)
    rows = draw_queries(min(len(each.query) for each in victims), protocol)
    with ExitStack() as scratch:
        ids = victims[0].query.positions[rows]
        clean = Reader(victims[0], runtime, scratch).read(victims[0].data.query, ids)
        clean = replace(clean, ids=tuple(int(i) for i in ids))
        goals = [draw_goal(each, rows, spec, protocol) for each in victims]
        work = Transfer(victims, goals, clean, spec, protocol, runtime)
        return work.matrix(rows)


def check_same_data(victims: list[EncodedRun]) -> None:
    """Refuses runs whose queries are not the same."""
    first = victims[0]
    for each in victims[1:]:
        same = np.array_equal(each.query.positions, first.query.positions)
        if each.data.checksum != first.data.checksum or not same:
            raise HashprobeError(
                f"{each.run.path} and {first.run.path} have other data: a transfer compares "
                "victims on the same queries"
            )
        if each.hasher.contract.size != first.hasher.contract.size:
            raise HashprobeError(
                f"{each.run.path} takes pictures of {each.hasher.contract.size} pixels, "
                f"{first.run.path} of {first.hasher.contract.size}: both must be the same"
            )


@dataclass(frozen=True, eq=False)
class Transfer:
    """Victims with their goals for the same queries."""

    victims: list[EncodedRun]
    goals: list[Goal]
    clean: Queries
    spec: AttackSpec
    protocol: Protocol
    runtime: Runtime

    def matrix(self, rows: np.ndarray) -> TransferMatrix:
        """Every source on every target."""
        names = tuple(each.run.path.name for each in self.victims)
        floor = [
            self.score(at, each.query.codes[rows], None) for at, each in enumerate(self.victims)
        ]
        achieved = []
        for at, each in enumerate(self.victims):
            shown = self.crafted(each.hasher, self.goals[at])
            achieved.append([self.judged(there, shown) for there in range(len(names))])
        sources = names
        # What needs a database of codes has none for the codes of several victims side by side.
        if len(names) > 2 and "database" not in self.spec.attack.needs:
            sources = (*names, ALL_OTHERS)
            achieved.append([self.by_others(there) for there in range(len(names))])
        lift = [
            [self.above(one, under) for one, under in zip(row, floor, strict=True)]
            for row in achieved
        ]
        return TransferMatrix(
            sources,
            names,
            tuple(floor),
            tuple(map(tuple, achieved)),
            tuple(map(tuple, lift)),
            f"{self.spec.attack.title} at {self.spec.budget}",
        )

    def crafted(self, source: Hasher, goal: Goal) -> Queries:
        """The 8-bit pictures that are crafted on a source."""
        found = craft(source, self.clean, goal, self.spec, runtime=self.runtime)
        return Queries(found.images8[:], self.clean.ids)

    def by_others(self, there: int) -> Measurement:
        """What is crafted on all others together, on a target."""
        others = [at for at in range(len(self.victims)) if at != there]
        codes = [self.goals[at].codes for at in others]
        goal = Goal.targeted(
            np.concatenate([each for each in codes if each is not None], axis=1),
            labels=self.goals[there].labels,
        )
        both = Ensemble([self.victims[at].hasher for at in others])
        return self.judged(there, self.crafted(both, goal))

    def judged(self, there: int, shown: Queries) -> Measurement:
        """t-MAP of pictures on a target."""
        hasher = self.victims[there].hasher
        return self.score(there, encode(hasher, shown.on(device_of(hasher))), "uint8")

    def score(self, there: int, codes: PackedCodes, rounding: str | None) -> Measurement:
        """t-MAP of codes on a target's own database."""
        database, labels = self.victims[there].database, self.goals[there].labels
        assert labels is not None
        ranking = Ranking(codes, database.codes, labels, database.labels, "target")
        return score_average_precision("tMAP", ranking, self.protocol.measures(), rounding)

    def above(self, one: Measurement, floor: Measurement) -> Measurement:
        """By how much t-MAP is raised, query by query."""
        return paired_difference(replace(one, signature=floor.signature), floor)
