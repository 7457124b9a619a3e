"""hashprobe harden"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hashprobe.cli.flags import FLAT, Json, print_json
from hashprobe.cli.train import DefenceFlags, TrainRuntime
from hashprobe.defenses.trainers.registry import TrainerName
from hashprobe.workflow.hardening_options import HardenOptions


@dataclass(frozen=True)
class HardenDefence(DefenceFlags):
    """A training against attacks."""

    defence: TrainerName = "p2s"
    """Which defence: p2s (point-to-set), atrdh, cgat, saat, trades, fast (single steps), free,
    crdat (distillation) or label-free, which needs no labels."""


RUNTIME = TrainRuntime()


def harden(
    run: Path,
    /,
    *,
    out: Path,
    defence: Annotated[HardenDefence, FLAT] = HardenDefence(),
    options: Annotated[HardenOptions, FLAT] = HardenOptions(),
    runtime: Annotated[TrainRuntime, FLAT] = RUNTIME,
    json_: Json = False,
) -> None:
    """Train the network of a run on against attacks, into a run folder of its own.

    The run is left as it is. The same command resumes a hardening that was killed. Encode and
    attack the new run as any other; hashprobe compare shows both beside each other.

    Parameters
    ----------
    run
        The run folder; it must be trained.
    out
        The new run folder.
    json_
        Print one JSON object and nothing else: the run folder and every epoch.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.harden_step import harden_run
    from hashprobe.workflow.train_step import epochs_of

    trainer = defence.trainer()
    assert trainer is not None
    made = harden_run(run, trainer, options, out=out, runtime=runtime.open(Terminal()))
    if json_:
        print_json({"run": str(made.path), "epochs": epochs_of(made)})
