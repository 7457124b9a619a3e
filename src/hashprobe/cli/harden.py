"""hashprobe harden"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from hashprobe.cli.flags import FLAT, Json, print_json
from hashprobe.cli.train import DefenceFlags, TrainRuntime
from hashprobe.cli.victim_flags import VictimFlags
from hashprobe.defenses.trainers.registry import TrainerName
from hashprobe.errors import HashprobeError
from hashprobe.workflow.hardening_options import HardenOptions


@dataclass(frozen=True)
class HardenDefence(DefenceFlags):
    """A training against attacks."""

    defence: TrainerName = "p2s"
    """Which defence: p2s (point-to-set), atrdh, cgat, saat, trades, fast (single steps), free,
    crdat (distillation) or label-free, which needs no labels."""


@dataclass(frozen=True)
class FileFlags(VictimFlags):
    """How a network in a file is used; a run knows it by itself."""

    def given(self) -> list[str]:
        """Names of the options that are given, as on the command line."""
        names = [one.name for one in fields(self) if getattr(self, one.name) != one.default]
        return [f"--{name.replace('_', '-')}" for name in names]


RUNTIME, FILE = TrainRuntime(), FileFlags()


def harden(
    source: Path,
    /,
    *,
    out: Path,
    pictures: Path | None = None,
    defence: Annotated[HardenDefence, FLAT] = HardenDefence(),
    options: Annotated[HardenOptions, FLAT] = HardenOptions(),
    victim: Annotated[FileFlags, FLAT] = FILE,
    runtime: Annotated[TrainRuntime, FLAT] = RUNTIME,
    json_: Json = False,
) -> None:
    """Train the network of a run, or one in a file, on against attacks.

    A run gets a run folder of its own; encode and attack it as any other, and hashprobe compare
    shows both beside each other. A file of weights (--backbone, or a YAML file beside it) is
    fine-tuned on --pictures without labels, and saved with what other commands need. What is
    hardened is left as it is. The same command resumes a hardening that was killed. One that
    --minutes cut short goes on, with more of them or none, if it is that of a file; that of a run
    is finished.

    Parameters
    ----------
    source
        A trained run folder, or a file of weights.
    out
        The new folder.
    pictures
        A folder of pictures, for a file of weights.
    json_
        Print one JSON object and nothing else: the run folder and every epoch.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.harden_step import harden_run
    from hashprobe.workflow.train_step import epochs_of

    trainer = defence.trainer()
    assert trainer is not None
    told = runtime.open(Terminal())
    if pictures is not None or (source.exists() and not source.is_dir()):
        if pictures is None:
            raise HashprobeError(f"{source} is hardened on pictures: name a folder as --pictures")
        from hashprobe.workflow.harden_file import harden_file

        known = victim.options()
        file = harden_file(source, pictures, trainer, options, out=out, victim=known, runtime=told)
        if json_:
            print_json({"file": str(file)})
        return
    if source.is_dir() and (given := victim.given()):
        raise HashprobeError(
            f"{source} is a run, which knows how its network is used: leave out {', '.join(given)}"
        )
    made = harden_run(source, trainer, options, out=out, runtime=told)
    if json_:
        print_json({"run": str(made.path), "epochs": epochs_of(made)})
