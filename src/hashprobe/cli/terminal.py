"""What a person sees while a command works: rich progress on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
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


PLAIN_SECONDS = 30.0

Tick = Callable[[int, int], None]
"""Called with (done, in all); as in `hashprobe.audit`, which takes seconds to import."""


class Terminal:
    """Lines and bars on standard error, so that standard output holds results only."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, markup=False)

    @contextmanager
    def bar(self, title: str) -> Iterator[Tick]:
        """A progress bar with the time left; off a terminal a line now and then."""
        if not self.console.is_terminal:
            yield self.plain(title)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    def plain(self, title: str) -> Tick:
        """A line every half minute, with the time left."""
        said = time.monotonic()
        start: tuple[float, int] | None = None

        def tick(done: int, total: int) -> None:
            nonlocal said, start
            now = time.monotonic()
            # What an earlier run had finished took no time of this one.
            start = start or (now, done)
            if now - said < PLAIN_SECONDS or done <= start[1]:
                return
            said = now
            left = (now - start[0]) / (done - start[1]) * (total - done)
            self.say(f"{title}: {done}/{total}, {left:.0f} s left")

        return tick
