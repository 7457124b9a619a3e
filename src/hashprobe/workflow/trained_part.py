"""Which part of a network is trained, and on what: pixels, or features that are computed once."""

import torch
from torch import Tensor

from hashprobe.data.loader import Pixels
from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress
from hashprobe.training.options import TrainOptions
from hashprobe.victims.base import Hasher
from hashprobe.victims.checkpoint import AnyHasher
from hashprobe.victims.clip import FeatureHasher, VideoHasher, clip_features
from hashprobe.victims.frozen import HeadHasher, image_features
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow.expected import FEW, forward_seconds, say_expected
from hashprobe.workflow.network import Network
from hashprobe.workflow.run_io import pick_device


def hasher_and_inputs(
    hasher: AnyHasher,
    pixels: Pixels,
    network: Network,
    options: TrainOptions,
    progress: Progress,
) -> tuple[Hasher, Tensor]:
    """The part of a network that is trained, and its inputs: pixels, or features of them.

    Args:
        hasher: the whole network.
        pixels: the training items.
        network: how it was asked for.
        options: where it is trained.
        progress: who is told.
    """
    lengths = lengths_of(pixels)
    if not stands_still(network, hasher):
        return hasher, pixels.images
    hasher.to(pick_device("cpu" if options.accelerator == "cpu" else "auto"))
    few = slice(FEW)
    some = None if lengths is None else lengths[few]
    if len(pixels.images) > FEW:
        seconds = forward_seconds(hasher, len(pixels.images), pixels.images[few], some)
        say_expected(progress, "computing features", seconds)
    with progress.bar("computing features") as tick:
        if isinstance(hasher, VideoHasher):
            assert lengths is not None
            hasher.network.requires_grad_(False)
            features = clip_features(hasher, pixels.images, lengths, tick)
        else:
            assert isinstance(hasher, ImageHasher)
            features = image_features(hasher, pixels.images, tick)
    hasher.to("cpu")
    return trained_part(hasher), features


def trained_part(hasher: AnyHasher) -> Hasher:
    """What is trained of a network whose backbone stands still."""
    return FeatureHasher(hasher) if isinstance(hasher, VideoHasher) else of_image(hasher)


def of_image(hasher: AnyHasher) -> HeadHasher:
    """The hash layer of an image network."""
    assert isinstance(hasher, ImageHasher)
    return HeadHasher(hasher)


def check_frozen(network: Network, hasher: AnyHasher) -> None:
    """Refuses to freeze a backbone without weights, or one that is always trained.

    Raises:
        HashprobeError: frozen makes no sense for this network.
    """
    if not network.frozen:
        return
    if network.tune:
        raise HashprobeError("frozen and tune contradict each other: choose one")
    if network.weights == "none":
        raise HashprobeError(
            "frozen trains the hash layer on features of a backbone that has weights: give "
            "imagenet or a file as weights"
        )
    if isinstance(hasher, ImageHasher):
        HeadHasher(hasher)
    elif not isinstance(hasher, VideoHasher):
        raise HashprobeError(f"backbone {network.backbone} is always trained: leave frozen")


def stands_still(network: Network, hasher: AnyHasher) -> bool:
    """Whether the backbone is not trained: it has weights, and frames or `frozen` say so."""
    if isinstance(hasher, VideoHasher):
        return network.weights != "none" and not network.tune
    return isinstance(hasher, ImageHasher) and network.frozen


def lengths_of(pixels: Pixels) -> Tensor | None:
    """The lengths of clips as a tensor; None for images."""
    return None if pixels.lengths is None else torch.from_numpy(pixels.lengths)
