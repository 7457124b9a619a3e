"""How the threads of a command wait for each other."""

import os
import sys


SPINS = 10_000
"""Looks of a thread of libgomp for the next task before it sleeps; its own default is 300,000."""
SAID = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Variables by which a user says it."""


def wait_patiently() -> None:
    """Lets threads that wait sleep soon; it counts where torch is not loaded yet.

    Where other processes want the cores, too, a thread spins while the system holds back the one
    that it waits for, and an attack takes several times as long.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in SAID):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
