"""Recognises a training whose loss does not leave the value that needs no knowledge of labels."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.training.losses.registry import HashingLoss
from hashprobe.types import Labels


PATIENCE, LEAST_STEPS = 10, 200
"""Epochs and steps after which a loss must have left its trivial value."""
PROGRESS = 0.03
"""Share of the way from the trivial value to that of codes by label that counts as leaving it."""
BATCH, MEMORY = 256, 4096
"""Items by which both values are computed: those compared, and those they are compared with."""
SCALES = (0.01, *(i / 10 for i in range(1, 11)))


def must_fall_below(
    loss: HashingLoss,
    labels: Labels,
    centres: Tensor | None,
    bits: int,
    balance: float = 0.0,
) -> float:
    """The value of a loss that a training must get below to have learnt anything.

    The trivial value is the least that codes reach which do not depend on labels: all codes alike,
    or drawn at random, of any length. It lies 3 % of the way from there to the least that one
    random code a label reaches.

    Args:
        loss: a loss of the registry.
        labels: (N, C) bool, of the training items.
        centres: (N, K) the centre of each item, for losses that compare with centres.
        bits: code length K.
        balance: of the weights of pairs, in the epochs in which the loss is lowest.

    Returns:
        The value; minus infinity where codes by label are no better.

    Example:
        >>> from hashprobe.training.losses.registry import LOSSES
        >>> labels = np.arange(600)[:, None] % 15 == np.arange(15)
        >>> 0.99 < must_fall_below(LOSSES["dph"], labels, None, 32) < 1
        True
    """
    draws = torch.Generator().manual_seed(0)
    rows = np.random.default_rng(0).permutation(len(labels))[:MEMORY]
    known = torch.from_numpy(labels[rows].astype(np.float32))
    function = loss.load(balance, centres)

    def signs(count: int) -> Float[Tensor, "n k"]:
        return torch.randint(0, 2, (count, bits), generator=draws).float() * 2 - 1

    def least(codes: Float[Tensor, "n k"], memory: Float[Tensor, "m k"]) -> float:
        return min(float(value(scale * codes, scale * memory)) for scale in SCALES)

    if centres is None:
        similar = known[:BATCH] @ known.T > 0
        by_label = torch.where(known @ signs(known.shape[1]) >= 0, 1.0, -1.0)
        alike = signs(1).expand(len(rows), bits)

        def value(codes: Tensor, memory: Tensor) -> Tensor:
            result: Tensor = function(codes, memory, similar)
            return result

    else:
        by_label = centres[rows].float()
        alike = by_label.mean(0, keepdim=True).expand_as(by_label)

        def value(codes: Tensor, memory: Tensor) -> Tensor:
            result: Tensor = function(codes, by_label[: len(codes)])
            return result

    batch = len(known[:BATCH])
    # As in a training, each item is among those that it is compared with.
    chance = signs(len(rows))
    trivial = min(least(alike[:batch], alike), least(chance[:batch], chance))
    best = least(by_label[:batch], by_label)
    if best >= trivial - 1e-6:
        return -float("inf")
    return trivial - PROGRESS * (trivial - best)
