"""Commands that are stopped, starved or run twice, what they need, and how results are compared."""

import hashlib
import importlib.util
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, Ended, words_of
from forks import Running, end_group, poll, start


DIGITS = words_of(
    "train digits --size 8 --bits 16 --epochs 4 --batch-size 25 --optimiser adamw --lr 3e-3 "
    "--held-out 0 --save-seconds 0 --augment none --out run"
)
CLIPS = words_of(
    "train moving-digits --size 16 --frames 6 --hidden 8 --bits 8 --epochs 2 --batch-size "
    "24 --optimiser adamw --lr 3e-3 --held-out 0 --augment none --out run"
)
ENCODE = ("encode", "run")
ATTACK = words_of("attack dhta run --queries 6 --steps 20 --batch-size 1 --eps 64/255 --seed 1")
OTHER = words_of("attack p2p run --queries 6 --steps 20 --batch-size 1 --eps 64/255 --seed 1")
"""Queries one by one: a resumed attack would make other batches, with other last digits."""
FIXED = words_of(
    "attack dhta run --queries 6 --steps 20 --batch-size 4 --deterministic --eps 64/255 --seed 1"
)
"""The mode in which batches stay the same."""
SHARDS = words_of(
    "attack dhta run --queries 10 --steps 20 --batch-size 1 --shard 4 --eps 64/255 --seed 1"
)
"""Results in files of several queries each."""
REPORT = ("report", "run", "--examples", "2")
REPRODUCE = words_of("reproduce table8 --queries 2 --out run")
FILM = words_of("attack p2p run --queries 2 --steps 3 --batch-size 1 --seed 1")


@dataclass(frozen=True)
class Plan:
    """A command, and what the folder must hold before it."""

    name: str
    before: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]


def plans() -> tuple[Plan, ...]:
    """Every command that writes; clips only where video files can be written."""
    digits = DIGITS
    film = (*FILM, "--codec", "h264") if importlib.util.find_spec("av") else FILM
    return (
        Plan("train", (), digits),
        Plan("encode", (digits,), ENCODE),
        Plan("attack", (digits, ENCODE), ATTACK),
        Plan("deterministic", (digits, ENCODE), FIXED),
        Plan("shards", (digits, ENCODE), SHARDS),
        Plan("report", (digits, ENCODE, ATTACK), REPORT),
        Plan("reproduce", (), REPRODUCE),
        Plan("video", (CLIPS, ENCODE), film),
    )


@dataclass(frozen=True)
class Prepared:
    """A plan with the folder before it and after an undisturbed run, and the time that one took."""

    plan: Plan
    before: Path
    after: Path
    seconds: float


Commands = tuple[tuple[str, ...], ...]


class States:
    """Folders after commands that nobody disturbed; each command is run once for all campaigns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[Commands, Path] = {}
        self.seconds: dict[Commands, float] = {}

    def after(self, done: Commands) -> Path:
        """The folder after some commands, which must not be written into."""
        if done not in self.made:
            earlier = self.after(done[:-1]) if done else None
            where = self.folder / f"state-{len(self.made)}"
            if earlier is None:
                where.mkdir(parents=True)
            else:
                shutil.copytree(earlier, where)
                self.seconds[done] = undisturbed(done[-1], where)
            self.made[done] = where
        return self.made[done]


def prepare(states: States, chosen: tuple[Plan, ...]) -> dict[str, Prepared]:
    """Runs each plan undisturbed."""
    found = {}
    for plan in chosen:
        whole = (*plan.before, plan.command)
        before, after = states.after(plan.before), states.after(whole)
        found[plan.name] = Prepared(plan, before, after, states.seconds[whole])
    return found


def undisturbed(words: tuple[str, ...], where: Path) -> float:
    """Runs a command in a folder and returns the seconds that it took."""
    ended = finish(begin(words, where, 600))
    if ended.code:
        text = " ".join(words)
        raise SystemExit(f"{text} ended with {ended.code}:\n{ended.out}{ended.err}")
    return ended.seconds


def begin(
    words: tuple[str, ...], where: Path, limit: float, *, beside: Path | None = None, **more: Any
) -> Running:
    """Starts a command in a folder that exists; its output goes beside the folder."""
    outside = beside or where.parent
    beside = outside / f"{where.name}.said-{len(list(outside.iterdir()))}"
    return start(Case(" ".join(words), (words,), **more), beside, limit, work=where)


def finish(running: Running) -> Ended:
    """Waits for the end of a command."""
    while (ended := poll(running)) is None:
        time.sleep(0.002)
    return ended


# Comparison

NOT_COMPARED: dict[str, tuple[str, ...]] = {
    "run.json": ("created",),
    "model.json": ("training.seconds",),
    "attack.json": ("cost.seconds",),
    "checksums.json": ("model/model.json",),
    "metrics.jsonl": ("time", "seconds"),
    "*.npz": ("seconds",),
    "reproduce": ("seconds", "created", "date"),
    "*.html": ("cells that are a time, as 9 s or 2 min in all",),
}
"""Dates and times by file; everything else must be equal to the last byte."""
TIMES = re.compile(r">\s*[\d.,]+ (?:s|min in all)<")


def differences(one: Path, other: Path, without: str = "") -> str:
    """The first difference between two folders, but for files of a name; empty if there is none."""
    same_names(one)
    same_names(other)
    names = [sorted(files(folder)) for folder in (one, other)]
    if names[0] != names[1]:
        odd = sorted(set(names[0]) ^ set(names[1]))
        return f"only one of both has {', '.join(odd[:4])}"
    for name in names[0]:
        a, b = one / name, other / name
        if a.name == without:
            continue
        if a.read_bytes() != b.read_bytes() and (seen := difference(a, b)):
            return f"{name} differs: {seen}"
    return ""


def same_names(folder: Path) -> None:
    """Names folders of `reproduce` by what was asked; their own names depend on a time."""
    for path in sorted(folder.rglob("attacks/*")):
        record = path / "attack.json"
        digits = re.search(r"-([0-9a-f]{12})$", path.name)
        if not digits or not record.exists():
            continue
        asked = {**json.loads(record.read_text()), "cost": None}
        name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:11]
        path.rename(path.with_name(path.name.replace(digits[1], f"x{name}")))
        for text in [*folder.rglob("*.json"), *folder.rglob("*.jsonl")]:
            if digits[1] in (content := text.read_text()):
                text.write_text(content.replace(digits[1], f"x{name}"))


def files(folder: Path) -> Iterator[str]:
    """The files and links below a folder, but for the times of the data's files."""
    for path in folder.rglob("*"):
        if path.name != "digests.npz" and (path.is_symlink() or not path.is_dir()):
            yield str(path.relative_to(folder))


