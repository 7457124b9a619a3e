"""What must happen before torch is loaded, in tests and in doctests, and the order of the tests."""

import gc
import os
import sys
from pathlib import Path

from jaxtyping import install_import_hook


# Tiny tensors would only wait for the threads of a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The threads of the deterministic mode sleep while they wait for each other. Spinning, they take
# the cores from the other worker: a reproduction that takes 7 s of processor time takes 50.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Every command that a test starts would compile the package anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

SOURCE = Path(__file__).parent / "src" / "hashprobe"
UNWATCHED = {"checked", "cli", "errors", "progress", "storage", "text"}
"""What runs at every public call, or for each value of a file: there are no shapes in it."""

# Shapes and types are checked while tests run.
install_import_hook(
    [f"hashprobe.{path.stem}" for path in SOURCE.iterdir() if path.stem not in UNWATCHED],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

LONGEST = (
    "paper/test_reproduce.py",
    "test_campaigns.py",
    "workflow/test_interruptions.py",
    "workflow/test_video.py",
    "test_docs.py",
)
"""Files with the longest tests."""


def pytest_collection_modifyitems(items):
    """Starts with the longest files: both workers then end together, on short tests."""
    tests = Path(__file__).parent / "tests"
    order = {tests / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish():
    """What is loaded by now stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
