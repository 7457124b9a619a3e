"""What ends a command from outside: a signal to stop, or a pipe that nobody reads any more."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


BROKEN_PIPE = 141
"""The exit code that a shell shows of a program whose output nobody reads (128 + SIGPIPE)."""
STOPS = ("SIGTERM", "SIGHUP")
"""Signals that end a command as Ctrl-C does."""


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end.

    Example:
        >>> Stopped(signal.SIGTERM).code
        143
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


@contextmanager
def stopping_signals() -> Iterator[None]:
    """Turns signals that ask the process to end into `Stopped`, while the block lasts.

    A signal that is ignored, as `nohup` has it, stays ignored. Only the main thread can do this.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in STOPS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop(number: int, _: FrameType | None) -> None:
    """Ends the main thread's work; a second signal of the kind ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


def by_worker(error: BaseException) -> bool:
    """Whether an error is about a worker process that the same signal ended first."""
    return isinstance(error, RuntimeError) and "killed by signal: Terminated" in str(error)


def end_silently() -> int:
    """Sends what is still to be written nowhere; the exit code of a broken pipe."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return BROKEN_PIPE
