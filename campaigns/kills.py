"""Ends commands by signals at random moments, starts them again, and compares all files.

Each command is ended once in the middle: mostly by SIGKILL, sometimes by SIGTERM or Ctrl-C. The
same command then goes on, and its folder must be equal to that of a command that nobody disturbed,
to the last byte but for dates and times (`NOT_COMPARED` of plans.py). Exits with 1 if there was any
fault.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
from cases import Case, judge
from common import Results, arguments, scratch
from plans import Prepared, States, begin, differences, finish, leftovers, plans, prepare, verdict
from stage import warm


COUNT = 100
SIGNALS = (signal.SIGKILL,) * 8 + (signal.SIGTERM, signal.SIGINT)
EXPECTED = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
WEIGHTS = {
    "train": 20,
    "encode": 15,
    "attack": 15,
    "shards": 10,
    "deterministic": 5,
    "report": 10,
    "reproduce": 10,
    "video": 15,
}
"""How many of 100 kills each command gets."""


def made(prepared: dict[str, Prepared], number: int, seed: int, limit: float) -> Case:
    """One kill by its number."""
    rng = np.random.default_rng([seed, number])
    names = [name for name in WEIGHTS if name in prepared]
    shares = np.array([WEIGHTS[name] for name in names], float)
    it = prepared[str(rng.choice(names, p=shares / shares.sum()))]
    number_of = SIGNALS[int(rng.integers(len(SIGNALS)))]
    moment = float(rng.uniform(0.05, 1.0))
    title = f"{number_of.name} at {moment:.0%} of {it.plan.name}"
    call = verdict(lambda: kill(it, number_of, moment, limit), Path("verdict"))
    return Case(
        title, (it.plan.command,), call=call, verdict=True, family=it.plan.name, number=number
    )


def kill(it: Prepared, number: signal.Signals, moment: float, limit: float) -> tuple[str, str]:
    """Ends a command in the middle and goes on with it; the outcome and what was seen."""
    for attempt in range(8):
        where = Path(f"run-{attempt}").resolve()
        shutil.copytree(it.before, where)
        running = begin(it.plan.command, where, limit)
        time.sleep(max(0.02, moment * it.seconds * 0.7**attempt))
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, number)
        ended = finish(running)
        if ended.code != 0:
            break
    else:
        return "wrong exit code", f"{number.name} never met it in the middle"
    if ended.late:
        return "hang", f"no end after {number.name}"
    if ended.code != EXPECTED[number]:
        return "wrong exit code", f"{ended.code} after {number.name}: {ended.err.strip()[-200:]}"
    if "Traceback" in ended.err:
        return "traceback", f"after {number.name}: {ended.err.strip()[-200:]}"
    if number != signal.SIGKILL:
        last = ended.err.strip().splitlines()[-1:]
        if not last or not last[0].startswith("interrupted: "):
            return "unclear error", f"after {number.name}: {last}"
        if left := leftovers(where):
            return "damage", f"after {number.name} {left}"
    again = finish(begin(it.plan.command, where, limit))
    outcome, seen = judge(Case("", wanted="ok"), again)
    if outcome != "ok":
        return outcome, f"when it went on: {seen}"
    seen = leftovers(where) or differences(where, it.after)
    return ("damage", seen) if seen else ("ok", "")


def run(
    options: argparse.Namespace, states: States, folder: Path, names: tuple[str, ...] = ()
) -> int:
    """Runs the campaign, and returns the exit code."""
    kind, _, number = options.only.partition(":")
    only = tuple(plan for plan in plans() if not names or plan.name in names)
    prepared = prepare(states, only)
    numbers = [int(number)] if number else range(options.count)
    cases = [made(prepared, i, options.seed, options.limit * 4) for i in numbers]
    cases = [case for case in cases if kind in ("", case.family)]
    results = Results("kills", options, len(cases))
    return results.judge(cases, folder / "kills")


def main() -> int:
    """The command line."""
    options = arguments(__doc__ or "", COUNT)
    warm()
    with scratch(options.keep) as folder:
        return run(options, States(folder / "undisturbed"), folder)


if __name__ == "__main__":
    sys.exit(main())
