"""The attacks that every run of a comparison goes through."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import cached_property
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
from hashprobe.defenses.defended import Defended
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.storage.lock import hold
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import frozen_eval
from hashprobe.victims.encoding import device_of, encode
from hashprobe.workflow.attack_step import RUN_SEED, attack_run, default_name
from hashprobe.workflow.comparison import CompareOptions, Trial
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Drawn, Reader, draw
from hashprobe.workflow.run_io import EncodedRun, pick_device


HUGE = 64 / 255
"""A budget within which every network must give way."""
CHUNK = 32
"""Queries that are encoded at once."""
DIGITS = 8
"""Of the checksum of a preprocessor's weights, in names of folders."""
MAINSTAY, SQUARE, NOISE = "mainstay", "square", "noise"
"""The attack that is repeated from several random points, the one that only asks, and noise."""


@dataclass(frozen=True, eq=False)
class Bench:
    """One run of a comparison, and the attacks that it goes through."""

    victim: EncodedRun
    options: CompareOptions
    runtime: Runtime

    @property
    def protocol(self) -> Protocol:
        """Which queries, which targets, which measures."""
        asked = self.options
        return Protocol(
            queries=asked.queries,
            seed=asked.seed,
            minimum=asked.n_t,
            top=asked.top,
            exclude_training=asked.exclude_training,
        )

    @property
    def behind(self) -> str:
        """What the preprocessor in front of the run adds to the names of folders.

        One that is trained has the first digits of its weights' checksum there: each training of it
        is another victim.
        """
        hasher = self.victim.hasher
        if not isinstance(hasher, Defended):
            return ""
        weights = hasher.remedy.get("weights")
        return f"-{hasher.preprocessor.name}" + (f"-{weights[:DIGITS]}" if weights else "")

    @property
    def voted(self) -> str:
        """What another number of voters than the default one adds to the names of folders."""
        n_t = self.options.n_t
        return "" if n_t == CompareOptions.n_t else f"-{n_t}voters"

    @property
    def budget(self) -> Budget:
        """How far a pixel may move."""
        return Budget(self.options.eps)

    @cached_property
    def drawn(self) -> Drawn:
        """The queries, and what the measures leave out."""
        rows = draw_queries(len(self.victim.query), self.protocol)
        with ExitStack() as scratch:
            reader = Reader(self.victim, self.runtime, scratch)
            found = draw(rows, self.margin(self.budget, 1, 0), self.protocol, reader)
            return replace(found, clean=replace(found.clean, pixels=found.clean.pixels.clone()))

    @cached_property
    def away(self) -> Goal:
        """Away from the vote of all database codes that share a label with each query."""
        return Goal.targeted(-own_anchors(self.victim, self.drawn.rows))

    def specs(self) -> Iterator[tuple[str, str, AttackSpec]]:
        """The attacks that are kept among those of the run: key, title, what is asked.

        They are those of the registry that are given gradients, noise, and the default one. One
        that trains a network for each victim takes minutes: it is met where it is asked for.
        """
        asked = self.options.attacks
        for name, attack in ATTACKS.items():
            if attack.access != "white" or name in (DEFAULT, MAINSTAY):
                continue
            if name in (*asked, NOISE) or not (asked or "generator" in attack.needs):
                options = self.tuned(attack.options())
                yield name, attack.title, AttackSpec(name, options, self.budget)
        for key, steps, restarts in self.lengths(DEFAULT):
            title = f"{ATTACKS[DEFAULT].title}, {self.length_text(steps, restarts)}"
            yield key, title, self.margin(self.budget, steps, restarts)

    def trials(self) -> Iterator[tuple[Trial, Evaluation]]:
        """What each of these attacks does to the run, with all that was measured."""
        for key, title, spec in self.specs():
            found = self.attacked(key, spec)
            gradients = "gradients" in spec.attack.needs
            yield Trial(key, title, found.map_attacked, found.achieved, gradients), found

    def driven_away(self) -> tuple[list[Trial], AttackResult]:
        """The ways away from the own anchor, and the queries after the longest of them."""
        trials = []
        for key, steps, restarts in self.lengths("away"):
            moved = self.driven(self.away, self.margin(self.budget, steps, restarts))
            title = f"away, {self.length_text(steps, restarts)}"
            trials.append(Trial(key, title, self.scored(moved.codes)))
        return trials, moved

    def mainstay(self) -> Trial:
        """The mainstay attack from several random points: each query as its MAP is lowest."""
        attack, options = ATTACKS[MAINSTAY], self.options
        spec = AttackSpec(MAINSTAY, self.tuned(attack.options()), self.budget, options.seed)
        starts = [replace(spec, seed=spec.seed + n * RUN_SEED) for n in range(options.restarts + 1)]
        codes = [self.driven(self.drawn.goal, one).codes for one in starts]
        aps = np.stack([self.scored(one).per_query for one in codes])
        chosen = aps.argmin(0)
        signs = np.stack([one.signs() for one in codes])[chosen, np.arange(len(chosen))]
        title = f"{attack.title}, {steps_text(options.more_steps)}"
        return Trial(MAINSTAY, title, self.scored(PackedCodes.from_signs(signs)))

    def asking(self) -> Trial:
        """Away from the own anchor by what a service answers, without gradients."""
        most = self.options.query_budget
        known = self.tuned(ATTACKS[SQUARE].options(query_budget=most))
        moved = self.driven(self.away, AttackSpec(SQUARE, known, self.budget, self.options.seed))
        title = f"query-only, {most} asked"
        return Trial("query-only", title, self.scored(moved.codes), gradients=False)

    def transferred(self, moved: AttackResult) -> Trial:
        """What was made of the queries of another run."""
        codes = encoded(self.victim, moved, self.runtime)
        return Trial("transfer", "transfer", self.scored(codes), gradients=False)

    def beyond_huge(self) -> Measurement | None:
        """t-MAP within a huge budget, less that of the target codes."""
        spec = self.margin(Budget(HUGE), self.options.more_steps, 0)
        found = self.attacked("huge", spec)
        if found.achieved is None or found.ceiling is None:
            return None
        return found.achieved - replace(found.ceiling, signature=found.achieved.signature)

    def tuned(self, options: Any) -> Any:
        """Options with as many steps and voters as every attack has here, and steps that fit the
        pictures."""
        there = {one.name: getattr(options, one.name) for one in fields(options)}
        given = {"steps": self.options.more_steps, "n_t": self.options.n_t}
        if there.get("n_t") == 1:  # an attack whose target code is no vote
            del given["n_t"]
        made = replace(options, **{name: given[name] for name in given if name in there})
        if getattr(options, "step", None) != "unit":
            return made
        try:
            return replace(made, step="scaled")
        except HashprobeError:  # steps of another kind, whose length is not that of a picture
            return made

    def lengths(self, name: str) -> tuple[tuple[str, int, int], ...]:
        """The shorter and the longer form of an attack, where they differ: key, steps, restarts."""
        options = self.options
        forms = (name, options.steps, 0), (f"{name}-more", options.more_steps, options.restarts)
        return forms[:1] if forms[0][1:] == forms[1][1:] else forms

    def length_text(self, steps: int, restarts: int) -> str:
        """What tells the forms of an attack apart: the steps, or else the restarts."""
        same = restarts and self.options.steps == self.options.more_steps
        return steps_text(steps) + (f", restarts {restarts}" if same else "")

    def margin(self, budget: Budget, steps: int, restarts: int) -> AttackSpec:
        """The default attack."""
        options = ATTACKS[DEFAULT].options()
        options = replace(options, steps=steps, restarts=restarts, n_t=self.options.n_t)
        return AttackSpec(DEFAULT, options, budget, self.options.seed)

    def attacked(self, key: str, spec: AttackSpec) -> Evaluation:
        """An attack of the registry, kept among the attacks of the run."""
        steps = getattr(spec.options, "steps", 0)
        name = f"{default_name(f'compare-{key}', spec.budget, self.options.seed)}-{steps}"
        name += f"-of{self.options.queries}{started(spec)}{self.voted}{self.behind}"
        return attack_run(
            self.victim, spec, protocol=self.protocol, name=name, runtime=self.runtime
        )

    def driven(self, goal: Goal, spec: AttackSpec) -> AttackResult:
        """Queries after an attack that is kept beside those of the run: other goals or seeds."""
        victim, count = self.victim, len(self.drawn.rows)
        what = "away" if spec.name == DEFAULT else spec.name
        length = getattr(spec.options, "steps", self.options.query_budget)
        name = f"{default_name(what, spec.budget, spec.seed)}-{length}-of{count}{started(spec)}"
        name += self.voted + self.behind
        victim.hasher.to(pick_device(self.runtime.device))
        with hold(victim.run.path):
            return craft(
                victim.hasher,
                replace(self.drawn.clean, labels=None),
                goal,
                spec,
                runtime=self.runtime,
                out=victim.run.path / "compare" / name,
            )

    def scored(self, codes: PackedCodes) -> Measurement:
        """MAP of the queries by their own labels, with such codes."""
        victim, drawn = self.victim, self.drawn
        found = evaluate_attack(
            AttackCodes(query=victim.query.codes[drawn.rows], attacked=codes),
            victim.database.labelled,
            query_labels=victim.query.labels[drawn.rows],
            options=self.protocol.measures(),
            exclusion=drawn.left_out,
        )
        assert found.map_attacked is not None
        return found.map_attacked

    def saturated(self) -> float:
        """Share of the bits of clean queries whose tanh is beyond 0.999."""
        hasher = self.victim.hasher.to(pick_device(self.runtime.device))
        some = self.drawn.clean.take(slice(CHUNK)).on(device_of(hasher))
        with frozen_eval(hasher), torch.no_grad():
            logits: torch.Tensor = hasher(*some.given)
        return float((logits.tanh().abs() > 0.999).float().mean())


