"""hashprobe attack suite"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hashprobe.cli.attack import BudgetFlags
from hashprobe.cli.cluster import ClusterRuntime
from hashprobe.cli.flags import FLAT, Json, print_json
from hashprobe.cli.output import say
from hashprobe.types import Precision
from hashprobe.workflow.protocol import Protocol


@dataclass(frozen=True)
class SuiteRuntime(ClusterRuntime):
    """How attacks are computed."""

    batch_size: Annotated[int | None, Parameter(show_default=False)] = None
    """Queries in the network at once; by default what the memory of the machine allows."""
    precision: Precision = "float32"
    """What gradients are computed in. Results are always judged in float32."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""


def suite(
    run: Path,
    /,
    *,
    budget: Annotated[BudgetFlags, FLAT] = BudgetFlags(),
    protocol: Annotated[Protocol, FLAT] = Protocol(),
    surrogate: Path | None = None,
    runtime: Annotated[SuiteRuntime, FLAT] = SuiteRuntime(),
    json_: Json = False,
) -> None:
    """Attack with everything, the cheapest first, and say what is left of a run.

    Noise, ranking (PTA), bit margins, the worst code, features, SAAT, a surrogate where one is
    given, and a service's answers alone (Square): a query meets the next attack while its AP is
    above a tenth of the clean one. The worst case of each query counts. Flags say where the
    numbers are not to be read as robustness. The same command resumes; everything is kept in
    suites/ of the run.

    Parameters
    ----------
    run
        The run folder; it must be encoded.
    surrogate
        Another run, on whose network pictures are crafted, too; of the same picture size.
    json_
        Print one JSON object and nothing else: what suite.json holds.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.suite import suite_run

    opened = runtime.open(Terminal())
    result = suite_run(
        run,
        budget=budget.budget,
        protocol=protocol,
        surrogate=surrogate,
        runtime=opened,
    )
    if json_:
        print_json(result.to_json())
        return
    say(str(result))
