"""Where a process runs; a leaf: standard library alone."""

import importlib.metadata
import os
import platform
import re
import sys
from typing import Any, TypedDict


class Environment(TypedDict, total=False):
    """What environment.json holds.

    Example:
        >>> Environment(python="3.11.7")["python"]
        '3.11.7'
    """

    python: str
    platform: str
    machine: str
    cpus: int
    packages: dict[str, str]
    torch: dict[str, Any]


def cores() -> int:
    """How many cores this process may use; on a cluster these are often not all of the machine.

    Example:
        >>> 1 <= cores() <= (os.cpu_count() or 1)
        True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def environment() -> dict[str, Any]:
    """Where this process runs, to explain why two machines gave different numbers.

    Returns:
        `python`, `platform`, `machine`, `cpus` (those this process may use), `packages` (the
        installed ones that hashprobe names as dependencies) and, if torch is imported already,
        `torch` (threads, CUDA version and the names of its devices).

    Example:
        >>> sorted(environment())[:5]
        ['cpus', 'machine', 'packages', 'platform', 'python']
    """
    result: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": cores(),
        "packages": installed_packages(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
        result["torch"] = {
            "threads": torch.get_num_threads(),
            "cuda": torch.version.cuda,
            "devices": [torch.cuda.get_device_name(i) for i in devices],
        }
    return result


def installed_packages() -> dict[str, str]:
    """Name to version of hashprobe and those of its dependencies that are installed."""
    try:
        requirements = importlib.metadata.requires("hashprobe") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    names = {match[0] for line in requirements if (match := re.match(r"[A-Za-z0-9._-]+", line))}
    versions = {}
    for name in sorted({"hashprobe", *names}):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def hashprobe_version() -> str:
    """The installed version of this package."""
    try:
        return importlib.metadata.version("hashprobe")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
