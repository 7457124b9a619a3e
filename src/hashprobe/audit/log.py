"""Where the steps of an audit say what they do."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable


Tick = Callable[[int, int], None]
"""Called with (done, in all)."""


@runtime_checkable
class Screen(Protocol):
    """Where a step says what it does."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def bar(self, title: str) -> AbstractContextManager[Tick]:
        """A progress bar while the context lasts."""


class Silence:
    """A screen that shows nothing.

    Example:
        >>> with Silence().bar("waiting") as tick:
        ...     tick(1, 2)
    """

    def say(self, text: str) -> None:
        """Nothing."""

    def bar(self, title: str) -> AbstractContextManager[Tick]:
        """Nothing."""
        return nullcontext(lambda done, total: None)
