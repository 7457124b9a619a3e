"""What the campaigns share: cases, the processes that run them, the judge, and the results."""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal


# Before torch is loaded: small tensors would only wait for threads, and forks must have none.
os.environ["OMP_NUM_THREADS"] = "1"

from hashprobe.errors import HashprobeError
from hashprobe.storage.environment import cores, environment


GOOD = ("ok", "refused")
"""Outcomes that a campaign wants."""
FAULTS = (
    "silent acceptance",
    "wrong refusal",
    "traceback",
    "crash",
    "wrong exit code",
    "hang",
    "unclear error",
    "damage",
)
"""Outcomes that a campaign counts as faults; the goal is 0 of each."""
MEANINGS = {
    "ok": "exit code 0, and the input may be accepted",
    "refused": "exit code 2 and one line that names the input",
    "silent acceptance": "exit code 0 for an input that must be refused",
    "wrong refusal": "exit code 2 for a good input",
    "traceback": "a traceback, or an exception of the library that is not documented",
    "crash": "the process was ended by a signal that nobody sent",
    "wrong exit code": "neither 0 nor 2 (after a signal: 128 and its number)",
    "hang": "no end within the limit of time, or of processes",
    "unclear error": "several lines, the input is not named, or control characters are printed",
    "damage": "files that the command did not make have changed, or a result differs",
}
MEMORY = 3 << 30
"""Bytes of address space that a case may take beyond those of the campaign itself."""
LARGEST_FILE = 1 << 30
"""Bytes of one file that a case may write."""
MOST_PROCESSES = 40
"""Processes that a case may start."""
FLOOD = 99
"""Exit code of a case that started too many processes."""

Wanted = Literal["ok", "refused", "either"]


@dataclass(frozen=True)
class Ended:
    """How a case ended: exit code (negative for a signal), output and time."""

    code: int
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    late: bool = False


@dataclass(frozen=True)
class Case:
    """One input: what is wrong with it, what is run on it, and what must come out."""

    title: str
    """What was done to the input."""
    commands: tuple[tuple[str, ...], ...] = ()
    """Words after `hashprobe`, one tuple a command; the first that fails ends the case."""
    call: Callable[[], object] | None = None
    """A call of the library in place of commands."""
    wanted: Wanted = "either"
    """Whether the last command must accept the input, refuse it, or may do either."""
    names: tuple[str, ...] = ()
    """The error must contain one of these texts; none means that any line will do."""
    prepare: Callable[[Path], object] | None = None
    """Makes the files of the case in its own empty folder."""
    check: Callable[[Path, Ended], str] | None = None
    """What is damaged after the end, in words; empty if nothing is."""
    documented: tuple[str, ...] = ()
    """Names of exceptions that the library documents beside HashprobeError."""
    real: bool = False
    """Run in a new interpreter, as a person would, and not in a copy of this process."""
    inside: bool = False
    """Never run in a new interpreter: the limit of processes holds in copies only."""
    verdict: bool = False
    """The call judges by itself and writes outcome and words into the file `verdict`."""
    largest: int = LARGEST_FILE
    """Bytes of the largest file that it may write."""
    output: str | None = None
    """Where standard output goes: a file such as /dev/full, or a pipe that is `closed`."""
    family: str = ""
    number: int = 0

    @property
    def name(self) -> str:
        """What `--only` takes."""
        return f"{self.family}:{self.number}"


def judge(case: Case, ended: Ended, complaint: str = "") -> tuple[str, str]:
    """The outcome of a case and, for a fault, what was seen."""
    lines = ended.err.strip().splitlines()
    last = shown(lines[-1]) if lines else ""
    if ended.late:
        return "hang", f"no end after {ended.seconds:.0f} s; the last line is {last!r}"
    if ended.code == FLOOD:
        return "hang", f"more than {MOST_PROCESSES} processes were started"
    if ended.code < 0:
        return "crash", f"{signal.Signals(-ended.code).name}; the last line is {last!r}"
    if "Traceback (most recent call last)" in ended.out + ended.err:
        return "traceback", last
    if ended.code not in (0, 2):
        return "wrong exit code", f"{ended.code}; {last}"
    if complaint:
        return "damage", complaint
    if ended.code == 0 and case.wanted == "refused":
        return "silent acceptance", last or shown(ended.out[:200])
    if ended.code == 2 and case.wanted == "ok":
        return "wrong refusal", last
    raw = next((mark for mark in ended.out + ended.err if is_control(mark)), None)
    if raw is not None:
        return "unclear error", f"the control character {raw!r} is printed"
    if ended.code == 0:
        return "ok", ""
    if not last.startswith("error: ") or sum(line.startswith("error") for line in lines) != 1:
        return "unclear error", f"not one line that begins with error: {last!r}"
    if case.names and not any(name in lines[-1] for name in case.names):
        return "unclear error", f"names none of {', '.join(case.names)}: {last}"
    if len(lines[-1]) > 4000:
        return "unclear error", f"{len(lines[-1])} characters in one line: {last[:100]}"
    return "refused", last


def is_control(mark: str) -> bool:
    """Whether a character moves the cursor, changes colours or turns the direction of a text."""
    code = ord(mark)
    turns = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return (code < 32 and mark not in "\n\r\t") or 127 <= code < 160 or turns


