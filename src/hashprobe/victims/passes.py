"""Counts the passes through a victim for each query, from outside the attack."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from hashprobe.tensors import Logits
from hashprobe.victims.base import Hasher


_attended: ContextVar[Sequence[int] | None] = ContextVar("attended", default=None)
_counter: ContextVar["PassCounter | None"] = ContextVar("counter", default=None)


@contextmanager
def attend(rows: Sequence[int]) -> Iterator[None]:
    """Says which queries the passes inside the block belong to; with no rows, to none."""
    token = _attended.set(rows)
    try:
        yield
    finally:
        _attended.reset(token)


def note(logits: Logits) -> None:
    """Counts a pass that did not go through the victim's own forward."""
    counter = _counter.get()
    if counter is not None:
        counter.add(logits)


class PassCounter:
    """Forward and backward passes of N queries.

    A pass of other rows than all of them, which nobody attends, is shared out among all.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> victim, counter = ImageHasher("small", 16), PassCounter(3)
        >>> with counter.counting(victim):
        ...     _ = victim(torch.rand(3, 3, 32, 32))
        >>> counter.forwards, counter.backwards
        (array([1, 1, 1]), array([0, 0, 0]))
    """

    forwards: Int64[np.ndarray, " n"]
    """Forward passes of each query."""
    backwards: Int64[np.ndarray, " n"]
    """Backward passes of each query."""

    def __init__(self, n: int) -> None:
        self.forwards, self.backwards = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.rest = [0, 0]

    @contextmanager
    def counting(self, victim: Hasher) -> Iterator[None]:
        """Counts what goes through a victim inside the block, and through copies of it."""
        # A copy in another precision takes this hook along.
        handle = victim.register_forward_hook(lambda _module, _given, logits: note(logits))
        token = _counter.set(self)
        try:
            yield
        finally:
            _counter.reset(token)
            handle.remove()

    def add(self, logits: Any) -> None:
        """Counts one forward pass and, once it comes, its backward pass."""
        if not isinstance(logits, Tensor):
            return
        given, rows = len(logits), _attended.get()
        self.share(0, given, rows)
        if logits.requires_grad:
            logits.register_hook(lambda _: self.share(1, given, rows))  # type: ignore[no-untyped-call]

    def share(self, kind: int, given: int, rows: Sequence[int] | None) -> None:
        """Adds a pass to the rows that it belongs to, or to all in equal parts."""
        counts = (self.forwards, self.backwards)[kind]
        if rows is not None and len(rows) in (0, given):
            counts[list(rows)] += 1
            return
        whole, self.rest[kind] = divmod(given + self.rest[kind], len(counts))
        counts += whole
