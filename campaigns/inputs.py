"""Gives hashprobe malformed inputs of many kinds and counts how it answers each.

An answer is right if the input is refused in one line that names it (exit code 2), or accepted
where it may be (exit code 0). Exits with 1 if there was any fault.
"""

import argparse
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from cases import Case, numbered
from common import Results, arguments, scratch
from families import (
    archives,
    audits,
    folders,
    links,
    names,
    networks,
    pictures,
    recipes,
    records,
    texts,
    videos,
    weights,
)
from families import (
    options as flags,
)
from forks import Pool
from stage import Stage, build, warm


COUNT = 3000
Family = Callable[[np.random.Generator, Stage, int], Case]
FAMILIES: dict[str, tuple[Family, int]] = {
    "pictures": (pictures.cases, 550),
    "archives": (archives.cases, 450),
    "records": (records.cases, 500),
    "texts": (texts.cases, 300),
    "recipes": (recipes.cases, 150),
    "options": (flags.cases, 400),
    "folders": (folders.cases, 60),
    "links": (links.cases, 40),
    "names": (names.cases, 60),
    "weights": (weights.cases, 100),
    "networks": (networks.cases, 140),
    "videos": (videos.cases, 100),
    "audits": (audits.cases, 150),
}
"""Kinds with the number of each among 3,000."""
REAL_SHARE = 0.02
"""Share of the commands that run in a new interpreter."""


def shares(count: int, video: bool) -> dict[str, int]:
    """How many of each kind, at least one of each."""
    kinds = {name: size for name, (_, size) in FAMILIES.items() if video or name != "videos"}
    whole = sum(kinds.values())
    given = {name: max(1, count * size // whole) for name, size in kinds.items()}
    given["pictures"] += max(0, count - sum(given.values()))
    return given


def made(name: str, number: int, seed: int, stage: Stage) -> Case:
    """One case by its name; it depends on seed, kind and number alone."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    case = numbered(FAMILIES[name][0](rng, stage, number), name, number)
    if case.call is None and not case.inside and rng.random() < REAL_SHARE:
        return replace(case, real=True)
    return case


def chosen(options: argparse.Namespace, stage: Stage) -> list[Case]:
    """The cases of a campaign; a short one takes members from the whole range of each kind."""
    kind, _, number = options.only.partition(":")
    given = shares(options.count, stage.video)
    if kind and kind not in given:
        raise SystemExit(f"no kind {kind!r}: choose from {', '.join(given)}")
    if number:
        return [made(kind, int(number), options.seed, stage)]
    return list(drawn(given, kind, options.seed, stage))


def drawn(given: dict[str, int], only: str, seed: int, stage: Stage) -> Iterator[Case]:
    """Cases by kind."""
    rng = np.random.default_rng(seed)
    for name, count in given.items():
        whole = max(count, FAMILIES[name][1])
        numbers = np.sort(rng.permutation(whole)[:count])
        if only in ("", name):
            yield from (made(name, int(number), seed, stage) for number in numbers)


def run(options: argparse.Namespace, stage: Stage, folder: Path) -> int:
    """Runs the campaign on good inputs that exist, and returns the exit code."""
    cases = chosen(options, stage)
    results = Results("inputs", options, len(cases))
    if not stage.video:
        results.skip("videos: the extra `video` is not installed")
    pool = Pool(folder / "inputs", options.jobs, options.limit, keep=options.keep is not None)
    for case, outcome, seen, ended in pool.judged(cases):
        results.add(case, outcome, seen)
        if len(cases) == 1:
            words = [" ".join(words) for words in case.commands]
            about = {"input": case.title, "wanted": case.wanted, "commands": words}
            print(json.dumps(about, indent=1), ended.out, ended.err, f"-> {outcome}", sep="\n")
    return results.finish()


def main() -> int:
    """The command line."""
    options = arguments(__doc__ or "", COUNT)
    warm()
    with scratch(options.keep) as folder:
        return run(options, build(folder / "good"), folder)


if __name__ == "__main__":
    sys.exit(main())
