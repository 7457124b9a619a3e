"""What the tests of crafting do with a victim, its queries and a goal."""

import dataclasses
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.attacks.generator import Generator
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.storage import files
from hashprobe.types import Budget, Runtime


BUDGET = Budget(8 / 255)
OPTIONS = DhtaOptions(steps=5, step_size=0.3)
ARRAYS = (
    "query_ids",
    "target_labels",
    "target_codes",
    "images",
    "images8",
    "codes_float",
    "codes",
    "clean_codes",
    "forwards",
    "backwards",
)


@dataclasses.dataclass(frozen=True)
class Work:
    """A victim, clean queries and where to steer them."""

    victim: Any
    queries: Queries
    goal: Goal

    def but(self, *, pixels=None, ids=None, lengths=None, codes=None, labels=None, victim=None):
        """The same with other parts."""
        queries = Queries(
            self.queries.pixels if pixels is None else pixels,
            self.queries.ids if ids is None else ids,
            self.queries.lengths if lengths is None else lengths,
        )
        goal = dataclasses.replace(
            self.goal,
            codes=self.goal.codes if codes is None else codes,
            labels=self.goal.labels if labels is None else labels,
        )
        return Work(victim or self.victim, queries, goal)


def quick(name, steps=5):
    """An attack's default options, with few steps, or queries to the service, where it has any."""
    options = ATTACKS[name].options()
    fewer = {n: steps for n in ("steps", "query_budget", "updates") if hasattr(options, n)}
    return dataclasses.replace(options, **fewer)


def attack(
    work, name="dhta", options=OPTIONS, *, budget=BUDGET, seed=0, out=None, overwrite=False, **more
):
    """Crafts; target images, where they are wanted and not given, are the mirrored queries."""
    known = ATTACKS.get(name) if isinstance(name, str) else None
    goal = work.goal
    if known and "target images" in known.needs and goal.images is None:
        mirrored = Queries(work.queries.pixels.flip(-1), lengths=work.queries.lengths)
        goal = dataclasses.replace(goal, images=mirrored)
    if known and "database" in known.needs and goal.known is None:
        some = np.eye(2, dtype=bool)[np.arange(len(goal.codes)) % 2]
        stored = Codes(PackedCodes.from_signs(goal.codes >= 0), some)
        goal = dataclasses.replace(goal, known=stored, labels=some, own_labels=~some)
    if known and "generator" in known.needs and goal.generator is None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = Generator(goal.labels.shape[1], 8)
        goal = dataclasses.replace(goal, generator=made)
    spec = AttackSpec.of(name, options, budget=budget, seed=seed)
    runtime = Runtime(**{"batch_size": 2, **more})
    return craft(
        work.victim, work.queries, goal, spec, runtime=runtime, out=out, overwrite=overwrite
    )


def assert_same(one, other, names=ARRAYS):
    """Refuses two results that differ in an array."""
    for name in names:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, PackedCodes):
            a, b = a.data, b.data
        if name in ("images", "images8"):
            a, b = a[:], b[:]  # in memory or in files
        assert np.array_equal(np.asarray(a), np.asarray(b)), name


def contents(folder):
    """Every file but for the time that an attack took."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".npz":
            arrays = files.read_npz(path)
            del arrays["seconds"]
            seen[path.name] = {name: array.tobytes() for name, array in arrays.items()}
        elif path.is_file():
            seen[path.name] = path.read_bytes()
    return seen


class Told:
    """Progress that keeps what it is told, and calls back at every tick."""

    def __init__(self, at_tick=lambda *_: None):
        self.lines, self.ticks, self.at_tick = [], [], at_tick

    def log(self, text):
        self.lines.append(text)

    @contextmanager
    def bar(self, title):
        def tick(done, most):
            self.ticks.append((done, most))
            self.at_tick(done, most)

        yield tick


class Killed(Exception):
    """Stands for a process that dies."""