def steps_text(steps: int) -> str:
    """A number of steps in words.

    Example:
        >>> steps_text(1), steps_text(50)
        ('1 step', '50 steps')
    """
    return f"{steps} step{'s' * (steps != 1)}"


def started(spec: AttackSpec) -> str:
    """What further starts of an attack add to the name of its folder."""
    restarts = getattr(spec.options, "restarts", 0)
    return f"-{restarts}restarts" if restarts else ""


def check_white(names: tuple[str, ...]) -> None:
    """Refuses names of attacks that are not given gradients, or that there are not."""
    for name in names:
        if attack_named(name).access != "white":
            raise HashprobeError(
                f"compare takes attacks that are given gradients; {name} is not: run hashprobe "
                f"attack {name}"
            )


def own_anchors(victim: EncodedRun, rows: np.ndarray) -> Int8[np.ndarray, "q k"]:
    """The vote of all database codes that share a label with each query."""
    relevant = victim.query.labels[rows].astype(np.float32) @ victim.database.labels.T > 0
    sums = relevant.astype(np.float32) @ victim.database.codes.signs().astype(np.float32)
    return np.where(sums >= 0, 1, -1).astype(np.int8)


def encoded(victim: EncodedRun, moved: AttackResult, runtime: Runtime) -> PackedCodes:
    """The codes that a run gives for queries that were made against another one."""
    assert moved.clean is not None
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
