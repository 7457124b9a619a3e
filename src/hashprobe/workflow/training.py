"""Train a network into a run folder."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hashprobe.codes import PackedCodes
from hashprobe.data import DataOptions, decode
from hashprobe.evaluation import mean_average_precision
from hashprobe.models import Epoch, ImageHasher, ModelCard, TrainOptions, save_checkpoint, train
from hashprobe.runs import Run
from hashprobe.types import Labels
from hashprobe.workflow.opening import open_data, say_bad
from hashprobe.workflow.screen import Screen, Silence


@dataclass(frozen=True)
class Network:
    """Which network is trained.

    Example:
        >>> Network("vgg11", 32, size=32).weights
        'none'
    """

    backbone: str = "small"
    """small, efficientnet_lite0, or a torchvision classification model by its name."""
    bits: int = 32
    """Code length K, a multiple of 8 up to 4096."""
    weights: str = "none"
    """What it starts from: none, imagenet, or the path of a state dict."""
    size: int | None = None
    """Height and width of the input in pixels; by default the backbone's own."""


def train_run(
    path: Path,
    source: DataOptions,
    network: Network,
    options: TrainOptions,
    *,
    workers: int | None = None,
    skip_bad: bool = False,
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
        screen: where to say what happens.

    Raises:
        HashprobeError: whatever is wrong with the data, the options or the folder.
    """
    screen = screen or Silence()
    run = Run.create(path, {"data": asdict(source), "network": asdict(network)} | section(options))
    if "model/model.safetensors" in run.seals():
        screen.say(f"{path} is trained already")
        return run
    data = open_data(run, source, screen)
    torch.manual_seed(options.seed)
    hasher = ImageHasher(network.backbone, network.bits, weights=network.weights, size=network.size)
    with screen.bar("decoding training images") as tick:
        pixels = decode(
            data.train, hasher.contract, workers=workers, skip_bad=skip_bad, on_progress=tick
        )
    say_bad(screen, "training", pixels.bad)
    labels = data.train.labels[pixels.positions]

    def on_epoch(epoch: Epoch) -> None:
        run.log("epoch", **asdict(epoch))
        score = "" if epoch.held_out_map is None else f", held-out MAP {epoch.held_out_map:.3f}"
        screen.say(
            f"epoch {epoch.number}/{epoch.epochs}: loss {epoch.loss:.4f}{score}, "
            f"{epoch.seconds:.0f} s"
        )

    with screen.bar("training") as tick:
        history = train(
            hasher,
            pixels.images,
            labels,
            options,
            state=path / "training.pt",
            measure=held_out_map,
            on_step=lambda done, total, loss: tick(done, total),
            on_epoch=on_epoch,
        )
    card = ModelCard(
        backbone=network.backbone,
        bits=network.bits,
        contract=hasher.contract,
        label_names=data.label_names,
        training={**asdict(options), "seconds": history[-1].seconds, "weights": network.weights},
        data={"name": data.name, "checksum": data.checksum, "skipped": len(pixels.bad)},
    )
    save_checkpoint(path / "model", hasher, card)
    run.seal("model/model.safetensors", "model/model.json")
    (path / "training.pt").unlink(missing_ok=True)
    return run


def section(options: TrainOptions) -> dict[str, Any]:
    """Training options as they are kept; how long it may take does not make another training."""
    kept = asdict(options)
    for name in ("save_seconds", "accelerator", "devices"):
        kept.pop(name)
    return {"train": kept}


def held_out_map(queries: Any, database: Any, query_labels: Labels, labels: Labels) -> float:
    """MAP@1000 of held-out items against the code memory."""
    return mean_average_precision(
        PackedCodes.from_signs(queries),
        PackedCodes.from_signs(database),
        query_labels,
        labels,
        top=min(1000, len(database)),
    ).value
