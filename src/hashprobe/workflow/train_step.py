"""Train a network into a run folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from jaxtyping import Bool, Int8

from hashprobe.codes.packed import PackedCodes
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.data.retrieval import RetrievalData
from hashprobe.data.sources import Split
from hashprobe.defenses.trainers.base import Trainer
from hashprobe.defenses.trainers.hardener import hardening
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.progress import Progress, note_kept
from hashprobe.storage.files import remove
from hashprobe.storage.lock import hold, refuse_held
from hashprobe.storage.runs import Run, refuse_strangers
from hashprobe.training.loop import Epoch, train
from hashprobe.training.losses.csq import csq_centres
from hashprobe.training.losses.registry import LOSSES
from hashprobe.training.options import PAPER_IMAGES, TrainOptions
from hashprobe.training.processes import open_fabric
from hashprobe.types import Labels, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.checkpoint import AnyHasher, ModelCard, load_checkpoint, save_checkpoint
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.clip3d import clip_hasher
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.memory import keep_freed_memory
from hashprobe.workflow.expected import (
    decoding_seconds,
    in_words,
    say_expected,
    training_seconds,
)
from hashprobe.workflow.network import Network
from hashprobe.workflow.run_io import CHECKPOINT, CODES, keep_data, say_bad
from hashprobe.workflow.trained_part import check_frozen, hasher_and_inputs, lengths_of


PIXELS = "pixels.npy"
"""The file of a run that holds its training clips during the training, if they are large."""
TUNED_LR = 0.1
"""Learning rate of a backbone that has weights, as a multiple of that of the hash layer."""
CLIP_BYTES = 1 << 31
"""Training clips of more bytes are not held in memory."""


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What is trained, and how."""

    network: Network
    options: TrainOptions
    defence: Trainer | None = None
    """A training against attacks; None for the loss alone."""
    origin: Path | None = None
    """The model folder whose weights the training starts from; None for new ones."""

    @property
    def sections(self) -> dict[str, Any]:
        """What run.json says of it."""
        said = {"network": asdict(self.network)} | section(self.options)
        return said if self.defence is None else said | {"defence": self.defence.to_json()}


class EpochEvent(TypedDict):
    """What the log says of an epoch that is over.

    Example:
        >>> EpochEvent(number=1)["number"]
        1
    """

    number: int


def train_run(
    path: Path,
    source: DataOptions,
    network: Network,
    options: TrainOptions,
    runtime: Runtime = Runtime(),
    *,
    defence: Trainer | None = None,
) -> Run:
    """Train a hashing network into a run folder, or resume a training that was killed.

    Args:
        path: the run folder, new or of the same training.
        source: which data.
        network: which network.
        options: how it is trained; devices and precision of the training are among them.
        runtime: `workers`, `skip_bad` and `cache` for decoding, and who is told; the rest of it
            plays no part.
        defence: a training against attacks, such as `hashprobe.defenses.P2s()`; None for the loss
            alone.

    Returns:
        The run.

    Raises:
        HashprobeError: the data, the options or the folder are wrong, the defence needs a trained
            network, or another process holds the folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> run.finished("model/model.safetensors")
        True
    """
    if defence is not None and defence.needs_trained:
        raise HashprobeError(
            f"defence {defence.name} hardens a network that is trained: train one without it, then "
            f"hashprobe harden RUN --defence {defence.name}"
        )
    if (path / "run.json").exists():
        options = as_begun(options, Run.open(path).config.get("train", {}))
    return trained(path, source, TrainingPlan(network, options, defence), runtime)


