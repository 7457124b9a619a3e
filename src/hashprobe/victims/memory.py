"""How much memory a backward pass takes, and how much there is."""

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's malloc, as <malloc.h> numbers them."""
KEPT_BLOCK = 1 << 30
"""Bytes of the largest block that is kept."""
SHARE = 4
"""One part in so many of the memory that is free goes to saved activations."""
KEPT_BYTES = 1 << 30
"""Activations that a network for clips keeps at most beside a CPU; a GPU gives a share."""
# Activations beyond a cache's reach slow a CPU down; a GPU wants as many rows as fit.
CPU_BYTES = 256 << 20
CPU_ROWS, GPU_ROWS = (4, 128), (8, 512)
CACHE_BYTES, CACHE_ROWS = 24 << 20, 8
"""Weights and activations that stay in the caches of a CPU between two layers, and the fewest rows
for which that is worth while: `small` takes 8 % less time so at 32 pixels, and 20 % at 64."""


def saved_bytes(
    network: nn.Module,
    image: Tensor,
    *more: Tensor,
    through: Callable[..., Tensor] | None = None,
) -> int:
    """What one query keeps in memory between its forward and its backward pass.

    Args:
        network: from pixels to anything; its own weights are not counted.
        image: one query, or frame, as the network takes it.
        more: what the network is given beside it.
        through: how it goes through the network; by default by a call.

    Returns:
        Bytes, at least 1.

    Example:
        >>> saved_bytes(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.zeros(2, 4))
        56
    """
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would hold its own graph, and for ever

    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        (through or network)(image.detach().clone().requires_grad_(), *more)
    return max(1, sum(seen.values()))


_measured: WeakKeyDictionary[nn.Module, dict[Any, int]] = WeakKeyDictionary()


def measured_bytes(network: nn.Module, image: Tensor) -> int:
    """As `saved_bytes`, measured once for each network, shape, precision and device.

    Example:
        >>> measured_bytes(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.zeros(2, 4))
        56
    """
    weight = next(network.parameters(), image)
    key = (tuple(image.shape), image.dtype, weight.dtype, image.device)
    known = _measured.setdefault(network, {})
    if key not in known:
        known[key] = saved_bytes(network, image)
    return known[key]


_assumed: ContextVar[bool] = ContextVar("assumed", default=False)


@contextmanager
def assume_memory() -> Iterator[None]:
    """Takes the memory of every machine for the same, as long as it lasts.

    How many rows go through a network at once then depends on the network alone.

    Example:
        >>> with assume_memory():
        ...     room(torch.device("cpu")) == KEPT_BYTES
        True
    """
    before = _assumed.set(True)
    try:
        yield
    finally:
        _assumed.reset(before)


def fitting(each: int, device: torch.device, weights: int | None = None) -> int:
    """Rows whose activations fit: in reach of a CPU's caches, or in a GPU's free memory.

    Args:
        each: bytes of one.
        device: where they will be.
        weights: bytes of the network, where rows may be as few as its layers hand on in the caches.

    Example:
        >>> cpu = torch.device("cpu")
        >>> fitting(16 << 20, cpu), fitting(1 << 20, cpu), fitting(1 << 20, cpu, weights=4 << 20)
        (16, 128, 20)
    """
    cached = 0 if weights is None or device.type != "cpu" else (CACHE_BYTES - weights) // each
    if cached >= CACHE_ROWS:
        return min(cached, CPU_ROWS[1])
    if _assumed.get():
        free, (least, most) = CPU_BYTES, CPU_ROWS
    elif device.type == "cuda":
        free, (least, most) = torch.cuda.mem_get_info(device)[0] // SHARE, GPU_ROWS
    else:
        free, (least, most) = min(CPU_BYTES, free_memory() // SHARE), CPU_ROWS
    return min(max(free // each, least), most)


def room(device: torch.device) -> int:
    """Bytes of activations that a network for clips may keep for its backward pass.

    Example:
        >>> room(torch.device("cpu")) <= KEPT_BYTES
        True
    """
    if _assumed.get():
        return KEPT_BYTES
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + idle) // SHARE
    return min(KEPT_BYTES, free_memory() // SHARE)


def keep_freed_memory() -> bool:
    """Lets the process keep large blocks that it frees, for the next ones of their size.

    glibc returns a freed block of more than 32 MiB to the system, and the system fills the next one
    with zeros, page by page: an encoding on a CPU spent more time on this than on the network. What
    the environment says of malloc stays.

    Returns:
        Whether the setting was made; other C libraries have none.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    named = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in named):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def free_memory() -> int:
    """Bytes of memory that this machine has to give; its container's limit counts.

    Example:
        >>> free_memory() > 0
        True
    """
    known = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        known += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        lines = Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
        # Files in the cache count as used, and make room when it is wanted.
        cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file"))
        known += [int(limit) - used + cached] if limit.isdigit() else []
    except OSError:
        pass  # no Linux, or no limit: what is known so far is all there is
    return max(min(known, default=SHARE * KEPT_BYTES), 1)