def shown(text: str) -> str:
    """A text without control characters, at most 3,000 characters of it."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text[:3000])


# Processes


@dataclass
class Running:
    """A case that runs in a process of its own."""

    case: Case
    folder: Path
    pid: int
    start: float
    limit: float


def start(case: Case, folder: Path, limit: float, work: Path | None = None) -> Running:
    """Starts a case in a copy of this process; its output goes into files."""
    folder.mkdir(parents=True, exist_ok=True)
    if work is None:
        work = folder / "work"
        work.mkdir()
    if case.prepare is not None:
        case.prepare(work)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            enter(case, folder, work)
            code = run_here(case)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except OSError:
                    code = 120
            os._exit(code)
    # New interpreters take seconds to start.
    return Running(case, folder, pid, time.monotonic(), limit * 4 if case.real else limit)


def enter(case: Case, folder: Path, work: Path) -> None:
    """Makes this process one of a case: own group, own output, limits of memory and of files."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    outputs = (os.devnull, case.output or folder / "out", folder / "err")
    for number, name in enumerate(outputs):
        if name == "closed":
            reader, handle = os.pipe()
            os.close(reader)
        else:
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            handle = os.open(name, flags, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    told = {"closefd": False, "encoding": "utf-8", "errors": "backslashreplace"}
    sys.stdout, sys.stderr = os.fdopen(1, "w", **told), os.fdopen(2, "w", **told)
    os.chdir(work)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (case.largest, resource.RLIM_INFINITY))


def run_here(case: Case) -> int:
    """Runs the commands or the call of a case in this process, and returns the exit code."""
    if case.call is not None:
        return run_call(case)
    if case.real:
        return run_real(case)
    count_processes()
    from hashprobe.cli import main

    code = 0
    for words in case.commands:
        sys.argv = ["hashprobe", *words]
        try:
            main(list(words))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code:
            break
    return code


def run_call(case: Case) -> int:
    """Calls the library; an error that it documents counts as a refusal."""
    assert case.call is not None
    try:
        case.call()
    except Exception as error:
        names = {kind.__name__ for kind in type(error).__mro__[:-3]}
        if isinstance(error, HashprobeError) or names & set(case.documented):
            print("error:", " ".join(str(error).split()), file=sys.stderr)
            return 2
        traceback.print_exc()
        return 1
    return 0


def run_real(case: Case) -> int:
    """Runs the commands of a case one after the other in new interpreters."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    for words in case.commands:
        done = subprocess.run([*program(), *words], check=False)
        if done.returncode < 0:
            # As if this process had met the signal itself.
            signal.signal(-done.returncode, signal.SIG_DFL)
            os.kill(os.getpid(), -done.returncode)
        if done.returncode:
            return done.returncode
    return 0


def program() -> list[str]:
    """The words that start hashprobe in a new interpreter."""
    return [sys.executable, "-c", "from hashprobe.cli import main; main()"]


def count_processes() -> None:
    """Ends this process once it has started more processes than a case may."""
    from multiprocessing import util

    started = 0

    def count() -> None:
        nonlocal started
        started += 1
        if started > MOST_PROCESSES:
            os._exit(FLOOD)

    def hook(event: str, _: Any) -> None:
        if event in ("os.fork", "subprocess.Popen", "os.posix_spawn"):
            count()

    sys.addaudithook(hook)
    spawn = util.spawnv_passfds

    def spawning(*given: Any) -> int:
        count()
        return int(spawn(*given))

    util.spawnv_passfds = spawning  # type: ignore[assignment]


def poll(running: Running) -> Ended | None:
    """How a case ended; None while it runs. A late one is ended with all that it started."""
    pid, status = os.waitpid(running.pid, os.WNOHANG)
    seconds, late = time.monotonic() - running.start, False
    if pid == 0:
        if seconds < running.limit:
            return None
        late = True
    end_group(running.pid)
    if late:
        _, status = os.waitpid(running.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    out, err = (read_text(running.folder / name) for name in ("out", "err"))
    return Ended(code, out, err, seconds, late)


def end_group(pid: int) -> None:
    """Ends what is left of the group of a case."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def read_text(path: Path) -> str:
    """The first megabyte of what a case printed."""
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        return stream.read(1 << 20).decode("utf-8", "surrogateescape")


@dataclass
class Pool:
    """Runs cases side by side, each in a process of its own, and judges them."""

    folder: Path
    jobs: int
    limit: float
    keep: bool = False
    running: list[Running] = field(default_factory=list)

    def judged(self, cases: Iterable[Case]) -> Iterator[tuple[Case, str, str, Ended]]:
        """Each case with its outcome and what was seen, in the order in which they end."""
        try:
            for case in cases:
                while len(self.running) >= self.jobs:
                    yield from self.finished()
                where = self.folder / "cases" / f"{case.family or 'case'}-{case.number}"
                self.running.append(start(case, where, self.limit))
            while self.running:
                yield from self.finished()
        finally:
            for running in self.running:
                end_group(running.pid)

    def finished(self) -> Iterator[tuple[Case, str, str, Ended]]:
        """Cases that have ended by now; waits a little if there are none."""
        some = False
        for running in list(self.running):
            ended = poll(running)
            if ended is None:
                continue
            some = True
            self.running.remove(running)
            case, complaint = running.case, ""
            if case.verdict and (running.folder / "work" / "verdict").exists() and not ended.code:
                outcome, seen = json.loads((running.folder / "work" / "verdict").read_text())
                if not self.keep:
                    remove(running.folder)
                yield case, outcome, seen, ended
                continue
            if case.check is not None and not ended.late:
                complaint = case.check(running.folder / "work", ended)
            if not self.keep:
                remove(running.folder)
            yield (case, *judge(case, ended, complaint), ended)
        if not some:
            time.sleep(0.003)


def remove(folder: Path) -> None:
    """Removes the folder of a case, whatever it holds; links are not followed."""
    shutil.rmtree(os.fsencode(folder), ignore_errors=True)


# The command line and the results


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


def words_of(text: str) -> tuple[str, ...]:
    """The words of a command."""
    return tuple(text.split())


def numbered(case: Case, family: str, number: int) -> Case:
    """A case with its name."""
    return replace(case, family=family, number=number)