def trained(
    path: Path,
    source: DataOptions,
    plan: TrainingPlan,
    runtime: Runtime,
    more: Mapping[str, Any] | None = None,
) -> Run:
    """Carries out a training in a run folder; `more` are further sections of run.json."""
    progress, network, options = runtime.progress, plan.network, plan.options
    there = Run.open(path).config if (path / "run.json").exists() else None
    if there is not None and plan.defence is not None:
        begun = plan.defence.as_begun(there.get("defence", {}))
        if begun != plan.defence:
            progress.log(
                f"{path} was begun with other defaults of {begun.name}, and goes on with them"
            )
        plan = replace(plan, defence=begun)
    config = {"data": asdict(source)} | plan.sections | dict(more or {})
    # The folder is made after data and network are loaded: a typo must leave no folder behind.
    if there is not None:
        check_same_defence(path, config, there)
        config = where_it_was(as_kept(config, there), there)
        run = Run.create(path, config)
        if run.finished(*CHECKPOINT):
            progress.log(f"{path} is trained already")
            return run
    else:
        refuse_strangers(path)
    refuse_held(path)
    keep_freed_memory()
    if options.backbone_lr is None:
        options = replace(options, backbone_lr=1.0 if network.weights == "none" else TUNED_LR)
    data = source.load()
    torch.manual_seed(options.seed)
    origin = plan.origin
    hasher = build(network, data.video) if origin is None else load_checkpoint(origin)[0]
    check_frozen(network, hasher)
    check_defence(plan, data.train.labels)
    # What these refuse leaves no folder behind.
    centres_of(options, len(data.label_names), network.bits)
    open_fabric(options)
    with hold(path):
        run = Run.create(path, config)
        if run.finished(*CHECKPOINT):
            progress.log(f"{path} was trained by another process")
            return run
        return train_held(run, data, hasher, replace(plan, options=options), runtime)


