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


def note_kept(stop: KeyboardInterrupt, kept: bool, text: str) -> None:
    """Adds to an interrupt what of its step is finished.

    Args:
        stop: the interrupt, to be raised again.
        kept: whether anything is, so that the same call goes on from it.
        text: how much of how much.

    Example:
        >>> stop = KeyboardInterrupt()
        >>> note_kept(stop, False, "0 of 6 queries")
        >>> print(interruption(stop))
        nothing of this step is finished yet (0 of 6 queries); run the same command again
    """
    notes = getattr(stop, "kept", [])
    stop.kept = [*notes, (kept, text)]  # type: ignore[attr-defined]


def interruption(stop: KeyboardInterrupt) -> str:
    """What is said of an interrupt, by the notes of `note_kept`.

    Example:
        >>> interruption(KeyboardInterrupt())
        'run the same command again'
    """
    notes = getattr(stop, "kept", [])
    if not notes:
        return "run the same command again"
    words = "; ".join(text for _, text in notes)
    if any(kept for kept, _ in notes):
        return f"finished work is kept ({words}); run the same command again to go on"
    return f"nothing of this step is finished yet ({words}); run the same command again"


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
