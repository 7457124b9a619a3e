"""Puts runs through the same attacks: what a defence is worth."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int8

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, DEFAULT, AttackSpec, attack_named
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.storage.lock import hold
from hashprobe.storage.records import as_record
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import frozen_eval
from hashprobe.victims.checkpoint import Training, load_checkpoint
from hashprobe.victims.encoding import device_of, encode
from hashprobe.workflow.attack_step import attack_run, default_name
from hashprobe.workflow.comparison import (
    Compared,
    CompareOptions,
    Comparison,
    Trial,
    flags_of,
)
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Drawn, Reader, draw
from hashprobe.workflow.run_io import EncodedRun, open_run, pick_device


HUGE = 64 / 255
"""A budget within which every network must give way."""
CHUNK = 32
"""Queries that are encoded at once."""


def compare_runs(
    runs: Sequence[Path],
    options: CompareOptions = CompareOptions(),
    runtime: Runtime = Runtime(),
) -> Comparison:
    """Judge runs by the same attacks on the same queries: every attack with gradients there is.

    Beside the attacks of the registry, queries are driven away from the vote of all database codes
    that share a label with them, which is the strongest goal against a training that holds on to
    anchors; and the queries that this made of the first run are shown to the others (transfer).
    All of it is kept in the runs, and the same call goes on where it was stopped.

    Args:
        runs: encoded runs of the same data, the undefended one first.
        options: budget, queries, steps.
        runtime: device, precision of gradients, batch size, who is told.

    Returns:
        One record a run, with flags of what speaks against taking its numbers for robustness.

    Raises:
        HashprobeError: no run, one that is not encoded, or runs of other data or input sizes.

    Example:
        >>> compare_runs([])
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: compare needs one run or more
    """
    if not runs:
        raise HashprobeError("compare needs one run or more")
    for attack in options.attacks:
        if attack_named(attack).access != "white":
            raise HashprobeError(
                f"compare takes attacks that are given gradients; {attack} is not: run hashprobe "
                f"attack {attack}"
            )
    if len({path.resolve() for path in runs}) < len(runs):
        raise HashprobeError("compare was given a run twice: name each run once")
    opened = [open_run(path) for path in runs]
    check_same(opened)
    bench = Bench(options, runtime)
    compared = []
    moved: AttackResult | None = None
    for path, victim in zip(runs, opened, strict=True):
        runtime.progress.log(f"comparing {path}")
        found, away = bench.judge(str(path), victim, moved)
        moved = moved or away
        compared.append(found)
    return Comparison(tuple(compared), options)


def check_same(runs: Sequence[EncodedRun]) -> None:
    """Refuses runs whose queries or databases differ."""
    first = runs[0]
    for other in runs[1:]:
        names = first.run.path, other.run.path
        if first.data.checksum != other.data.checksum:
            raise HashprobeError(f"{names[0]} and {names[1]} are of other data: compare like runs")
        same = all(
            np.array_equal(getattr(first, part).positions, getattr(other, part).positions)
            for part in ("query", "database")
        )
        if not same:
            raise HashprobeError(
                f"{names[0]} and {names[1]} have other queries or databases: encode them alike"
            )


@dataclass(frozen=True)
class Bench:
    """The attacks that every run goes through."""

    options: CompareOptions
    runtime: Runtime

    @property
    def protocol(self) -> Protocol:
        """Which queries, which targets, which measures."""
        asked = self.options
        return Protocol(
            queries=asked.queries,
            seed=asked.seed,
            top=asked.top,
            exclude_training=asked.exclude_training,
        )

    def judge(
        self, name: str, victim: EncodedRun, moved: AttackResult | None
    ) -> tuple[Compared, AttackResult]:
        """One run under all attacks, and its queries after the strongest one."""
        options, budget = self.options, Budget(self.options.eps)
        trials, clean = [], None
        for key, title, spec in self.specs(budget):
            found = self.attacked(victim, key, spec)
            clean = clean or found.map_clean
            gradients = "gradients" in spec.attack.needs or spec.name == "noise"
            trials.append(Trial(key, title, found.map_attacked, found.achieved, gradients))
        drawn = self.drawn(victim)
        goal = Goal.targeted(-own_anchors(victim, drawn.rows))
        away = None
        for key, steps, restarts in self.lengths("away"):
            away = self.driven(victim, drawn, goal, self.margin(budget, steps, restarts))
            found = self.scored(victim, drawn, away.codes)
            trials.append(Trial(key, f"away, {steps} steps", found.map_attacked))
        assert away is not None
        if moved is not None:
            codes = encoded(victim, moved, self.runtime)
            found = self.scored(victim, drawn, codes)
            trials.append(Trial("transfer", "transfer", found.map_attacked, gradients=False))
        huge = self.attacked(victim, "huge", self.margin(Budget(HUGE), options.more_steps, 0))
        short = None
        if huge.achieved is not None and huge.ceiling is not None:
            short = huge.achieved - replace(huge.ceiling, signature=huge.achieved.signature)
        flags = flags_of(clean, trials, saturated(victim, drawn.clean, self.runtime), short)
        known = training_of(victim)
        defence = known.get("defence", {})
        return (
            Compared(
                name,
                defence.get("name", "none"),
                clean,
                known.get("seconds"),
                tuple(trials),
                flags,
                defence,
            ),
            away,
        )

    def specs(self, budget: Budget) -> Iterator[tuple[str, str, AttackSpec]]:
        """Every attack of the registry that is given the victim's gradients, and noise.

        One that trains a network for each victim takes minutes and is met where it is asked for.
        """
        asked = self.options.attacks
        for name, attack in ATTACKS.items():
            if attack.access != "white" or name == DEFAULT or (asked and name not in asked):
                continue
            if "generator" in attack.needs and name not in (asked or ()):
                continue
            yield name, attack.title, AttackSpec(name, self.tuned(attack.options()), budget)
        for key, steps, restarts in self.lengths(DEFAULT):
            title = f"{ATTACKS[DEFAULT].title}, {steps} steps"
            yield key, title, self.margin(budget, steps, restarts)

    def tuned(self, options: Any) -> Any:
        """Options with as many steps as every attack has here, and steps that fit the pictures."""
        names = {one.name for one in fields(options)}
        given: dict[str, Any] = {"steps": self.options.more_steps} if "steps" in names else {}
        made = replace(options, **given)
        if getattr(options, "step", None) != "unit":
            return made
        try:
            return replace(made, step="scaled")
        except HashprobeError:  # steps of another kind, whose length is not that of a picture
            return made

    def lengths(self, name: str) -> tuple[tuple[str, int, int], ...]:
        """The shorter and the longer form of an attack: key, steps, restarts."""
        options = self.options
        return (
            (name, options.steps, 0),
            (f"{name}-more", options.more_steps, options.restarts),
        )

    def margin(self, budget: Budget, steps: int, restarts: int) -> AttackSpec:
        """The default attack."""
        options = replace(ATTACKS[DEFAULT].options(), steps=steps, restarts=restarts)
        return AttackSpec(DEFAULT, options, budget, self.options.seed)

    def attacked(self, victim: EncodedRun, key: str, spec: AttackSpec) -> Evaluation:
        """An attack of the registry, kept among the attacks of the run."""
        steps = getattr(spec.options, "steps", 0)
        name = f"{default_name(f'compare-{key}', spec.budget, self.options.seed)}-{steps}"
        name += f"-of{self.options.queries}"
        return attack_run(victim, spec, protocol=self.protocol, name=name, runtime=self.runtime)

    def drawn(self, victim: EncodedRun) -> Drawn:
        """The queries, and what the measures leave out."""
        rows = draw_queries(len(victim.query), self.protocol)
        with ExitStack() as scratch:
            spec = AttackSpec(DEFAULT, budget=Budget(self.options.eps))
            found = draw(rows, spec, self.protocol, Reader(victim, self.runtime, scratch))
            return replace(found, clean=replace(found.clean, pixels=found.clean.pixels.clone()))

    def driven(
        self, victim: EncodedRun, drawn: Drawn, goal: Goal, spec: AttackSpec
    ) -> AttackResult:
        """Queries that are driven to other codes than those that a protocol draws."""
        name = default_name("away", spec.budget, self.options.seed)
        folder = victim.run.path / "compare" / f"{name}-{spec.options.steps}-of{len(drawn.rows)}"
        victim.hasher.to(pick_device(self.runtime.device))
        with hold(victim.run.path):
            return craft(
                victim.hasher,
                replace(drawn.clean, labels=None),
                goal,
                spec,
                runtime=self.runtime,
                out=folder,
            )

    def scored(self, victim: EncodedRun, drawn: Drawn, codes: PackedCodes) -> Evaluation:
        """MAP of some queries by their own labels."""
        return evaluate_attack(
            AttackCodes(query=victim.query.codes[drawn.rows], attacked=codes),
            victim.database.labelled,
            query_labels=victim.query.labels[drawn.rows],
            options=self.protocol.measures(),
            exclusion=drawn.left_out,
        )


def own_anchors(victim: EncodedRun, rows: np.ndarray) -> Int8[np.ndarray, "q k"]:
    """The vote of all database codes that share a label with each query."""
    relevant = victim.query.labels[rows].astype(np.float32) @ victim.database.labels.T > 0
    sums = relevant.astype(np.float32) @ victim.database.codes.signs().astype(np.float32)
    return np.where(sums >= 0, 1, -1).astype(np.int8)


def encoded(victim: EncodedRun, moved: AttackResult, runtime: Runtime) -> PackedCodes:
    """The codes that a run gives for queries that were made against another one."""
    assert moved.clean is not None
    size = victim.hasher.contract.size
    if moved.clean.pixels.shape[-1] != size:
        raise HashprobeError(
            f"{victim.run.path} takes {size} px and the first run "
            f"{moved.clean.pixels.shape[-1]} px: compare runs of one size"
        )
    victim.hasher.to(pick_device(runtime.device))
    device, parts = device_of(victim.hasher), []
    for begin in range(0, len(moved), CHUNK):
        part = slice(begin, begin + CHUNK)
        lengths = moved.clean.lengths
        some = Queries(
            torch.as_tensor(moved.images8[part]),
            lengths=None if lengths is None else lengths[part],
        )
        parts.append(encode(victim.hasher, some.on(device)).signs())
    return PackedCodes.from_signs(np.concatenate(parts))


def saturated(victim: EncodedRun, clean: Queries, runtime: Runtime) -> float:
    """Share of the bits of clean queries whose tanh is beyond 0.999."""
    victim.hasher.to(pick_device(runtime.device))
    some = clean.take(slice(CHUNK)).on(device_of(victim.hasher))
    with frozen_eval(victim.hasher), torch.no_grad():
        logits: torch.Tensor = victim.hasher(*some.given)
    return float((logits.tanh().abs() > 0.999).float().mean())


def training_of(victim: EncodedRun) -> dict[str, Any]:
    """What the checkpoint of a run says of its training."""
    known = dict(load_checkpoint(victim.run.path / "model")[1].training)
    as_record({k: v for k, v in known.items() if k in ("loss", "epochs", "seconds")}, Training)
    return known