def difference(one: Path, other: Path) -> str:
    """How two files differ beyond dates and times; empty if they do not."""
    if one.suffix == ".npz":
        arrays = [dict(np.load(path)) for path in (one, other)]
        for key in sorted(arrays[0].keys() | arrays[1].keys()):
            same = key in arrays[0] and key in arrays[1]
            if key not in NOT_COMPARED["*.npz"] and not (same and equal(arrays, key)):
                return key
        return ""
    if one.name == "metrics.jsonl":
        return compare_logs(one, other)
    if one.suffix == ".json":
        values = [json.loads(path.read_text()) for path in (one, other)]
        for path in NOT_COMPARED.get(one.name, NOT_COMPARED["reproduce"]):
            for value in values:
                drop(value, path)
        return first_difference(values[0], values[1])
    if one.suffix == ".html":
        pages = [TIMES.sub(">time<", path.read_text()).splitlines() for path in (one, other)]
        lines = (
            f"{a.strip()} | {b.strip()}" for a, b in zip_longest(*pages, fillvalue="") if a != b
        )
        return next(lines, "")
    return "its bytes"


def equal(arrays: list[dict[str, np.ndarray]], key: str) -> bool:
    """Whether both files hold the same array."""
    a, b = arrays[0][key], arrays[1][key]
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def drop(value: Any, path: str) -> None:
    """Removes a place from a JSON value; keys may hold dots or slashes."""
    if isinstance(value, list):
        for item in value:
            drop(item, path)
    if not isinstance(value, dict):
        return
    value.pop(path, None)
    first, _, rest = path.partition(".")
    if rest and first in value:
        drop(value[first], rest)
    elif not rest:
        for item in value.values():
            drop(item, path)


def first_difference(one: Any, other: Any, where: str = "") -> str:
    """The first place at which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if key not in one or key not in other:
                return f"{where}.{key} is missing in one"
            if seen := first_difference(one[key], other[key], f"{where}.{key}"):
                return seen
        return ""
    return "" if one == other else f"{where}: {str(one)[:60]} and {str(other)[:60]}"


def compare_logs(one: Path, other: Path) -> str:
    """Logs hold the same events in the same order; a repeated command may repeat its events."""
    kept: list[list[str]] = []
    for path in (one, other):
        events = []
        for line in path.read_text().splitlines():
            value = json.loads(line)
            for name in NOT_COMPARED["metrics.jsonl"]:
                drop(value, name)
            text = json.dumps(value, sort_keys=True)
            if text not in events:
                events.append(text)
        kept.append(events)
    odd = set(kept[0]) ^ set(kept[1])
    return sorted(odd)[0][:200] if odd else ""


def leftovers(folder: Path) -> str:
    """Temporary files and locks that a command left behind."""
    found = [name for name in files(folder) if name.endswith((".part", ".tmp", ".lock"))]
    return f"{found[0]} is left behind" if found else ""


def verdict(make: Callable[[], tuple[str, str]], where: Path) -> Callable[[], None]:
    """A call whose outcome is what a function says, kept in a file for the judge."""

    def call() -> None:
        where.write_text(json.dumps(make()))

    return call


def stop_all(*running: Running) -> None:
    """Ends commands that still run."""
    for one in running:
        end_group(one.pid)
