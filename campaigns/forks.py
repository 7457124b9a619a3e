"""Runs cases in processes of their own, which have limits of time, memory and size of files."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases import FLOOD, MOST_PROCESSES, Case, Ended, judge

from hashprobe.errors import HashprobeError


MEMORY = 3 << 30
"""Bytes of address space that a case may take beyond those of the campaign itself."""


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
