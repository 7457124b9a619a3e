"""Some queries on the device together: attacked, judged and kept as they are finished."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.checked import shown
from hashprobe.crafting.judge import judge
from hashprobe.crafting.query_files import QueryRecord
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.progress import Tick
from hashprobe.tensors import Images
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import device_of
from hashprobe.victims.passes import PassCounter
from hashprobe.victims.seen import remembering


PATIENCE = 20.0
"""Seconds after which finished queries are kept even if they are few."""
JUDGED = 32
"""Queries encoded at once: plenty for a processor, little for a memory."""


class Chunk:
    """Some queries on the device; keeps and judges them as an attack finishes them.

    Args:
        victim: the victim.
        queries8: the queries, uint8.
        goal: their goal.
        spec: what is asked.
        keep: called with finished queries by id.
        tick: called with (query steps done, query steps at most).
    """

    def __init__(
        self,
        victim: Hasher,
        queries8: Queries,
        goal: Goal,
        spec: AttackSpec,
        keep: Callable[[dict[int, QueryRecord]], None],
        tick: Tick,
    ) -> None:
        self.victim, self.queries8, self.goal, self.spec = victim, queries8, goal, spec
        self.keep, self.step = keep, tick
        self.counter = PassCounter(len(queries8))
        self.waiting: dict[int, Images] = {}
        self.kept: set[int] = set()
        self.last = time.perf_counter()
        self.most, self.patience = JUDGED, PATIENCE

    def attack(self, runtime: Runtime) -> None:
        """Attacks the queries."""
        with remembering(self.victim):
            self.attack_all(runtime)

    def attack_all(self, runtime: Runtime) -> None:
        """Runs the attack; what it does not hand over early is judged at its end."""
        device, attack, spec = device_of(self.victim), self.spec.attack, self.spec
        self.most = min(JUDGED, runtime.batch_size or JUDGED)
        if runtime.deterministic:  # judged together at the end, in their order
            self.most, self.patience = len(self.queries8) + 1, math.inf
        queries = self.queries8.on(device)
        goal = self.goal if "database" in attack.needs else replace(self.goal, known=None)
        if "generator" not in attack.needs:
            goal = replace(goal, generator=None)
        if attack.goal == "untargeted":
            own = goal.own_labels if goal.known is not None else None
            goal = Goal.untargeted(own, goal.known)
        if goal.images is not None:
            goal = replace(goal, images=goal.images.on(device))
        try:
            with self.counter.counting(self.victim):
                moved = attack.run(
                    self.victim,
                    queries,
                    goal,
                    budget=spec.budget,
                    options=spec.options,
                    seed=spec.seed,
                    runtime=replace(runtime, watch=self),
                )
            if not isinstance(moved, torch.Tensor):
                raise HashprobeError(f"the attack returned {shown(moved)}, not a tensor of pixels")
            if moved.shape != queries.pixels.shape:
                raise HashprobeError(
                    f"the attack returned shape {tuple(moved.shape)} for "
                    f"{tuple(queries.pixels.shape)}"
                )
            # Queries that were handed over early count as they were then.
            rest = [row for row in range(len(queries)) if row not in self.kept | set(self.waiting)]
            self.waiting |= {row: moved[row].detach() for row in rest}
            if self.waiting:
                self.flush()
        except torch.OutOfMemoryError as error:
            raise HashprobeError(
                f"{device} is out of memory: choose a smaller batch size"
            ) from error

    def finished(self, rows: list[int], images: Images) -> None:
        """Takes queries that the attack has finished."""
        if self.kept.union(self.waiting).intersection(rows):
            raise HashprobeError(
                "the attack finished a query twice: it may hand its runtime to one call of solve "
                "with all queries; other calls take Runtime() instead"
            )
        self.waiting.update(zip(rows, images.detach().clone(), strict=True))
        if len(self.waiting) >= self.most or time.perf_counter() - self.last > self.patience:
            self.flush()

    def flush(self) -> None:
        """Judges and keeps the queries that are waiting."""
        # The attack's own time so far, shared out among the queries that it has finished.
        seconds = (time.perf_counter() - self.last) / len(self.waiting)
        rows = list(self.waiting) if math.isfinite(self.patience) else sorted(self.waiting)
        for start in range(0, len(rows), JUDGED):
            some = rows[start : start + JUDGED]
            images = torch.stack([self.waiting.pop(row) for row in some])
            part, goal = self.queries8.take(some), self.goal.take(some)
            judged = judge(self.victim, part, images, goal, self.spec.budget)
            self.kept.update(some)
            self.keep(
                {
                    query_id: one._replace(
                        seconds=seconds,
                        forwards=int(self.counter.forwards[row]),
                        backwards=int(self.counter.backwards[row]),
                    )
                    for query_id, row, one in zip(part.ids, some, judged, strict=True)
                }
            )
        self.last = time.perf_counter()
