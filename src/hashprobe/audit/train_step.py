"""Train a network into a run folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int8

from hashprobe.audit.log import Screen, Silence
from hashprobe.audit.run_io import CHECKPOINT, CODES, keep_data, pick_device, say_bad
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.cache import ClipCache
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.data.sources import Split
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.storage.runs import Run, refuse_strangers
from hashprobe.training.loop import Epoch, train
from hashprobe.training.losses.csq import csq_centres
from hashprobe.training.losses.registry import CENTRE_LOSSES
from hashprobe.training.options import TrainOptions
from hashprobe.victims.base import Hasher, ImageHasher
from hashprobe.victims.checkpoint import AnyHasher, ModelCard, save_checkpoint
from hashprobe.victims.clip import FeatureHasher, VideoHasher, clip_features
from hashprobe.victims.clip3d import clip_hasher


PIXELS = "pixels.npy"
"""Where training clips are held in a run that is being trained, when they are many."""
CLIP_BYTES = 1 << 31
"""Training clips larger than this are not held in memory."""


@dataclass(frozen=True)
class Network:
    """Which network is trained.

    Example:
        >>> Network("vgg11", 32, size=32).weights
        'none'
    """

    backbone: str = "small"
    """small, efficientnet_lite0, or a torchvision classification model by its name; of videos,
    mc3_18, r2plus1d_18 and r3d_18 too, which see time and space at once."""
    bits: int = 32
    """Code length K, a multiple of 8 up to 4096."""
    weights: str = "none"
    """What it starts from: none, imagenet, kinetics (mc3_18, r2plus1d_18, r3d_18), or the path of a
    state dict."""
    size: int | None = None
    """Height and width of the input in pixels; by default the backbone's own."""
    batch_norm: bool = True
    """Normalise the hash layer's outputs, so that bits start balanced; DHTA's networks do not."""
    frames: int = 40
    """Most frames of a clip that the network sees (videos only); DHTA takes 40."""
    hidden: int = 256
    """Width of the LSTM's state (videos only; mc3_18, r2plus1d_18 and r3d_18 have none)."""
    tune: bool = False
    """Train a backbone with weights, too (videos only); else its features are computed once.
    mc3_18, r2plus1d_18 and r3d_18 are always trained."""


TRAIN_PRESETS: dict[str, tuple[Network, TrainOptions]] = {
    "paper-images": (
        Network("vgg11", weights="imagenet", batch_norm=False),
        TrainOptions(
            loss="dph", optimiser="sgd", lr=0.01, momentum=0.9, weight_decay=5e-4, batch_size=24
        ),
    ),
    "paper-videos": (
        Network("alexnet", weights="imagenet", batch_norm=False, frames=40),
        TrainOptions(
            loss="dvh", optimiser="sgd", lr=0.05, momentum=0.9, weight_decay=1e-4, batch_size=100
        ),
    ),
}
"""Networks and trainings of DHTA, appendix B, by name; bits and epochs are not stated there."""


