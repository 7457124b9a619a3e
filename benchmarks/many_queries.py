"""Time and memory of many queries, attacked, judged and kept on the disk.

python benchmarks/many_queries.py --runs runs/small
"""

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from attack_engine import TOP, Bench
from common import Results, arguments

from hashprobe.attacks.registry import AttackSpec
from hashprobe.types import Budget


def peak() -> float:
    """Largest resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grow(results: Results, path: Path, numbers: tuple[int, ...]) -> None:
    """More and more queries of one run at 8/255 in bfloat16."""
    rows: list[dict[str, Any]] = []
    for queries in numbers:
        victim = Bench(path, queries)
        before, start = peak(), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            spec = AttackSpec(budget=Budget(8 / 255))
            done = victim.craft(spec, out=Path(folder), precision="bfloat16")
            spent = time.perf_counter() - start
        rows.append(
            {
                "queries": queries,
                "seconds": spent,
                "ms a query": 1000 * spent / queries,
                "of it the attack itself": 1000 * done.seconds / queries,
                "steps a query": float(done.backwards.mean()),
                "MB before": before,
                "MB at most": peak(),
                f"t-MAP@{TOP}": 100 * victim.tmap(done.codes).value,
            }
        )
    results.table(f"{path.name}, all files written", rows)


def main() -> None:
    """All runs."""
    given = arguments(
        (__doc__ or "").splitlines()[0],
        runs={"nargs": "+", "type": Path, "required": True, "help": "run folders of victims"},
    )
    results = Results("many queries")
    for run in given.runs:
        numbers = (1000, 10_000) if given.full else (2, 4) if given.tiny else (200, 1000)
        grow(results, run, numbers)
    results.write(given.json)


if __name__ == "__main__":
    main()
