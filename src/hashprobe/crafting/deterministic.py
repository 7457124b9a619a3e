"""Attacks that give the same pixels each time they are computed on the same machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from hashprobe.tensors import Images8
from hashprobe.types import Runtime
from hashprobe.victims.memory import assume_memory


THREADS = 2
"""Threads of the deterministic mode, whatever the machine has."""
MOST = 32
"""Most queries in a batch of the deterministic mode."""
BATCH_VALUES = MOST * 3 * 224 * 224
"""Pixel values in a batch of the deterministic mode, about."""


def fixed_batches(runtime: Runtime, pixels: Images8) -> Runtime:
    """The runtime with a batch size that depends on the size of a query alone, if deterministic.

    Args:
        runtime: a batch size of its own is kept.
        pixels: the queries.

    Example:
        >>> clips = torch.zeros(2, 40, 3, 224, 224, dtype=torch.uint8)
        >>> fixed_batches(Runtime(deterministic=True), clips).batch_size
        1
    """
    if not runtime.deterministic or runtime.batch_size is not None:
        return runtime
    return replace(runtime, batch_size=min(MOST, max(1, BATCH_VALUES // pixels[0].numel())))


def said(runtime: Runtime) -> dict[str, Any]:
    """What the provenance of an attack says of the mode; nothing without it.

    Example:
        >>> said(Runtime(batch_size=8, deterministic=True))
        {'deterministic': {'batch_size': 8, 'threads': 2}}
    """
    if not runtime.deterministic:
        return {}
    return {"deterministic": {"batch_size": runtime.batch_size, "threads": THREADS}}


@contextmanager
def repeatable(runtime: Runtime) -> Iterator[None]:
    """Computes what is inside in the deterministic mode, if asked, and restores what was before.

    The number of threads is fixed, kernels that give the same result each time are preferred, and
    how much goes through a network at once does not depend on the memory that is free.

    Args:
        runtime: says whether.

    Example:
        >>> with repeatable(Runtime(deterministic=True)):
        ...     torch.get_num_threads()
        2
    """
    if not runtime.deterministic:
        yield
        return
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    strict, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    before = cudnn.benchmark
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn.benchmark = False
    try:
        with assume_memory():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        cudnn.benchmark = before