def train_run(
    path: Path,
    source: DataOptions,
    network: Network,
    options: TrainOptions,
    *,
    workers: int | None = None,
    skip_bad: bool = False,
    cache: ClipCache | None = None,
    screen: Screen | None = None,
) -> Run:
    """Train a hashing network into a run folder, or go on with a training that was killed.

    Args:
        path: the run folder, new or of the same training.
        source: which data.
        network: which network.
        options: how it is trained.
        workers: decoding processes; by default one a core.
        skip_bad: go on without images that cannot be had.
        cache: keeps decoded clips of files for the next time.
        screen: where to say what happens.

    Returns:
        The run.

    Raises:
        HashprobeError: whatever is wrong with the data, the options or the folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> run.finished("model/model.safetensors")
        True
    """
    screen = screen or Silence()
    config = {"data": asdict(source), "network": asdict(network)} | section(options)
    # A folder is only taken once data and network are known to exist: a typo leaves nothing behind.
    if (path / "run.json").exists():
        config = as_kept(config, Run.open(path).config)
        run = Run.create(path, config)
        if run.finished(*CHECKPOINT):
            screen.say(f"{path} is trained already")
            return run
    else:
        refuse_strangers(path)
    data = source.load()
    torch.manual_seed(options.seed)
    hasher = build(network, data.video)
    centres = centres_of(options, len(data.label_names), network.bits)
    run = Run.create(path, config)
    for name in CODES.values():
        # Codes of a checkpoint that was removed must not outlive it.
        (path / name).unlink(missing_ok=True)
    keep_data(run, data, screen)
    with screen.bar("decoding training images") as tick:
        pixels = decode(
            data.train,
            hasher.contract,
            workers=workers,
            skip_bad=skip_bad,
            cache=cache,
            on_progress=tick,
            into=path / PIXELS if large(data.train, hasher) else None,
        )
    say_bad(screen, "training", pixels.bad)
    labels = data.train.labels[pixels.positions]
    lengths = None if pixels.lengths is None else torch.from_numpy(pixels.lengths)
    part: Hasher = hasher
    given = pixels.images
    if isinstance(hasher, VideoHasher) and lengths is not None and stands_still(network):
        hasher.network.requires_grad_(False)
        hasher.to(pick_device("cpu" if options.accelerator == "cpu" else "auto"))
        with screen.bar("computing features") as tick:
            given = clip_features(hasher, pixels.images, lengths, tick)
        hasher.to("cpu")
        part, options = FeatureHasher(hasher), replace(options, augment="none")

    logged = {event.get("number") for event in run.events("epoch")}

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number in logged:
            return
        run.log("epoch", **asdict(epoch))
        score = "" if epoch.held_out_map is None else f", held-out MAP {epoch.held_out_map:.3f}"
        screen.say(
            f"epoch {epoch.number}/{epoch.epochs}: loss {epoch.loss:.4f}{score}, "
            f"{epoch.seconds:.0f} s"
        )

    with screen.bar("training") as tick:
        history = train(
            part,
            given,
            labels,
            options,
            lengths=lengths,
            state=path / "training.pt",
            measure=held_out_map,
            on_step=lambda done, total, loss: tick(done, total),
            on_epoch=on_epoch,
        )
    card = ModelCard(
        backbone=network.backbone,
        bits=network.bits,
        contract=hasher.contract,
        batch_norm=network.batch_norm,
        label_names=data.label_names,
        training={
            **asdict(options),
            "seconds": history[-1].seconds,
            "weights": network.weights,
            **centres,
        },
        data={"name": data.name, "checksum": data.checksum, "skipped": len(pixels.bad)},
        hidden=network.hidden if isinstance(hasher, VideoHasher) else 0,
    )
    save_checkpoint(path / "model", hasher, card)
    run.seal(*CHECKPOINT)
    for name in ("training.pt", PIXELS):
        (path / name).unlink(missing_ok=True)
    screen.say(f"trained: {path / 'model'}")
    return run


def centres_of(options: TrainOptions, labels: int, bits: int) -> dict[str, list[str]]:
    """The labels' centres in hexadecimal, +1 as 1, first bit first, where a loss has some."""
    if options.loss not in CENTRE_LOSSES:
        return {}
    packed = PackedCodes.from_signs(csq_centres(labels, bits, options.seed))
    return {"centres": [row.tobytes().hex() for row in packed.data]}


def large(split: Split, hasher: Hasher) -> bool:
    """Whether clips are held in a file while they are learnt from: UCF-101 would take 18 GB."""
    contract = hasher.contract
    return len(split) * 3 * contract.frames * contract.size**2 > CLIP_BYTES


def stands_still(network: Network) -> bool:
    """Whether a video network's backbone is left as it is: it has weights, and is not tuned."""
    return network.weights != "none" and not network.tune


def build(network: Network, video: bool) -> AnyHasher:
    """The network that is asked for, for images or for clips."""
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


def as_kept(config: dict[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """Without the options that an older hashprobe did not know, where they say nothing new."""
    usual = {
        "data": asdict(DataOptions("")),
        **section(TrainOptions()),
        "network": asdict(Network()),
    }
    return {
        name: {
            key: value
            for key, value in part.items()
            if key in there.get(name, part) or value != usual[name][key]
        }
        for name, part in config.items()
    }


def section(options: TrainOptions) -> dict[str, Any]:
    """Training options as they are kept; how long it may take does not make another training."""
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
