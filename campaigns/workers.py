"""Kills workers of an attack on a Ray cluster at random moments, and compares all files.

The attack runs once in this process, and then by two workers of a cluster of this machine, of which
one after the other is ended by SIGKILL. It is repeated until there were enough kills. Each time,
its folder must be equal to the first, to the last byte but for times. Needs the extra `ray`. Exits
with 1 if there was any fault.
"""

import argparse
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from cases import Case
from common import Results, arguments, scratch
from plans import differences

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.crafting.executor import Executor, RayExecutor
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.types import Budget, Runtime
from hashprobe.victims.wrap import Victim


COUNT = 10
QUERIES, SHARD = 96, 4
"""Attacked queries, and those of one file."""
STEPS = 100
WAIT = 6.0
"""Seconds between two kills, at most; a worker takes about as long to load torch."""


@dataclass
class Killer:
    """Ends random workers of this process's cluster until there were enough kills."""

    most: int
    chance: np.random.Generator
    wait: float = WAIT
    killed: list[int] = field(default_factory=list)
    """Process ids."""
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Waits and kills, until the attack is over."""
        while len(self.killed) < self.most:
            if self.over.wait(self.chance.uniform(0.1, self.wait)):
                return
            if there := workers():
                one = int(self.chance.choice(there))
                os.kill(one, signal.SIGKILL)
                self.killed.append(one)


def workers() -> list[int]:
    """Processes below this one that compute shards now."""
    parents, found = {}, []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            title = (place / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(place.name)] = int(fields[1])
        if title.startswith(b"ray::Worker.compute") and fields[0] != "Z":
            found.append(int(place.name))

    def ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return sorted(process for process in found if ours(process))


def attack(folder: Path, executor: Executor | None, steps: int = STEPS) -> None:
    """The attack whose files are compared: the same queries, codes and chance each time."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 32))
    victim = Victim(net, bits=32, size=16, mean=0.5)
    queries = Queries(torch.randint(0, 256, (QUERIES, 3, 16, 16), dtype=torch.uint8))
    goal = Goal.targeted(np.random.default_rng(0).choice([-1, 1], (QUERIES, 32)))
    spec = AttackSpec("dhta", ATTACKS["dhta"].options(steps=steps), Budget(8 / 255), seed=1)
    how = Runtime(deterministic=True, batch_size=SHARD, shard=SHARD, executor=executor)
    craft(victim, queries, goal, spec, runtime=how, out=folder)


def kill(folder: Path, most: int, seed: int, wait: float = WAIT, steps: int = STEPS) -> list[str]:
    """What differs after each kill, in words; an empty text where nothing does.

    Args:
        folder: an empty one.
        most: kills.
        seed: decides when, and which worker.
        wait: seconds between two kills, at most.
        steps: gradient steps of the attack.
    """
    attack(folder / "here", None, steps)
    chance, seen = np.random.default_rng(seed), list[str]()
    while len(seen) < most:
        there = folder / f"there-{len(seen)}"
        killer = Killer(most - len(seen), chance, wait)
        thread = threading.Thread(target=killer.run, daemon=True)
        thread.start()
        try:
            attack(there, RayExecutor(workers=2), steps)
        finally:
            killer.over.set()
            thread.join()
        seen += [differences(there, folder / "here")] * len(killer.killed)
    return seen


def run(options: argparse.Namespace, folder: Path) -> int:
    """Runs the campaign, and returns the exit code."""
    results = Results("workers", options, options.count)
    for number, text in enumerate(kill(folder, options.count, options.seed)):
        case = Case("SIGKILL of a worker", family="attack on Ray", number=number)
        results.add(case, "damage" if text else "ok", text)
    return results.finish()


def main() -> int:
    """The command line."""
    options = arguments(__doc__ or "", COUNT)
    with scratch(options.keep) as folder:
        return run(options, folder)


if __name__ == "__main__":
    sys.exit(main())
