"""A step size for an attack, chosen on other queries than those that are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import paired_hamming
from hashprobe.crafting.runner import craft
from hashprobe.errors import HashprobeError
from hashprobe.storage.lock import hold
from hashprobe.types import Runtime
from hashprobe.victims.base import lay_channels_last
from hashprobe.workflow.attack_step import measure
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Reader, draw
from hashprobe.workflow.run_io import EncodedRun, pick_device


SIZES = (1.0, 0.1, 0.3, 3.0)
"""Step sizes that are tried for every attack, as multiples of its first."""

Choice = TypeVar("Choice")


def strongest(choices: Sequence[Choice], strength: Callable[[Choice], Any]) -> Choice:
    """The choice with the highest strength; of equal ones the first.

    Example:
        >>> strongest([1, -3, 3], abs)
        -3
    """
    return max(choices, key=strength)


def other_rows(available: int, taken: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of queries that are not among those that are measured, in order."""
    free = np.setdiff1d(np.arange(available), taken)
    if count > len(free):
        raise HashprobeError(
            f"tuning must be from 1 to {len(free)}, the queries that are not measured; got {count}"
        )
    return np.sort(np.random.default_rng([seed, 2]).choice(free, count, replace=False))


@dataclass(frozen=True)
class Trial:
    """What an attack with one step size did on the queries for tuning."""

    spec: AttackSpec
    value: float
    """t-MAP; MAP by own labels of an attack without a target."""
    bits: float
    """Bits that are still wrong for a query; that were changed, of an attack without a target."""

    @property
    def strength(self) -> tuple[float, float]:
        """By value, and where it is equal by bits: few queries are often all reached, or none."""
        if self.spec.attack.goal == "targeted":
            return self.value, -self.bits
        return -self.value, self.bits


@dataclass(frozen=True, eq=False)
class Tuner:
    """Tries step sizes on some queries of a run."""

    run: EncodedRun
    protocol: Protocol
    rows: np.ndarray
    """Of the encoded queries."""
    runtime: Runtime

    def best(self, spec: AttackSpec, name: str) -> tuple[AttackSpec, list[Trial]]:
        """The attack with its strongest step size, and everything that was tried."""
        trials = []
        for times in SIZES:
            size = times * spec.options.step_size
            tried = replace(spec, options=replace(spec.options, step_size=size))
            trials.append(Trial(tried, *self.measured(tried, f"{name}-x{times:g}")))
        return strongest(trials, lambda each: each.strength).spec, trials

    def measured(self, spec: AttackSpec, name: str) -> tuple[float, float]:
        """Value and bits of a `Trial`; what is finished is kept in tuning/NAME of the run."""
        run, hasher = self.run, self.run.hasher.to(pick_device(self.runtime.device))
        lay_channels_last(hasher)
        with hold(run.run.path), ExitStack() as scratch:
            drawn = draw(self.rows, spec, self.protocol, Reader(run, self.runtime, scratch))
            out = run.run.path / "tuning" / name
            done = craft(
                hasher, drawn.clean, drawn.goal, spec, runtime=self.runtime, out=out, overwrite=True
            )
            seen = measure(done, run, drawn, self.protocol)
        if spec.attack.goal == "targeted":
            return float(seen.achieved.value), float(seen.wrong.value)  # type: ignore[union-attr]
        moved = paired_hamming(done.codes, run.query.codes[self.rows])
        return float(seen.map_attacked.value), float(moved.mean())  # type: ignore[union-attr]
