"""How the threads of a command wait for each other."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


SPINS = 10_000
"""Looks of a thread of libgomp for the next task before it sleeps; its own default is 300,000."""
SAID = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Variables by which a user says it."""


@contextmanager
def waiting_patiently() -> Iterator[None]:
    """Lets threads that wait sleep soon inside the block; it counts where torch is not loaded yet.

    Where other processes want the cores, too, a thread spins while the system holds back the one
    that it waits for, and an attack takes several times as long.
    """
    if "torch" in sys.modules or any(name in os.environ for name in SAID):
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    try:
        yield
    finally:
        os.environ.pop("GOMP_SPINCOUNT", None)
