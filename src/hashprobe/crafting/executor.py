"""Who computes the shards of a large piece of work: this process, or actors of a Ray cluster."""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError, missing_extra
from hashprobe.storage.environment import cores
from hashprobe.types import check_whole


LOSSES = 20
"""Workers that may be lost while one shard is computed, before that is said to be its fault."""


@runtime_checkable
class Executor(Protocol):
    """Computes shards; each is independent of the others and of who computes it.

    Example:
        >>> isinstance(InProcess(), Executor)
        True
    """

    @property
    def width(self) -> int:
        """How many shards are computed at the same time."""

    def run(
        self,
        start: Callable[[Any], Any],
        given: Any,
        work: Callable[[Any, Any], Any],
        tasks: Iterable[Any],
    ) -> Iterator[tuple[int, Any]]:
        """Computes tasks and yields the number and the result of each as it is finished.

        Args:
            start: makes of `given` what a worker keeps, once for each worker.
            given: what every worker starts from, such as a victim.
            work: takes what the worker keeps and a task; a function of a module.
            tasks: taken one after the other, no faster than they are computed.

        Raises:
            HashprobeError: of a task, or a worker that cannot start.
        """


class InProcess:
    """Computes one shard after the other in this process.

    Example:
        >>> list(InProcess().run(abs, -3, pow, [2, 3]))
        [(0, 9), (1, 27)]
    """

    width = 1

    def run(
        self,
        start: Callable[[Any], Any],
        given: Any,
        work: Callable[[Any, Any], Any],
        tasks: Iterable[Any],
    ) -> Iterator[tuple[int, Any]]:
        """Computes tasks in order; see `Executor.run`."""
        kept = start(given)
        for number, task in enumerate(tasks):
            yield number, work(kept, task)


@checked
@dataclass(frozen=True)
class RayExecutor:
    """Computes shards by actors of a Ray cluster, one for each device.

    A lost worker costs the shard that it was computing: another one takes it. No more tasks than
    workers are under way. Workers stay for the next work of this process.

    Raises:
        HashprobeError: workers below 1, or a share of GPUs below 0.

    Example:
        >>> RayExecutor(workers=2).width
        2
    """

    address: str | None = None
    """`auto` for the cluster that this machine belongs to, `ray://HOST:10001` or `HOST:6379` for
    another, None for a cluster of this machine alone, which ends with this process."""
    workers: int = 2
    """Actors at most; each holds the victim once. A cluster with less room has fewer."""
    gpus: float = 0.0
    """GPUs of each actor, also a share of one; 0 computes on CPUs."""
    cpus: float = 1.0
    """Cores of each actor."""

    def __post_init__(self) -> None:
        check_whole("workers", self.workers)
        if not 0 <= self.gpus <= 64 or not 0 < self.cpus <= 1024:
            raise HashprobeError(
                f"gpus must be 0 to 64 and cpus above 0; got {self.gpus} and {self.cpus}"
            )

    @property
    def width(self) -> int:
        """How many shards are computed at the same time."""
        return self.workers

    def run(
        self,
        start: Callable[[Any], Any],
        given: Any,
        work: Callable[[Any, Any], Any],
        tasks: Iterable[Any],
    ) -> Iterator[tuple[int, Any]]:
        """Computes tasks on the cluster; see `Executor.run`."""
        ray = load_ray()
        connect(ray, self)
        yield from Crew(ray, self, (start, given, work)).run(tasks)


def load_ray() -> Any:
    """Ray, imported when first needed."""
    try:
        import ray
    except ImportError as error:
        raise missing_extra("ray", "ray", "--executor ray") from error
    return ray


