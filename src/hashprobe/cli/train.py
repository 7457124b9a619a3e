"""hashprobe train"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import App, Parameter

from hashprobe.cli.flags import FLAT, Flag, Json, RuntimeFlags, print_json
from hashprobe.cli.presets import fill, non_defaults
from hashprobe.data.datasets.registry import DataOptions, data_help
from hashprobe.defenses.trainers.registry import TrainerName, trainer_of_words
from hashprobe.errors import HashprobeError
from hashprobe.storage.guards import resolved
from hashprobe.training.options import TrainOptions
from hashprobe.workflow.network import TRAIN_PRESETS, Network


if TYPE_CHECKING:
    from hashprobe.defenses.trainers.base import Trainer

PresetName: TypeAlias = Literal["paper-images", "paper-videos"]


@dataclass(frozen=True)
class DataFlags(DataOptions):
    """The options of a data set; its name is an argument of the command."""

    name: Annotated[str, Parameter(parse=False)] = ""
    download: Flag = False
    """Let torchvision download CIFAR-10 into the root."""
    outside_root: Flag = False
    """Allow paths in list files and tables that lead out of the root (listfiles, table, imagenet100
    and nuswide only)."""

    def of(self, name: str) -> DataOptions:
        """The options of the data set of a name, with absolute folders."""
        places = {
            option: resolved(path)
            for option, path in (("root", self.root), ("lists", self.lists))
            if path is not None
        }
        return DataOptions(**{**asdict(self), "name": name, **places})


@dataclass(frozen=True)
class TrainRuntime(RuntimeFlags):
    """How training items are decoded; device and precision are training options."""

    skip_bad: Flag = False
    """Leave out images or clips that cannot be decoded, and print how many."""


@dataclass(frozen=True)
class DefenceFlags:
    """A training against attacks."""

    defence: TrainerName | None = None
    """Train against attacks: p2s (point-to-set), atrdh, cgat, saat, trades, fast (single steps) or
    free; crdat and label-free take a trained network, see hashprobe harden."""
    defence_option: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    """An option of the defence as NAME=VALUE, such as eps=4/255, steps=2, n_t=all or awp=0.005; may
    be given several times. A wrong name is answered with the right ones."""

    def trainer(self) -> "Trainer | None":
        """The defence; None where none is asked for.

        Raises:
            HashprobeError: options without a defence, or that it does not have.
        """
        if self.defence is None:
            if self.defence_option:
                raise HashprobeError("--defence-option needs --defence NAME")
            return None
        return trainer_of_words(self.defence, self.defence_option)


def preset_options(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Gives options that neither command line nor recipe set their values of the preset."""
    values = {
        name: {**non_defaults(network), **non_defaults(options)}
        for name, (network, options) in TRAIN_PRESETS.items()
    }
    fill(app, commands, arguments, values)


def train(
    data: Annotated[str, Parameter(help=data_help())],
    /,
    *,
    out: Path,
    source: Annotated[DataFlags, FLAT] = DataFlags(),
    preset: PresetName | None = None,
    network: Annotated[Network, FLAT] = Network(),
    options: Annotated[TrainOptions, FLAT] = TrainOptions(),
    defence: Annotated[DefenceFlags, FLAT] = DefenceFlags(),
    runtime: Annotated[TrainRuntime, FLAT] = TrainRuntime(),
    json_: Json = False,
) -> None:
    """Train a hashing network into a run folder; the same command resumes a killed training.

    Parameters
    ----------
    out
        The run folder: a new one, or one of the same training.
    preset
        paper-images or paper-videos: network, loss and optimiser of DHTA, appendix B, for options
        that are not given. It does not state --epochs.
    json_
        Print one JSON object and nothing else: the run folder and every epoch.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.train_step import epochs_of, train_run

    # `preset_options` has put the values of `preset` into the others.
    run = train_run(
        out,
        source.of(data),
        network,
        options,
        runtime.open(Terminal()),
        defence=defence.trainer(),
    )
    if json_:
        print_json({"run": str(run.path), "epochs": epochs_of(run)})
