"""Memory of the process that attacks many queries of a run, as their number grows.

python benchmarks/query_memory.py          # 2,000 and 8,000 queries
python benchmarks/query_memory.py --full   # 2,000 and 20,000
"""

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch
from common import Results, arguments, once

from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.data.retrieval import RetrievalData
from hashprobe.data.sources import ArraySource, Split
from hashprobe.storage.runs import Run
from hashprobe.types import Budget, Runtime
from hashprobe.victims.encoding import encode
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import Encoded, EncodedRun


SIDE, BITS, CLASSES, SHARD = 40, 32, 10, 256
WARM = 50
"""Queries that are attacked before memory is looked at: libraries are loaded then."""


def opened(folder: Path, queries: int) -> EncodedRun:
    """A run whose pictures lie in a file."""
    shape, rng = (max(queries, 1000), 3, SIDE, SIDE), np.random.default_rng(0)
    stored = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape)
    for start in range(0, len(stored), 1000):
        some = stored[start : start + 1000]
        some[:] = rng.integers(0, 256, some.shape, np.uint8)
    pictures = torch.from_numpy(np.load(folder / "pictures.npy", mmap_mode="c"))
    torch.manual_seed(0)
    victim = ImageHasher("small", BITS, size=SIDE).eval()
    # One layer: what takes memory here is to be the queries.
    victim.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE**2, BITS))

    def split(count: int) -> Split:
        labels = np.eye(CLASSES, dtype=bool)[np.arange(count) % CLASSES]
        return Split(tuple(map(str, range(count))), ArraySource(pictures[:count]), labels)

    def coded(some: Split) -> Encoded:
        starts = range(0, len(some), 500)
        parts = [Queries(pictures[at : min(at + 500, len(some))].float() / 255) for at in starts]
        codes = PackedCodes.concatenate([encode(victim, part) for part in parts])
        return Encoded(codes, some.labels, np.arange(len(some)))

    names = tuple(f"class {number}" for number in range(CLASSES))
    data = RetrievalData("noise", split(queries), split(100), split(1000), names)
    run = Run.create(folder / "run", {})
    return EncodedRun(run, data, victim, coded(data.query), coded(data.database))


def resident() -> dict[str, float]:
    """Memory of this process in MB: its own, and what is mapped from files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kinds = {"own": "RssAnon", "mapped": "RssFile"}
    return {name: int(lines[key].split()[0]) / 1024 for name, key in kinds.items()}


def measured(queries: int) -> dict[str, float]:
    """What an attack of some queries adds to the memory of this process, and its seconds."""
    torch.set_num_threads(1)
    peak, over = dict[str, float](), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak.update({name: max(peak.get(name, 0), now) for name, now in resident().items()})

    spec = AttackSpec("dhta", ATTACKS["dhta"].options(steps=1), Budget(8 / 255))
    how = Runtime(batch_size=256, workers=0, shard=SHARD)
    with tempfile.TemporaryDirectory() as work:
        run = opened(Path(work), queries)

        def attack(count: int) -> None:
            attack_run(run, spec, protocol=Protocol(queries=count), name=f"{count}", runtime=how)

        attack(min(WARM, queries - 1))
        before, watcher = resident(), threading.Thread(target=watch, daemon=True)
        watcher.start()
        spent = once(lambda: attack(queries))
        over.set()
        watcher.join()
    added = {f"{name}, MB more": peak.get(name, before[name]) - before[name] for name in before}
    return {"queries": queries, "seconds": spent, **added}


def main() -> None:
    """Each number in a process of its own."""
    given = arguments(__doc__ or "", one={"type": int, "default": 0, "help": "only this many"})
    if given.one:
        print(json.dumps(measured(given.one)))
        return
    results = Results("query memory")
    numbers = (20, 40) if given.tiny else (2000, 20_000) if given.full else (2000, 8000)
    rows = []
    for queries in numbers:
        if given.tiny:
            rows.append(measured(queries))
            continue
        words = [sys.executable, __file__, "--one", str(queries)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    results.table(f"Attacks of pictures of {SIDE} x {SIDE}", rows)
    results.write(given.json)


if __name__ == "__main__":
    main()
