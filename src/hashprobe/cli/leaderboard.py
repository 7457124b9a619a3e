"""hashprobe leaderboard"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hashprobe.cli.cluster import ClusterRuntime
from hashprobe.cli.flags import FLAT
from hashprobe.cli.output import say
from hashprobe.types import Precision


@dataclass(frozen=True)
class BoardRuntime(ClusterRuntime):
    """How attacks are computed."""

    batch_size: Annotated[int | None, Parameter(show_default=False)] = None
    """Queries in the network at once; by default what the memory of the machine allows."""
    precision: Precision = "float32"
    """What gradients are computed in. Results are always judged in float32."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""


def leaderboard(
    *runs: Path,
    entries: Path,
    out: Path | None = None,
    queries: int = 100,
    tuning: int = 10,
    seed: int = 0,
    runtime: Annotated[BoardRuntime, FLAT] = BoardRuntime(),
) -> None:
    """Measure victims by a fixed protocol, and render the leaderboard.

    Each run meets every attack and the suite at the budgets of its data set, and becomes one YAML
    file: published attacks as released, and with the step size that is the best on other queries.
    The same command goes on where it was stopped. Without runs the pages are rendered anew.

    Parameters
    ----------
    runs
        Encoded runs to measure.
    entries
        Folder of the entries, one YAML file a victim.
    out
        Folder for leaderboard.md and sortable.html; by default the one above the entries.
    queries
        Queries of each victim; the protocol has 100.
    tuning
        Other queries of each victim, on which step sizes are chosen; the protocol has 10.
    seed
        Seed of queries and targets; the protocol has 0.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow._leaderboard import leaderboard as measure

    opened = runtime.open(Terminal())
    board = measure(
        entries, runs, out=out, queries=queries, tuning=tuning, seed=seed, runtime=opened
    )
    folder = entries.parent if out is None else out
    say(f"{len(board.entries)} entries: {folder / 'leaderboard.md'}, {folder / 'sortable.html'}")
