"""Who is told while something is computed; a leaf: standard library alone."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias, runtime_checkable


Tick: TypeAlias = Callable[[int, int], None]
"""Called with (done, in all)."""


@runtime_checkable
class Progress(Protocol):
    """Shows lines and progress bars; a terminal is one, `Silent` another."""

    def log(self, text: str) -> None:
        """Shows one line that stays."""

    def bar(self, title: str) -> AbstractContextManager[Tick]:
        """Shows a progress bar while the context lasts."""


class Silent:
    """Shows nothing.

    Example:
        >>> with Silent().bar("waiting") as tick:
        ...     tick(1, 2)
    """

    def log(self, text: str) -> None:
        """Shows nothing."""

    def bar(self, title: str) -> AbstractContextManager[Tick]:
        """Shows nothing."""
        return nullcontext(lambda done, total: None)
