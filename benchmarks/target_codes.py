"""Target codes: what each is worth, and what of it is reached, on an encoded run.

    python benchmarks/target_codes.py RUN [--queries 100] [--seed 0] [--eps 4 8] [--top 1000]
        [--rows bit-margin bit-margin:mean-difference reach] [--precision bfloat16]
        [--pool unseen]

Every row attacks the same queries to the same labels. Differences are paired with the first row: by
default the bit-margin attack at the vote of nine codes; and with the fixed code, of the rows
above, that reached the most.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from hashprobe.attacks.registry import AttackSpec
from hashprobe.evaluation.measurement import Measurement, paired_difference
from hashprobe.types import Budget, Runtime
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import open_run


ROWS = (
    ("bit-margin", None),
    ("bit-margin", "vote-all"),
    ("bit-margin", "mean-difference"),
    ("bit-margin", "best"),
    ("bit-margin", "ascent"),
    ("reach", None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eps", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--top", type=int, default=None)
    rows = {":".join(filter(None, row)): row for row in ROWS}
    parser.add_argument("--rows", nargs="+", choices=rows, default=list(rows))
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--pool", choices=("differs", "disjoint", "unseen"), default="differs")
    asked = parser.parse_args()
    runtime = Runtime(precision=asked.precision)
    run = open_run(asked.run)
    print(
        "| eps | attack | target code | ceiling | t-MAP | less the first | less the best fixed "
        "| seconds a query |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for eps in asked.eps:
        base = best = None
        for attack, code in (rows[name] for name in asked.rows):
            protocol = Protocol(
                queries=asked.queries,
                seed=asked.seed,
                pool=asked.pool,
                top=asked.top,
                target_code=code,
            )
            begin = time.perf_counter()
            name = f"codes-{attack}-{code}-{eps}-{asked.pool}-{asked.queries}-{asked.seed}"
            spec = AttackSpec(attack, budget=Budget(eps / 255))
            done = attack_run(
                run, spec, protocol=protocol, name=name, runtime=runtime, overwrite=True
            )
            seconds = (time.perf_counter() - begin) / asked.queries
            base = base or done.achieved
            # Levels of knowledge differ, which the table says: the pairs are of the same queries.
            same = replace(done.achieved, signature=base.signature)
            less = paired_difference(same, base)
            fixed = "" if best is None else apart(paired_difference(same, best))
            if attack == "bit-margin" and (best is None or same.value > best.value):
                best = same
            print(
                f"| {eps}/255 | {attack} | {code or 'its own'} | {100 * done.ceiling.value:.1f} | "
                f"{100 * done.achieved.value:.1f} | {apart(less)} | {fixed} | "
                f"{seconds:.2f} |",
                flush=True,
            )


def apart(less: Measurement) -> str:
    """A difference with its interval."""
    return f"{100 * less.value:+.1f} [{100 * less.low:+.1f}, {100 * less.high:+.1f}]"


if __name__ == "__main__":
    main()
