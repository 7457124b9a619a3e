"""The progress that a person sees: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hashprobe.cli.garbage import loaded
from hashprobe.cli.output import showable
from hashprobe.progress import Tick


PLAIN_SECONDS = 30.0
"""Seconds between two lines if there is no terminal."""


class Terminal:
    """A `hashprobe.progress.Progress` on standard error; standard output holds results only."""

    def __init__(self) -> None:
        loaded()  # what is to be told of begins only now
        self.console = Console(
            stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False
        )

    def log(self, text: str) -> None:
        """Shows one line that stays."""
        self.console.print(showable(text, self.console.encoding))

    @contextmanager
    def bar(self, title: str) -> Iterator[Tick]:
        """Shows a progress bar with the time left; without a terminal, a line now and then."""
        if not self.console.is_terminal:
            yield self.plain(title)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(showable(title, self.console.encoding), total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    def plain(self, title: str) -> Tick:
        """A tick that shows a line every half minute, with the time left."""
        shown = time.monotonic()
        start: tuple[float, int] | None = None

        def tick(done: int, total: int) -> None:
            nonlocal shown, start
            now = time.monotonic()
            # Items that an earlier run finished took no time of this one.
            start = start or (now, done)
            if now - shown < PLAIN_SECONDS or done <= start[1]:
                return
            shown = now
            left = (now - start[0]) / (done - start[1]) * (total - done)
            self.log(f"{title}: {done}/{total}, {left:.0f} s left")

        return tick
