"""hashprobe train"""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from hashprobe.audit.train_step import TRAIN_PRESETS, Network, train_run
from hashprobe.cli.flags import Cache, CacheFlags, Flag
from hashprobe.cli.presets import fill, unusual
from hashprobe.cli.terminal import Terminal
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.training.options import TrainOptions


def preset_options(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Give the options of a preset to those that neither command line nor recipe have set."""
    values = {
        name: {**unusual(network), **unusual(options)}
        for name, (network, options) in TRAIN_PRESETS.items()
    }
    fill(app, commands, arguments, values)


def train(
    data: str,
    /,
    *,
    out: Path,
    root: Path | None = None,
    lists: Path | None = None,
    queries: float = 0.1,
    training: float = 0.3,
    split_seed: int = 0,
    download: Flag = False,
    unseen: int = 0,
    labels: str = "",
    group: str | None = None,
    official_split: int | None = None,
    stride: int = 1,
    preset: Literal["paper-images", "paper-videos"] | None = None,
    network: Annotated[Network, Parameter(name="*")] = Network(),  # noqa: B008
    options: Annotated[TrainOptions, Parameter(name="*")] = TrainOptions(),  # noqa: B008
    workers: int | None = None,
    skip_bad: Flag = False,
    cache: CacheFlags = Cache(),  # noqa: B008
) -> None:
    """Train a hashing network into a run folder; the same command resumes a killed training.

    Parameters
    ----------
    data
        Images: digits, cifar10, cifar10-1, cifar10-2, folder, listfiles, imagenet100, nuswide-20,
        nuswide-21 or table. Videos: moving-digits, videofolder, ucf101, jhmdb or hmdb51.
    out
        The run folder: new, or of the same training.
    root
        Folder of the pictures or videos; not needed for digits and moving-digits.
    lists
        Folder of the list files (listfiles; imagenet100, nuswide, ucf101 and hmdb51 can do
        without), or the CSV file (table).
    queries
        Queries of each class, or groups of a table: a whole number, or a share below 1 (folder,
        videofolder and table only).
    training
        Training items of each class, or groups of a table: a whole number, or a share below 1
        (folder, videofolder and table only).
    split_seed
        Seed of the split and of the database order.
    download
        Let torchvision download CIFAR-10 into the root.
    unseen
        Classes that the network never sees; their items stay in the database as targets (open
        set).
    labels
        Beginnings of the names of the label columns, joined by commas; by default every column of
        0 and 1 (table only).
    group
        What stays together, all queries or none: the column whose values are equal (table), or a
        regular expression whose first group finds the same in the clips' names, as '^(.*)_'
        (videofolder).
    official_split
        Number of the official split, 1 to 3; by default the protocol of the paper for ucf101, and
        split 1 for hmdb51 (these two only).
    stride
        Every so many-th frame of a clip is kept, 40 at most (videofolder only).
    preset
        paper-images or paper-videos: network, loss and optimiser of DHTA, appendix B, where
        nothing else is said. It does not state --epochs.
    workers
        Decoding processes; by default one a core.
    skip_bad
        Go on without images or clips that cannot be decoded, and say how many.
    """
    # `preset` has done its work: `preset_options` put its values into the others.
    source = DataOptions(
        name=data,
        root=root.resolve() if root else None,
        lists=lists.resolve() if lists else None,
        queries=queries,
        training=training,
        split_seed=split_seed,
        download=download,
        unseen=unseen,
        labels=labels,
        group=group,
        official_split=official_split,
        stride=stride,
    )
    train_run(
        out,
        source,
        network,
        options,
        workers=workers,
        skip_bad=skip_bad,
        cache=cache.open(),
        screen=Terminal(),
    )
