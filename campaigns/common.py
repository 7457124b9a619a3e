"""What the campaigns share: their command line, the folder that they write into, the results."""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cases import FAULTS, GOOD, Case, shown
from forks import Pool, remove

from hashprobe.storage.environment import cores, environment


def arguments(text: str, count: int, words: list[str] | None = None) -> argparse.Namespace:
    """The command line of a campaign."""
    return parser(text, count).parse_args(words)


def parser(text: str, count: int) -> argparse.ArgumentParser:
    """The options that all campaigns have."""
    found = argparse.ArgumentParser(description=text)
    found.add_argument("--seed", type=int, default=0, help="decides every case (default: 0)")
    found.add_argument("--count", type=int, default=count, help=f"cases (default: {count})")
    found.add_argument("--jobs", type=int, default=cores(), help="processes side by side")
    found.add_argument("--limit", type=float, default=30, help="seconds of one case (default: 30)")
    found.add_argument("--json", type=Path, help="where the counts and faults go as JSON")
    found.add_argument("--keep", type=Path, help="keep the files of all cases in this new folder")
    found.add_argument("--only", default="", help="one kind, or one case such as pictures:17")
    return found


@contextmanager
def scratch(keep: Path | None) -> Iterator[Path]:
    """The one folder that a campaign writes into; it is removed unless it is to be kept."""
    if keep is not None:
        keep.mkdir(parents=True)
        folder = keep.resolve()
    else:
        # In memory where that is possible: a disk would wait for every file to be flushed.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="hashprobe-campaign-", dir=memory)).resolve()
    # So that the folder is removed when the campaign itself is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    homes = {name: os.environ.get(name) for name in ("TORCH_HOME", "XDG_CACHE_HOME", "TMPDIR")}
    for name in homes:
        os.environ[name] = str(folder / "home")
    (folder / "home").mkdir()
    tempfile.tempdir = None
    try:
        yield folder
    finally:
        for name, value in homes.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        tempfile.tempdir = None
        if keep is None:
            remove(folder)


class Results:
    """Counts by kind and outcome, and the faults; printed, and written as JSON."""

    def __init__(self, campaign: str, options: argparse.Namespace, whole: int) -> None:
        self.campaign, self.options, self.whole = campaign, options, whole
        self.counts: dict[str, Counter[str]] = {}
        self.faults: list[dict[str, str]] = []
        self.skipped: list[str] = []
        self.begin = self.told = time.monotonic()

    def add(self, case: Case, outcome: str, seen: str) -> None:
        """Counts one case; a fault is printed at once with the command that repeats it."""
        self.counts.setdefault(case.family, Counter())[outcome] += 1
        if outcome in FAULTS:
            again = f"python campaigns/{self.campaign}.py --only {case.name}"
            again += f" --seed {self.options.seed}"
            ran = " ; ".join("hashprobe " + " ".join(words) for words in case.commands)
            fault = {"case": case.name, "outcome": outcome, "input": shown(case.title)[:300]}
            fault |= {"ran": shown(ran)[:600], "seen": seen[:600], "again": again}
            self.faults.append(fault)
            print(f"{outcome}: {case.name}: {fault['input']}: {fault['seen'][:300]}", flush=True)
        now = time.monotonic()
        if now - self.told > 10:
            self.told = now
            left = (now - self.begin) / self.done * (self.whole - self.done)
            said = f"{self.campaign}: {self.done}/{self.whole}, {len(self.faults)} faults"
            print(f"{said}, {left:.0f} s left", file=sys.stderr, flush=True)

    def judge(self, cases: Iterable[Case], folder: Path, patience: float = 10) -> int:
        """Runs cases, each with so many limits of time, counts them and returns the exit code."""
        options = self.options
        limit, keep = options.limit * patience, options.keep is not None
        for case, outcome, seen, _ in Pool(folder, options.jobs, limit, keep).judged(cases):
            self.add(case, outcome, seen)
        return self.finish()

    def skip(self, text: str) -> None:
        """Says what cannot be done on this machine."""
        self.skipped.append(text)
        print(f"skipped: {text}", flush=True)

    @property
    def done(self) -> int:
        """Cases so far."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def rows(self) -> list[dict[str, Any]]:
        """One row a kind: cases, then the number of each outcome."""
        named = [(name, self.counts[name]) for name in sorted(self.counts)]
        whole = sum(self.counts.values(), Counter[str]())
        return [
            {"kind": name, "cases": sum(count.values()), **{o: count[o] for o in GOOD + FAULTS}}
            for name, count in [*named, ("all", whole)]
        ]

    def finish(self) -> int:
        """Prints the table, writes the JSON file, and returns the exit code: 1 with a fault."""
        seconds = time.monotonic() - self.begin
        rows = self.rows()
        heads = ["kind", "cases", *GOOD, *(name for name in FAULTS if rows[-1][name])]
        print(f"\n{self.campaign}, seed {self.options.seed}, {seconds:.0f} s")
        widths = [max(len(str(row[head])) for row in [*rows, dict(zip(heads, heads, strict=True))])
                  for head in heads]  # fmt: skip
        for row in [dict(zip(heads, heads, strict=True)), *rows]:
            cells = [f"{row[head]!s:>{width}}" for head, width in zip(heads, widths, strict=True)]
            print("  ".join([f"{row['kind']!s:<{widths[0]}}", *cells[1:]]))
        print(f"{self.done} cases, {len(self.faults)} faults; the goal is 0", flush=True)
        if self.options.json is not None:
            content = {
                "campaign": self.campaign,
                "seed": self.options.seed,
                "seconds": round(seconds, 1),
                "jobs": self.options.jobs,
                "machine": machine(),
                "rows": rows,
                "faults": self.faults,
                "skipped": self.skipped,
            }
            self.options.json.parent.mkdir(parents=True, exist_ok=True)
            self.options.json.write_text(json.dumps(content, indent=1) + "\n")
        return int(bool(self.faults))


def machine() -> str:
    """The machine in one line."""
    known = environment()
    torch = known["packages"].get("torch", "?")
    return f"{known['cpus']} cores, {known['platform']}, Python {known['python']}, torch {torch}"
