"""Shards of queries that workers attack: what they are sent, and what they send back."""

from copy import deepcopy
from dataclasses import dataclass, replace

import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.crafting.chunk import Chunk
from hashprobe.crafting.deterministic import repeatable
from hashprobe.crafting.kept import Kept
from hashprobe.crafting.query_files import QueryRecord
from hashprobe.data.queries import Queries
from hashprobe.progress import Silent
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import device_of


@dataclass(frozen=True, eq=False)
class Work:
    """What is asked of an attack, checked."""

    victim: Hasher
    queries: Queries
    goal: Goal
    spec: AttackSpec


def attack_elsewhere(work: Work, parts: list[list[int]], runtime: Runtime, kept: Kept) -> None:
    """Has parts of the queries attacked by workers, and keeps what they send back."""
    spec = work.spec
    alone = replace(runtime, executor=None, progress=Silent(), cache=None, watch=None)
    tasks = ((work.queries.take(rows), work.goal.take(rows)) for rows in parts)
    done, most = 0, sum(map(len, parts))
    with runtime.progress.bar(f"{spec.shown}: queries") as tick:
        given = Sent(portable(work.victim), spec, alone)
        for _, finished in runtime.executor.run(settle, given, attack_shard, tasks):
            kept.keep(finished)
            done += len(finished)
            tick(min(done, most), most)


@dataclass(frozen=True, eq=False)
class Sent:
    """What every worker keeps of an attack."""

    victim: Hasher
    spec: AttackSpec
    runtime: Runtime


def settle(given: Sent) -> Sent:
    """The same with the victim on the worker's own device."""
    to_own_device(given.victim, given.runtime)
    return given


def portable(victim: Hasher) -> Hasher:
    """The victim on the CPU, where every worker can unpack it."""
    return victim if device_of(victim).type == "cpu" else deepcopy(victim).cpu()


def to_own_device(victim: Hasher, runtime: Runtime) -> None:
    """Moves a victim that a worker has unpacked to the device of this worker."""
    where = runtime.device
    if where == "auto":
        where = "cuda" if torch.cuda.is_available() else "cpu"
    victim.to(where).eval()


def attack_shard(given: Sent, task: tuple[Queries, Goal]) -> dict[int, QueryRecord]:
    """The finished queries of a shard by their ids."""
    queries, goal = task
    finished: dict[int, QueryRecord] = {}
    with repeatable(given.runtime):
        chunk = Chunk(given.victim, queries, goal, given.spec, finished.update, no_tick)
        chunk.attack(given.runtime)
    return finished


def no_tick(done: int, most: int) -> None:
    """Tells nobody."""
