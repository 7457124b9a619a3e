"""Takes the disk away from commands: full, read-only, files cut at a size, outputs that fail.

Each command must say in one line that the disk refused (exit code 2), lose nothing, and give the
same files as an undisturbed command once there is space again. Exits with 1 if there was any fault.

Full and read-only disks are small file systems in memory, which only root may mount; elsewhere
they are skipped, and a limit on the size of files stands for them.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cases import Case, Ended, judge, numbered
from common import Results, arguments, scratch
from plans import Prepared, States, begin, differences, finish, leftovers, plans, prepare, verdict
from stage import Stage, build, warm


COUNT = 60
AMPLE = 64 << 20
"""Bytes of a disk on which every command has space."""
LEAST = 4096
"""Bytes of the smallest limit on files: what a command prints is a file, too."""


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a small file system."""
    if os.geteuid() != 0:
        return False
    try:
        with mounted(folder / "probe", 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def mounted(where: Path, size: int) -> Iterator[Path]:
    """A file system of some bytes in memory while the context lasts."""
    where.mkdir(parents=True)
    options = f"size={size},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "hashprobe-campaign", str(where)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)


def again(where: Path, *options: str) -> None:
    """Changes the options of a mounted file system."""
    words = ["mount", "-o", ",".join(["remount", *options]), str(where)]
    subprocess.run(words, check=True, capture_output=True)


def bytes_of(folder: Path) -> int:
    """Bytes that a folder takes on a file system with pages of 4 KiB."""
    sizes = [-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file()]
    return sum(sizes) + 4096


def full(it: Prepared, share: float, limit: float) -> tuple[str, str]:
    """A disk that is full after a share of what the command writes."""
    size = bytes_of(it.before) + int(share * (bytes_of(it.after) - bytes_of(it.before)))
    with mounted(Path("disk").resolve(), max(size, 8192)) as disk:
        shutil.copytree(it.before, disk / "work")
        first = finish(begin(it.plan.command, disk / "work", limit, beside=disk.parent))
        # Measured sizes leave a little space that the command may do with.
        if seen := wrong(first, either=share > 0.8):
            return seen
        again(disk, f"size={AMPLE}")
        return goes_on(it, disk / "work", limit, disk.parent)


def read_only(it: Prepared, _: float, limit: float) -> tuple[str, str]:
    """A disk that cannot be written."""
    with mounted(Path("disk").resolve(), AMPLE) as disk:
        shutil.copytree(it.before, disk / "work")
        again(disk, "ro")
        first = finish(begin(it.plan.command, disk / "work", limit, beside=disk.parent))
        if seen := wrong(first, either=False):
            return seen
        again(disk, "rw")
        return goes_on(it, disk / "work", limit, disk.parent)


def cut(it: Prepared, share: float, limit: float) -> tuple[str, str]:
    """No file may grow beyond a size, as with a quota."""
    sizes = [path.stat().st_size for path in it.after.rglob("*") if path.is_file()]
    size = int(LEAST * (max(sizes) / LEAST) ** share)
    where = Path("run").resolve()
    shutil.copytree(it.before, where)
    first = finish(begin(it.plan.command, where, limit, largest=size))
    if seen := wrong(first, either=True):
        return seen
    return goes_on(it, where, limit, None)


def forbidden(it: Prepared, _: float, limit: float) -> tuple[str, str]:
    """A folder without the permission to write, for users other than root."""
    where = Path("run").resolve()
    shutil.copytree(it.before, where)
    os.chmod(where, 0o500)
    try:
        first = finish(begin(it.plan.command, where, limit))
    finally:
        os.chmod(where, 0o700)
    return wrong(first, either=False) or goes_on(it, where, limit, None)


def wrong(ended: Ended, either: bool) -> tuple[str, str] | None:
    """What is wrong with the answer of a command that met the disk; None if nothing is."""
    outcome, seen = judge(Case("", wanted="either" if either else "refused"), ended)
    return None if outcome in ("ok", "refused") else (outcome, seen)


def goes_on(it: Prepared, where: Path, limit: float, beside: Path | None) -> tuple[str, str]:
    """The same command with enough space gives the files of an undisturbed one."""
    if left := leftovers(where):
        return "damage", f"after the disk refused {left}"
    ended = finish(begin(it.plan.command, where, limit, beside=beside))
    outcome, seen = judge(Case("", wanted="ok"), ended)
    if outcome != "ok":
        return outcome, f"with space again: {seen}"
    seen = differences(where, it.after)
    return ("damage", seen) if seen else ("ok", "")


Step = Callable[[Prepared, float, float], tuple[str, str]]


def steps(root: bool) -> dict[str, Step]:
    """What can be done to a disk here."""
    if root:
        return {"full disk": full, "read-only disk": read_only, "size of files": cut}
    return {"size of files": cut, "no permission": forbidden}


def made(
    prepared: dict[str, Prepared], given: dict[str, Step], number: int, seed: int, limit: float
) -> Case:
    """One step by its number; kinds and commands take turns."""
    rng = np.random.default_rng([seed, number])
    kind = list(given)[number % len(given)]
    it = list(prepared.values())[(number // len(given)) % len(prepared)]
    share = float(rng.uniform(0, 1))
    return Case(
        f"{kind} at {share:.0%}: {it.plan.name}",
        (it.plan.command,),
        call=verdict(lambda: given[kind](it, share, limit), Path("verdict")),
        verdict=True,
        family=kind.replace(" ", "-"),
        number=number,
    )


def outputs(stage: Stage) -> list[Case]:
    """Commands whose standard output is full, or read by nobody."""
    cases = []
    commands = (
        ("evaluate", str(stage / "codes.npz")),
        ("evaluate", str(stage / "codes.npz"), "--json"),
        ("report", str(stage / "run"), "--markdown"),
        ("encode", str(stage / "run")),
        ("reproduce", "--list"),
        ("--help",),
        ("--version",),
    )
    for words in commands:
        name = " ".join([words[0], *words[2:]])
        call = verdict(lambda words=words: closed(words), Path("verdict"))
        cases.append(Case(f"{name}, read by nobody", (words,), call=call, verdict=True))
        case = Case(
            f"{name} > /dev/full", (words,), wanted="refused", output="/dev/full", real=True
        )
        cases += [case] if Path("/dev/full").exists() else []
    return cases


def closed(words: tuple[str, ...]) -> tuple[str, str]:
    """A command whose output goes into a pipe without a reader ends without a word."""
    where = Path("closed").resolve()
    where.mkdir()
    ended = finish(begin(words, where, 60, output="closed", real=True))
    if ended.late:
        return "hang", "no end"
    if "error" in ended.err.lower() or "Traceback" in ended.err:
        return "unclear error", f"it says {ended.err.strip()[-200:]!r}"
    if ended.code not in (0, 141, -13):
        return "wrong exit code", f"{ended.code}; 0, 141 or SIGPIPE are expected"
    return "ok", ""


def run(
    options: argparse.Namespace,
    states: States,
    folder: Path,
    stage: Stage,
    names: tuple[str, ...] = (),
) -> int:
    """Runs the campaign, and returns the exit code."""
    kind, _, number = options.only.partition(":")
    given = steps(can_mount(folder))
    prepared: dict[str, Prepared] = {}
    if kind != "outputs":
        only = tuple(plan for plan in plans() if not names or plan.name in names)
        prepared = prepare(states, only)
    cases = []
    if kind in ("", "outputs"):
        some = outputs(stage)
        cases = [numbered(case, "outputs", i) for i, case in enumerate(some)]
        cases = cases[: max(2, options.count // 3)]
    rest = options.count - len(cases)
    if prepared:
        cases += [made(prepared, given, i, options.seed, options.limit * 4) for i in range(rest)]
    if number:
        cases = [case for case in cases if case.name == options.only]
    cases = [case for case in cases if kind in ("", case.family)]
    results = Results("disk", options, len(cases))
    if "full disk" not in given:
        results.skip("full and read-only disks: only root may mount them")
    return results.judge(cases, folder / "disk")


def main() -> int:
    """The command line."""
    options = arguments(__doc__ or "", COUNT)
    warm()
    with scratch(options.keep) as folder:
        return run(options, States(folder / "undisturbed"), folder, build(folder / "good"))


if __name__ == "__main__":
    sys.exit(main())
