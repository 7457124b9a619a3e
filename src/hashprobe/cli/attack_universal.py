"""hashprobe attack universal"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hashprobe.cli.attack import BudgetFlags, show
from hashprobe.cli.flags import FLAT, Flag, Json, RuntimeFlags, print_json
from hashprobe.types import Precision
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.universal_options import UniversalOptions


OPTIONS = UniversalOptions()


@dataclass(frozen=True)
class UniversalRuntime(RuntimeFlags):
    """How universal changes are computed."""

    precision: Precision = "float32"
    """What gradients are computed in. Results are always judged in float32."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""


def universal(
    run: Path,
    /,
    *,
    budget: Annotated[BudgetFlags, FLAT] = BudgetFlags(),
    options: Annotated[UniversalOptions, FLAT] = OPTIONS,
    protocol: Annotated[Protocol, FLAT] = Protocol(),
    name: str | None = None,
    runtime: Annotated[UniversalRuntime, FLAT] = UniversalRuntime(),
    overwrite: Flag = False,
    json_: Json = False,
) -> None:
    """Learn one change a target label on database pictures, and add it to queries.

    The change stays within the budget (UAP); with --patch 0.05 it is a square of that share of the
    picture in its place, without a bound inside (AdvHash). It never sees a query. The evaluation
    and changes.npz, a change a label, are kept in universal/ of the run, which reports do not
    show; the same command goes on after a kill.

    Parameters
    ----------
    run
        The run folder; it must be encoded, and hold pictures.
    name
        Name of the folder under universal/; by default made of kind, size, seed and target code.
    overwrite
        Replace what this folder holds of other settings.
    json_
        Print one JSON object and nothing else: what evaluation.json holds.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.universal_step import universal_run

    result = universal_run(
        run,
        budget=budget.budget,
        options=options,
        protocol=protocol,
        name=name,
        runtime=runtime.open(Terminal()),
        overwrite=overwrite,
    )
    if json_:
        print_json(result.to_json())
        return
    show(result)
