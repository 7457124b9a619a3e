"""Cases of the campaigns: what is run, what must come out, and the judge."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal


# Before torch is loaded: small tensors would only wait for threads, and forks must have none.
os.environ["OMP_NUM_THREADS"] = "1"

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


def words_of(text: str) -> tuple[str, ...]:
    """The words of a command."""
    return tuple(text.split())


def numbered(case: Case, family: str, number: int) -> Case:
    """A case with its name."""
    return replace(case, family=family, number=number)
