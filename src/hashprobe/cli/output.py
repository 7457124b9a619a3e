"""What commands print, with names of files and labels shown as they are."""

import sys
from contextlib import suppress

from hashprobe.text import visible


def say(text: str, *, error: bool = False, end: str = "\n") -> None:
    r"""Prints a result to standard output, or a line to standard error: the only place that does.

    Args:
        text: names in it are shown as they are, control characters as escapes.
        error: whether it goes to standard error.
        end: what follows it.

    Example:
        >>> say("class :dog: [bold] \x1b[31m")
        class :dog: [bold] \x1b[31m
    """
    stream = sys.stderr if error else sys.stdout
    # A full disk behind standard error must not hide the exit code.
    with suppress(*((OSError,) if error else ())):
        print(showable(text, stream.encoding), file=stream, end=end)


def showable(text: str, encoding: str | None) -> str:
    """A text without control characters, and with escapes for what an encoding does not have."""
    name = encoding or "utf-8"
    return visible(text).encode(name, "backslashreplace").decode(name)
