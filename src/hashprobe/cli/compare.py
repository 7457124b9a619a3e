"""hashprobe compare"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hashprobe.cli.attack import AttackRuntime, parse_eps
from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.workflow.comparison import CompareOptions


@dataclass(frozen=True)
class CompareFlags(CompareOptions):
    """What every run goes through, as the command line takes it."""

    eps: Annotated[float, Parameter(converter=parse_eps, show_default=lambda _: "8/255")] = 8 / 255
    """Largest change of a pixel value, such as 8/255 or 0.032."""
    attacks: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """Attacks of the registry that every run meets, by name, as often as there are; by default all
    that are given gradients. Noise, bit margin, mainstay, the way away from the own anchors and the
    query-only attack are always among them."""
    detectors: Annotated[tuple[str, ...], Parameter(name="--detector", negative=())] = ()
    """A detector (bit-histogram, instability or nearest-code) whose rate of finding attacked
    queries is measured, too, by adversaries who do not know it and who do; may be repeated."""
    exclude_training: Flag = False
    """Leave the training items that stand in the database out of the search."""


ASKED, RUNTIME = CompareFlags(), AttackRuntime()


def compare(
    *runs: Path,
    options: Annotated[CompareFlags, FLAT] = ASKED,
    runtime: Annotated[AttackRuntime, FLAT] = RUNTIME,
    json_: Json = False,
) -> None:
    """Put runs through the same attacks and print one table: what a defence is worth.

    Every run meets every attack that is given gradients, the default one in a shorter and a longer
    form, the way away from its own anchor codes, with gradients and by queries alone, and what was
    made of the first run's queries (transfer). Flags say what speaks against taking a number for
    robustness. The same command goes on where it was stopped.

    Parameters
    ----------
    runs
        Encoded run folders of the same data, the undefended one first. RUN+NAME is a run behind a
        preprocessor, which every attack knows: jpeg, resize, blur, median, bit-depth,
        random-resize, smoothing, or comdefend, whose weights are in
        RUN/trained/comdefend.safetensors.
    json_
        Print one JSON object and nothing else: each MAP and t-MAP with its interval and signature.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.compare_step import compare_runs

    found = compare_runs(runs, options, runtime.open(Terminal()))
    if json_:
        print_json(found.to_json())
        return
    say(found.markdown(), end="")
