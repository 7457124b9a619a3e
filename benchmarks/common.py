"""What the benchmarks share: fair timing, one table on the terminal, one JSON file."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hashprobe.evaluation.measurement import TOO_FEW, Measurement
from hashprobe.storage.environment import environment
from hashprobe.types import Precision
from hashprobe.victims.precision import imitates_bfloat16


def arguments(text: str, **more: dict[str, Any]) -> argparse.Namespace:
    """The command line of a benchmark: `--full`, `--tiny`, `--json` and what else it takes."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--full", action="store_true", help="the long form")
    parser.add_argument("--tiny", action="store_true", help="small data: does it run?")
    parser.add_argument("--json", type=Path, help="where the numbers go as JSON")
    for name, options in more.items():
        parser.add_argument(f"--{name}", **options)
    return parser.parse_args()


def seconds(work: Callable[[], Any], repeats: int) -> list[float]:
    """How long some work takes, several times over, after one time that does not count."""
    work()
    return [once(work) for _ in range(repeats)]


def once(work: Callable[[], Any]) -> float:
    """How long some work takes, one time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_once(work: Callable[[], Any]) -> float:
    """Processor seconds of all threads for some work: what else the machine does plays no part."""
    start = time.process_time()
    work()
    return time.process_time() - start


def cpu_seconds(work: Callable[[], Any], repeats: int) -> list[float]:
    """Processor seconds of some work, several times over, after one time that does not count."""
    work()
    return [cpu_once(work) for _ in range(repeats)]


def paired(works: list[Callable[[], Any]], repeats: int) -> list[list[float]]:
    """Times of several works that take turns, so that a noisy minute strikes all of them."""
    for work in works:
        work()
    rounds = [[once(work) for work in works] for _ in range(repeats)]
    return [list(column) for column in zip(*rounds, strict=True)]


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def interval(difference: Measurement) -> str:
    """A difference in points of per cent, with its 95 % interval over the queries."""
    if difference.low is None or difference.high is None:
        return f"{100 * difference.value:+.1f} ({TOO_FEW})"
    value, low, high = (100 * v for v in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def precisions() -> tuple[Precision, ...]:
    """What gradients are computed in."""
    imitated = imitates_bfloat16(torch.device("cpu"))
    return ("float32",) if imitated else ("float32", "bfloat16")


class Results:
    """Rows by section: each is printed as a Markdown table and kept for the JSON file."""

    def __init__(self, name: str) -> None:
        self.content: dict[str, Any] = {"benchmark": name, "machine": machine(), "sections": {}}
        print(f"{name} on {self.content['machine']}\n", flush=True)

    def table(self, title: str, rows: list[dict[str, Any]]) -> None:
        """Prints a section and keeps it."""
        self.content["sections"][title] = rows
        heads = list(dict.fromkeys(key for row in rows for key in row))
        cells = [[shown(row.get(head, "")) for head in heads] for row in rows]
        print(f"{title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        print("\n".join(f"| {' | '.join(row)} |" for row in cells), end="\n\n", flush=True)

    def write(self, path: Path | None) -> None:
        """Writes the JSON file."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.content, indent=1) + "\n")


def machine() -> str:
    """The machine in one line."""
    known = environment()
    model = known["machine"]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    packages = known["packages"]
    return f"{known['cpus']} cores of {model}, Python {known['python']}, torch {packages['torch']}"


def shown(value: Any) -> str:
    """A number with as many digits as tell something."""
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
