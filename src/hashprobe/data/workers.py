"""Worker processes that decode: one that dies costs the item that it was at, and nothing else."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

from hashprobe.errors import HashprobeError


LOOK_SECONDS = 1
"""Seconds of waiting for a batch after which it is checked that the worker processes live."""
DYING_SECONDS = 3.0
"""Seconds in which the process is found that closed a connection."""
DEATHS = 3
"""How often worker processes may die while they are at no item."""


class Whereabouts:
    """Which item each worker process is at, in memory that all of them share.

    Args:
        workers: how many processes there are at most; none without worker processes.

    Example:
        >>> with Whereabouts(2).at(7):
        ...     pass
    """

    def __init__(self, workers: int) -> None:
        self.table = torch.full((workers, 2), -1, dtype=torch.long)
        self.table.share_memory_()  # type: ignore[no-untyped-call]

    @contextmanager
    def at(self, position: int) -> Iterator[None]:
        """Notes that this process, if it is a worker, is at an item."""
        worker = get_worker_info()
        if worker is None:
            yield
            return
        self.table[worker.id] = torch.tensor([os.getpid(), position])
        try:
            yield
        finally:
            self.table[worker.id, 1] = -1

    def left_by_the_dead(self) -> set[int]:
        """Positions of the items that dead processes were at; a dying process is waited for."""
        end = time.monotonic() + DYING_SECONDS
        while True:
            alive = {child.pid for child in multiprocessing.active_children()}
            noted = {process: position for process, position in self.table.tolist() if process > 0}
            dead = noted.keys() - alive
            if dead or time.monotonic() > end:
                self.table.fill_(-1)
                return {noted[process] for process in dead} - {-1}
            time.sleep(0.01)


def watched(
    load: Callable[[int], DataLoader[Any]], size_of: Callable[[Any], int], fatal: set[int],
    where: Whereabouts, items: Sized,
) -> Iterator[Any]:  # fmt: skip
    """All batches of some items in order, whatever happens to the processes that load them.

    Args:
        load: the loader of the items from a position on.
        size_of: how many items a batch is about.
        fatal: positions of items whose decoding ended a process; they are added here, and the
            loader must not decode them again.
        where: what the processes are at.
        items: the items.

    Raises:
        HashprobeError: processes died several times while they were at no item.
    """
    start = deaths = 0
    while start < len(items):
        with own_signals():
            batches = iter(load(start))
        died = False
        while not died:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                # After each timeout, the loader has looked whether its processes are alive.
                if str(error).startswith("DataLoader timed out"):
                    continue
                if not is_death(error):
                    raise
                died = True
                lost = where.left_by_the_dead()
                fatal |= lost
                deaths += not lost
                if deaths > DEATHS:
                    raise HashprobeError(
                        f"{deaths} decoding processes died without an item at fault: is the "
                        "memory full? --workers 0 decodes without them"
                    ) from error
            else:
                start += size_of(batch)
                yield batch


def is_death(error: Exception) -> bool:
    """Whether an error of the loader is about a worker process that died.

    A loader that reads what a process sends while it dies finds the connection closed.
    """
    closed = isinstance(error, ConnectionError | EOFError | FileNotFoundError)
    return closed or str(error).startswith("DataLoader worker (pid")


@contextmanager
def own_signals() -> Iterator[None]:
    """Keeps the handler of SIGCHLD.

    That of torch raises the death of a worker in whatever code runs at this moment, the network's.
    """
    known = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
    before = signal.getsignal(signal.SIGCHLD) if known else None
    yield
    if before is not None:
        signal.signal(signal.SIGCHLD, before)