def connect(ray: Any, asked: RayExecutor) -> None:
    """Joins a cluster, once for this process."""
    if ray.is_initialized():
        return
    more: dict[str, Any] = {"address": asked.address}
    if asked.address is None:
        # Workers beyond the cores take turns on them, and later work may want more of them.
        width = max(cores(), math.ceil(asked.workers * asked.cpus))
        more = {"address": "local", "num_cpus": width}
        more |= {"include_dashboard": False}
    try:
        ray.init(**more, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise HashprobeError(
            f"no Ray cluster at {asked.address or 'this machine'}: {first[:200]}; start one by "
            "`ray start --head`, or leave out --address"
        ) from error


class Worker:
    """What an actor does: it starts once for each piece of work, and computes its tasks."""

    def __init__(self) -> None:
        self.mark, self.kept, self.work = "", None, no_work

    def compute(self, mark: str, packed: list[Any], task: Any) -> Any:
        """The result of one task of the work with this mark."""
        if mark != self.mark:
            # In a list, what is sent is fetched once and not with every task.
            start, given, self.work = load_ray().get(packed[0])
            self.kept, self.mark = start(given), mark
        return self.work(self.kept, task)

    def forget(self) -> None:
        """Frees what the last work kept."""
        self.mark, self.kept = "", None


def room(ray: Any, asked: RayExecutor) -> int:
    """How many workers the cluster can hold; an actor beyond that would wait for ever."""
    there = ray.cluster_resources()
    fits = int(there.get("CPU", 0) / asked.cpus + 1e-9)
    if asked.gpus:
        fits = min(fits, int(there.get("GPU", 0) / asked.gpus + 1e-9))
    if fits < 1:
        raise HashprobeError(
            f"the cluster has {there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs: a "
            f"worker needs {asked.cpus:g} and {asked.gpus:g}"
        )
    return fits


def no_work(kept: Any, task: Any) -> Any:
    """What a worker computes before it has work."""
    raise HashprobeError("this worker has no work")


IDLE: dict[tuple[str, float, float], list[Any]] = {}
"""Actors that wait for the next work of this process, by job, cores and GPUs: a process of Python
that has loaded torch is worth keeping."""


class Crew:
    """Actors at work on one list of tasks.

    Args:
        ray: the library.
        asked: how many actors, on what.
        packed: (start, given, work) of `Executor.run`.
    """

    def __init__(self, ray: Any, asked: RayExecutor, packed: tuple[Any, Any, Any]) -> None:
        self.ray, self.asked, self.mark = ray, asked, secrets.token_hex(8)
        try:
            self.packed = [ray.put(packed)]
        except Exception as error:
            # What cannot be pickled raises errors of many kinds.
            raise HashprobeError(
                f"this victim cannot be sent to other processes ({type(error).__name__}): give a "
                "run folder, or a network that can be pickled"
            ) from error
        self.actor = ray.remote(Worker).options(num_cpus=asked.cpus, num_gpus=asked.gpus)
        job = ray.get_runtime_context().get_job_id()
        own = (job, asked.cpus, asked.gpus)
        for other in [key for key in IDLE if key != own]:  # they hold cores or GPUs
            gone = IDLE.pop(other)
            for actor in gone if other[0] == job else ():
                ray.kill(actor)
        self.pool = IDLE.setdefault(own, [])
        self.width = min(asked.workers, room(ray, asked))
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, int, Any]] = {}
        """By the future of a result: who computes it, the number of the task, and the task."""
        self.lost: dict[int, int] = {}

    def run(self, tasks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yields results as they are finished."""
        source = enumerate(tasks)
        again: deque[tuple[int, Any]] = deque()
        try:
            while True:
                while len(self.busy) < self.width:
                    following = again.popleft() if again else next(source, None)
                    if following is None:
                        break
                    self.begin(*following)
                if not self.busy:
                    return
                done, _ = self.ray.wait(list(self.busy), num_returns=1)
                actor, number, task = self.busy.pop(done[0])
                try:
                    result = self.ray.get(done[0])
                except self.ray.exceptions.RayTaskError as error:
                    self.idle.append(actor)
                    raise the_cause(error) from error
                except self.ray.exceptions.RayError as error:
                    again.append((number, task))
                    self.note_loss(number, error)
                    continue
                self.idle.append(actor)
                yield number, result
        finally:
            for actor, _, _ in self.busy.values():
                self.ray.kill(actor)
            for actor in self.idle:
                actor.forget.remote()
            self.pool.extend(self.idle)

    def begin(self, number: int, task: Any) -> None:
        """Hands a task to an actor, a new one if none is idle."""
        held = self.idle or self.pool
        actor = held.pop() if held else self.actor.remote()
        self.busy[actor.compute.remote(self.mark, self.packed, task)] = actor, number, task

    def note_loss(self, number: int, error: Exception) -> None:
        """Counts a lost worker; too many for one shard are an error."""
        self.lost[number] = self.lost.get(number, 0) + 1
        if self.lost[number] > LOSSES:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise HashprobeError(
                f"{self.lost[number]} workers were lost while they computed shard {number}: "
                f"{first[:200]}"
            ) from error


def the_cause(error: Any) -> Exception:
    """What a task raised: our own errors as they are, all others in one line."""
    cause = error.cause
    if isinstance(cause, HashprobeError):
        return HashprobeError(str(cause))
    return HashprobeError(f"a worker failed: {type(cause).__name__}: {str(cause)[:300]}")
