"""The optimiser and the learning rate of a training."""

import math
from typing import Any

import torch

from hashprobe.training.options import TrainOptions
from hashprobe.victims.backbones import last_linear
from hashprobe.victims.base import Hasher


THIRDS = (1.0, 0.1, 0.01)
RISE, FIRST = 0.3, 0.04
"""Of one-cycle: the share of the epochs in which the rate rises, and where it starts (Smith and
Topin, 2019, in the form of PyTorch's OneCycleLR)."""


def build_optimiser(hasher: Hasher, options: TrainOptions) -> torch.optim.Optimizer:
    """The optimiser, with the backbone and the hash layer as two groups.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> optimiser = build_optimiser(ImageHasher("small", 16), TrainOptions(backbone_lr=0.1))
        >>> [group["factor"] for group in optimiser.param_groups]
        [0.1, 1.0]
    """
    params = list(hasher.parameters())
    first = next(last_linear(hasher)[1].parameters())
    split = next(i for i, param in enumerate(params) if param is first)
    body = 1.0 if options.backbone_lr is None else options.backbone_lr
    groups: list[dict[str, Any]] = [
        {"params": part, "factor": factor, "lr": options.lr * factor}
        for part, factor in ((params[:split], body), (params[split:], 1.0))
        if part
    ]
    # Fused: one pass over the weights, seven times as fast as the default on a CPU.
    shared: Any = {"lr": options.lr, "weight_decay": options.weight_decay, "fused": True}
    if options.optimiser == "adamw":
        return torch.optim.AdamW(groups, **shared)
    return torch.optim.SGD(groups, momentum=options.momentum, **shared)


def rate(options: TrainOptions, epoch: float) -> float:
    """The learning rate at a point of the training, as a multiple of `lr`.

    Args:
        options: schedule, epochs and warm-up.
        epoch: from 0 to the number of epochs, with its fraction.

    Example:
        >>> [rate(TrainOptions(epochs=30, schedule="step"), e) for e in (0, 10, 20)]
        [1.0, 0.1, 0.01]
    """
    if epoch < options.warmup:
        # A thousandth of an epoch ahead: a rate of zero would waste the first step.
        return min(1.0, (epoch + 1e-3) / options.warmup)
    share = min(1.0, (epoch - options.warmup) / max(1e-9, options.epochs - options.warmup))
    if options.schedule == "step":
        return THIRDS[min(2, int(share * 3 + 1e-9))]
    if options.schedule == "cosine":
        return (1 + math.cos(math.pi * share)) / 2
    if options.schedule == "one-cycle":
        if share < RISE:
            return FIRST + (1 - FIRST) * (1 - math.cos(math.pi * share / RISE)) / 2
        return (1 + math.cos(math.pi * (share - RISE) / (1 - RISE))) / 2
    return 1.0