def check_same_defence(path: Path, config: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Refuses a run that was begun with another defence, or with one where none is asked for.

    `Run.create` compares sections that both have, option by option; these are missing where there
    is no defence, and the options of two defences are not the same.
    """
    for part in ("defence", "hardened"):
        here, begun = (part_of.get(part, {}) for part_of in (config, there))
        other = (part in config) != (part in there) or here.get("name") != begun.get("name")
        if "train" in there and other:
            raise HashprobeError(
                f"{path} holds a run with another configuration ({part}: {said_of(begun)} there, "
                f"{said_of(here)} here): choose another folder or remove that one"
            )


def said_of(section: Mapping[str, Any]) -> str:
    """A defence by its name, or the run that is hardened."""
    return str(section.get("name") or section.get("run") or "none")


def check_defence(plan: TrainingPlan, labels: Labels) -> None:
    """Refuses a defence that does not fit the data or the network, before a folder is made."""
    if plan.defence is None:
        return
    if plan.defence.needs_labels and not labels.any():
        raise HashprobeError(
            f"defence {plan.defence.name} needs labels, and there are none: take label-free"
        )
    if plan.defence.most_loss is not None and plan.origin is None:
        raise HashprobeError(
            "most_loss compares with the network at the start: train one without a defence, then "
            f"hashprobe harden RUN --defence {plan.defence.name} --defence-option most_loss=..."
        )
    if plan.defence.most_loss is not None and (not plan.options.held_out or not labels.any()):
        raise HashprobeError(
            "most_loss is a bound on the MAP of held-out items with labels, and there are none: "
            "train the run with --held-out above 0, or leave it out"
        )
    if plan.network.frozen:
        raise HashprobeError(
            f"defence {plan.defence.name} moves pixels, and --frozen trains on features that are "
            "computed once: leave one of them"
        )


def train_held(
    run: Run, data: RetrievalData, hasher: AnyHasher, plan: TrainingPlan, runtime: Runtime
) -> Run:
    """Trains a network into a run that this process holds, from the start or a saved state."""
    path, progress = run.path, runtime.progress
    network, options = plan.network, plan.options
    centres = centres_of(options, len(data.label_names), network.bits)
    for name in CODES.values():
        # Codes of a checkpoint that was removed are of no use.
        remove(path / name)
    keep_data(run, data, progress)
    seconds = decoding_seconds(data.train, hasher.contract, runtime)
    say_expected(progress, "decoding the training items", seconds)
    with progress.bar("decoding training images") as tick:
        into = path / PIXELS if large(data.train, hasher) else None
        pixels = decode(data.train, hasher.contract, runtime, on_progress=tick, into=into)
    say_bad(progress, "training", pixels.bad)
    part, given = hasher_and_inputs(hasher, pixels, network, options, progress)
    if part is not hasher:
        options = replace(options, augment="none")  # features cannot be cropped
    seconds, forward = training_seconds(part, given, lengths_of(pixels), options)
    seconds *= passes_of(plan.defence)
    if options.minutes is not None:
        seconds = min(seconds, 60 * options.minutes)
    say_expected(progress, "training", seconds, faster(part, network, options, forward))
    hardened = None if plan.defence is None else hardening(plan.defence)
    if hardened is not None:
        hardened.tell = progress.log
    epochs = EpochLog(run, progress, {event["number"] for event in run.events("epoch", EpochEvent)})
    with saying_what_is_kept(run, options), progress.bar("training") as tick:
        history = train(
            part,
            given,
            data.train.labels[pixels.positions],
            options,
            lengths=lengths_of(pixels),
            state=path / "training.pt",
            measure=held_out_map,
            on_step=lambda done, total, loss: tick(done, total),
            on_epoch=epochs,
            hardening=hardened,
        )
    card = card_of(network, hasher, data, len(pixels.bad))
    training = {
        **asdict(options),
        "seconds": history[-1].seconds,
        "weights": network.weights,
        **({"frozen": True} if network.frozen else {}),
        **({} if plan.defence is None else {"defence": plan.defence.to_json()}),
        **({} if hardened is None or hardened.kept is None else {"kept": hardened.kept.to_json()}),
        **centres,
    }
    save_checkpoint(path / "model", hasher, replace(card, training=training))
    run.seal(*CHECKPOINT)
    for name in ("training.pt", PIXELS):
        remove(path / name)
    progress.log(f"trained: {path / 'model'}")
    return run


def passes_of(defence: Trainer | None) -> float:
    """How much longer a step takes with a defence: its inner passes, and updates on twice as many
    items, which moved weights pass once more."""
    if defence is None:
        return 1.0
    update = 4.0 if defence.awp else 2.0
    return update * defence.replays + (0.7 * defence.steps if defence.replays == 1 else 0.0)


@contextmanager
def saying_what_is_kept(run: Run, options: TrainOptions) -> Iterator[None]:
    """Adds to an interrupt how many epochs are finished, and whether a state of them is kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        done = len({event["number"] for event in run.events("epoch", EpochEvent)})
        saved = (run.path / "training.pt").exists()
        note_kept(stop, saved, f"{done} of {options.epochs} epochs")
        raise


@dataclass(frozen=True)
class EpochLog:
    """Keeps each epoch in the log of a run once, and shows it."""

    run: Run
    progress: Progress
    logged: set[int | None]

    def __call__(self, epoch: Epoch) -> None:
        if epoch.number in self.logged:
            return
        self.run.log("epoch", **asdict(epoch))
        score = "" if epoch.held_out_map is None else f", held-out MAP {epoch.held_out_map:.3f}"
        self.progress.log(
            f"epoch {epoch.number}/{epoch.epochs}: loss {epoch.loss:.4f}{score}, "
            f"{epoch.seconds:.0f} s"
        )


def epochs_of(run: Run) -> list[dict[str, Any]]:
    """The epochs of a run's training, in order, as its log holds them but for the time of day.

    Args:
        run: a trained run.

    Example:
        >>> import tempfile
        >>> run = Run.create(Path(tempfile.mkdtemp()), {})
        >>> run.log("epoch", number=1, loss=0.5)
        >>> epochs_of(run)
        [{'number': 1, 'loss': 0.5}]
    """
    # An epoch that a limit in minutes cut short has a second event once it is whole.
    last = {event["number"]: event for event in run.events("epoch", EpochEvent)}
    return [
        {name: value for name, value in event.items() if name not in ("time", "event")}
        for event in last.values()
    ]


def faster(part: Hasher, network: Network, options: TrainOptions, forward: float) -> str:
    """What is suggested on a CPU where the whole of an image network is trained."""
    if not isinstance(part, ImageHasher) or on_gpu(options):
        return ""
    with_weights = "" if network.weights != "none" else "a backbone with weights and "
    return f"{with_weights}--frozen, the hash layer alone, takes about {in_words(forward)}"


def on_gpu(options: TrainOptions) -> bool:
    """Whether a training runs on a GPU."""
    return options.accelerator != "cpu" and torch.cuda.is_available()


def card_of(network: Network, hasher: AnyHasher, data: RetrievalData, skipped: int) -> ModelCard:
    """The card of a trained network, without its training."""
    return ModelCard(
        backbone=network.backbone,
        bits=network.bits,
        contract=hasher.contract,
        batch_norm=network.batch_norm,
        label_names=data.label_names,
        data={"name": data.name, "checksum": data.checksum, "skipped": skipped},
        hidden=network.hidden if isinstance(hasher, VideoHasher) else 0,
    )


def centres_of(options: TrainOptions, labels: int, bits: int) -> dict[str, list[str]]:
    """The centres of the labels in hexadecimal, +1 as 1, first bit first; none for other losses."""
    if not LOSSES[options.loss].centres:
        return {}
    packed = PackedCodes.from_signs(csq_centres(labels, bits, options.seed))
    return {"centres": [row.tobytes().hex() for row in packed.data]}


def large(split: Split, hasher: Hasher) -> bool:
    """Whether training clips are held in a file instead of in memory (UCF-101 takes 18 GB)."""
    contract = hasher.contract
    return len(split) * 3 * contract.frames * contract.size**2 > CLIP_BYTES


def build(network: Network, video: bool) -> AnyHasher:
    """A new network for images or for clips."""
    shared: Any = {
        "weights": network.weights,
        "size": network.size,
        "batch_norm": network.batch_norm,
    }
    if not video:
        return ImageHasher(network.backbone, network.bits, **shared)
    return clip_hasher(
        network.backbone, network.bits, frames=network.frames, hidden=network.hidden, **shared
    )


def as_begun(options: TrainOptions, there: Mapping[str, Any]) -> TrainOptions:
    """Options for a training that an earlier version began, with its defaults for default ones.

    So the same command goes on with it, although the defaults are others now.
    """
    if "pair_weights" in there or not there:
        return options
    now, then = TrainOptions(), PAPER_IMAGES
    changed = [name for name in asdict(now) if getattr(now, name) != getattr(then, name)]
    kept = {
        name: getattr(then, name)
        for name in changed
        if getattr(options, name) == getattr(now, name)
        and there.get(name, getattr(then, name)) == getattr(then, name)
    }
    return replace(options, **kept)


def as_kept(config: dict[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without options that an older run does not have, if they are defaults."""
    defaults = {
        "data": asdict(DataOptions("")),
        # Earlier runs had these defaults, and not all of today's options.
        **section(PAPER_IMAGES),
        "network": asdict(Network()),
    }
    return {
        name: {
            key: value
            for key, value in part.items()
            if key in there.get(name, part) or name not in defaults or value != defaults[name][key]
        }
        for name, part in config.items()
    }


def where_it_was(config: dict[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the place of the hardened run as it was first, if the weights are its.

    A run that was moved or copied is the same network.
    """
    here, begun = config.get("hardened"), there.get("hardened")
    if here is None or begun is None or here["weights"] != begun.get("weights"):
        return config
    return config | {"hardened": here | {"run": begun.get("run")}}


def section(options: TrainOptions) -> dict[str, Any]:
    """The training options that identify a training; devices and times of saving do not."""
    kept = asdict(options)
    for name in ("save_seconds", "accelerator", "devices"):
        kept.pop(name)
    return {"train": kept}


def held_out_map(
    queries: Int8[np.ndarray, "q k"],
    database: Int8[np.ndarray, "n k"],
    query_labels: Bool[np.ndarray, "q c"],
    labels: Bool[np.ndarray, "n c"],
) -> float:
    """MAP@1000 of held-out items against the code memory."""
    return mean_average_precision(
        PackedCodes.from_signs(queries),
        PackedCodes.from_signs(database),
        query_labels,
        labels,
        top=min(1000, len(database)),
    ).value
