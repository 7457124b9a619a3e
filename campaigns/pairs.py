"""Starts two commands on one run folder at nearly the same time.

Each must succeed, or say in one line who holds the folder (exit code 2). Afterwards the folder is
whole: at least one of two attacks is there, and the same commands one after the other give the
files of an undisturbed run. Exits with 1 if there was any fault.
"""

import argparse
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cases import Case, judge
from common import Results, arguments, scratch
from plans import (
    ATTACK,
    DIGITS,
    ENCODE,
    OTHER,
    REPORT,
    States,
    begin,
    differences,
    finish,
    leftovers,
    verdict,
)
from stage import warm


COUNT = 48
NAMED = ("--name", "x", "--overwrite")
X, ONE = (*ATTACK, *NAMED), "attacks/x/evaluation.json"
Y = (*OTHER, *NAMED)
OWN = "attacks/dhta-64of255-seed1/evaluation.json"
READERS = ("report", "evaluate")


@dataclass(frozen=True)
class Pair:
    """Two commands, and those that come before."""

    name: str
    before: tuple[tuple[str, ...], ...]
    first: tuple[str, ...]
    second: tuple[str, ...]
    result: str = ""
    """A file that must be there if one of both has succeeded."""


TRAIN = DIGITS
PAIRS = (
    Pair("train+train", (), TRAIN, TRAIN, "model/model.safetensors"),
    Pair("encode+encode", (TRAIN,), ENCODE, ENCODE, "codes/database.npz"),
    Pair("attack+attack", (TRAIN, ENCODE), ATTACK, ATTACK, OWN),
    Pair("attack+other", (TRAIN, ENCODE), ATTACK, OTHER, "attacks"),
    Pair("overwrite twice", (TRAIN, ENCODE), X, Y, ONE),
    Pair("overwrite the same", (TRAIN, ENCODE, X), X, X, ONE),
    Pair("attack+encode", (TRAIN, ENCODE), ATTACK, ENCODE, "codes/query.npz"),
    Pair("encode+attack", (TRAIN,), ENCODE, ATTACK, "codes/query.npz"),
    Pair("train+encode", (TRAIN,), TRAIN, ENCODE, "codes/query.npz"),
    Pair("report+attack", (TRAIN, ENCODE, OTHER), REPORT, ATTACK, "report.html"),
    Pair("report+overwrite", (TRAIN, ENCODE, X), REPORT, Y, ONE),
    Pair("report+report", (TRAIN, ENCODE, ATTACK), REPORT, REPORT, "report.html"),
)  # fmt: skip


@dataclass(frozen=True)
class Ready:
    """A pair with its folders and the seconds of its longer command."""

    pair: Pair
    before: Path
    after: Path
    seconds: float


def prepare(states: States, pairs: tuple[Pair, ...]) -> list[Ready]:
    """Runs the commands before each pair, and each pair one after the other."""
    found = []
    for pair in pairs:
        one = (*pair.before, pair.first)
        both = (*one, pair.second)
        before, after = states.after(pair.before), states.after(both)
        seconds = max(states.seconds[one], states.seconds[both])
        found.append(Ready(pair, before, after, seconds))
    return found


def both(it: Ready, delay: float, limit: float) -> tuple[str, str]:
    """Both commands at once, then one after the other; the outcome and what was seen."""
    where = Path("both").resolve()
    shutil.copytree(it.before, where)
    first = begin(it.pair.first, where, limit)
    time.sleep(delay * it.seconds)
    second = begin(it.pair.second, where, limit)
    codes = []
    for words, other, running in ((it.pair.first, second, first), (it.pair.second, first, second)):
        ended = finish(running)
        outcome, seen = judge(Case(""), ended)
        if outcome not in ("ok", "refused"):
            return outcome, f"{words[0]} beside {other.case.title.split()[0]}: {seen}"
        codes.append(ended.code)
    if left := leftovers(where):
        return "damage", f"after both {left}"
    if 0 not in codes and it.pair.first[0] not in READERS:
        return "damage", "each refused because of the other"
    if 0 in codes and it.pair.result and not (where / "run" / it.pair.result).exists():
        return "damage", f"{it.pair.result} is missing although a command succeeded"
    for words in (it.pair.first, it.pair.second):
        outcome, seen = judge(Case("", wanted="ok"), finish(begin(words, where, limit)))
        if outcome != "ok":
            return outcome, f"{words[0]} alone afterwards: {seen}"
    # A page shows the seconds of attacks, which were others in the undisturbed run.
    seen = differences(where, it.after, without="report.html")
    return ("damage", seen) if seen else ("ok", "")


def run(
    options: argparse.Namespace, states: States, folder: Path, names: tuple[str, ...] = ()
) -> int:
    """Runs the campaign, and returns the exit code."""
    kind, _, number = options.only.partition(":")
    wanted = [p for p in PAIRS if (not names or p.name in names)]
    if kind:
        wanted = [p for p in wanted if p.name.replace(" ", "-") == kind]
    ready = prepare(states, tuple(wanted))
    cases = []
    for i in range(options.count):
        it = ready[i % len(ready)]
        delay = float(np.random.default_rng([options.seed, i]).uniform(0, 0.9))
        # A third starts at the same moment.
        delay = 0.0 if i % 3 == 0 else delay
        call = verdict(
            lambda it=it, delay=delay: both(it, delay, options.limit * 4), Path("verdict")
        )
        title = f"{it.pair.name}, {delay:.0%} of the time between them"
        commands = (it.pair.first, it.pair.second)
        family = it.pair.name.replace(" ", "-")
        cases.append(Case(title, commands, call=call, verdict=True, family=family, number=i))
    if number:
        cases = [case for case in cases if case.name == options.only]
    results = Results("pairs", options, len(cases))
    return results.judge(cases, folder / "pairs")


def main() -> int:
    """The command line."""
    options = arguments(__doc__ or "", COUNT)
    warm()
    with scratch(options.keep) as folder:
        return run(options, States(folder / "undisturbed"), folder)


if __name__ == "__main__":
    sys.exit(main())
