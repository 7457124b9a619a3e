"""What a billion codes and ten million queries cost, from measured costs of one unit.

python benchmarks/scale_model.py           # measures units, checks the sum on a thousandth
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import Results, arguments
from scale import BITS, make_codes, problem

from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.evaluation.code_shards import CodeShards
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.sharded import score_shards
from hashprobe.types import Budget, Runtime
from hashprobe.victims.encoding import encode


CODES, QUERIES, SCORED = 10**9, 10**7, 10**3
"""Items of the database, queries that are attacked, and queries that are scored."""
STEPS = 20
SHARE = 1000


def unit_seconds(count: int, work: Any) -> float:
    """Core seconds of one unit of some work that does several."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / count


def units(folder: Path, few: int) -> dict[str, float]:
    """Core seconds and bytes of one unit of each kind of work, on little data."""
    victim, queries, goal = problem(few)
    floats = Queries(queries.pixels.float() / 255)
    encode(victim, floats)
    spec = AttackSpec("dhta", ATTACKS["dhta"].options(steps=STEPS), Budget(8 / 255))
    runtime = Runtime(batch_size=16, shard=few)
    items, asked = (400_000, 400) if few > 32 else (20_000, 10)
    make_codes(folder / "small", items, asked)
    options = MeasureOptions(5000)
    score_shards(CodeShards.open(folder / "small"), options)
    whole = items * asked
    found: dict[str, float] = {
        "encode": unit_seconds(few, lambda: encode(victim, floats)),
        "attack": unit_seconds(
            few, lambda: craft(victim, queries, goal, spec, runtime=runtime, out=folder / "units")
        ),
        "pair": unit_seconds(
            whole, lambda: score_shards(CodeShards.open(folder / "small"), options)
        ),
    }
    (shard,) = (folder / "units" / "queries").iterdir()
    found["bytes of a query"] = shard.stat().st_size / few
    return found


def simulation(folder: Path, share: int) -> dict[str, float]:
    """Core seconds and bytes of the scan at a part of its pairs, and of a few attacks."""
    items, scored = CODES // share, SCORED if share <= SHARE else 10
    attacked = min(1000, QUERIES // share)
    victim, queries, goal = problem(attacked)
    spec = AttackSpec("dhta", ATTACKS["dhta"].options(steps=STEPS), Budget(8 / 255))
    make_codes(folder / "codes", items, scored)
    begin = time.process_time()
    craft(
        victim, queries, goal, spec, runtime=Runtime(batch_size=16, shard=256), out=folder / "sim"
    )
    attack = time.process_time() - begin
    begin = time.process_time()
    score_shards(CodeShards.open(folder / "codes"), MeasureOptions(5000))
    scan = time.process_time() - begin
    kept = sum(path.stat().st_size for path in (folder / "sim" / "queries").iterdir())
    return {
        "items": items, "attacked": attacked, "scored": scored, "attack": attack, "scan": scan,
        "bytes": kept, "files": len(list((folder / "sim").rglob("*.*"))),
    }  # fmt: skip


def main() -> None:
    """The command line."""
    given = arguments(__doc__ or "")
    results = Results("scale model")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        one = units(folder, 32 if given.tiny else 128)
        results.table("One unit", [{name: f"{value:.3g}" for name, value in one.items()}])
        seen = simulation(folder, SHARE * 100 if given.tiny else SHARE)
    checks = [
        ("attack, core s", one["attack"] * seen["attacked"], seen["attack"]),
        ("scan, core s", one["pair"] * seen["items"] * seen["scored"], seen["scan"]),
        ("kept, MB", 1e-6 * one["bytes of a query"] * seen["attacked"], 1e-6 * seen["bytes"]),
    ]
    rows = [
        {"what": name, "model": model, "simulation": real, "simulation / model": real / model}
        for name, model, real in checks
    ]
    results.table(
        f"{seen['items']:,} codes, {seen['attacked']:,} attacked and {seen['scored']:,} scored "
        "queries",
        rows,
    )
    hours = 1 / 3600
    whole = [
        ("encode 10^9 items", one["encode"] * CODES * hours, 1e-9 * CODES * BITS / 8),
        (
            "attack 10^7 queries",
            one["attack"] * QUERIES * hours,
            1e-9 * one["bytes of a query"] * QUERIES,
        ),
        ("score 10^3 queries over 10^9 codes", one["pair"] * CODES * SCORED * hours, 0.0),
    ]
    results.table(
        "The whole, with this network of 32 x 32 pixels",
        [{"what": name, "core hours": time_, "GB kept": size} for name, time_, size in whole],
    )
    results.write(given.json)


if __name__ == "__main__":
    main()
