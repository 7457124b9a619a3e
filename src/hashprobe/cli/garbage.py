"""Python's collector of garbage, which waits until the modules of a command are loaded."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collecting_later() -> Iterator[None]:
    """Collects no garbage inside the block before `loaded` is called.

    Loading torch makes so many objects that live for ever that looking through them takes a sixth
    of its time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def loaded() -> None:
    """Begins to collect; what is there by now is never looked through in this process."""
    if gc.isenabled():
        return
    if not gc.get_freeze_count():
        gc.freeze()
    gc.enable()
