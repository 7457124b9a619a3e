"""Random draws of a training; they depend on (seed, epoch, step, rank) only."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn.functional import pad

from hashprobe.training.options import TrainOptions


Positions = Int64[np.ndarray, " _"]


def hold_out(items: int, options: TrainOptions) -> tuple[Positions, Positions]:
    """Positions to train on, and positions kept out to measure on, each in order.

    Example:
        >>> [len(part) for part in hold_out(100, TrainOptions(held_out=500))]
        [90, 10]
    """
    count = min(options.held_out, items // 10)
    order = np.random.default_rng([options.seed, 2**31]).permutation(items)
    return np.sort(order[count:]), np.sort(order[:count])


def draw_batch(
    items: int, options: TrainOptions, epoch: int, step: int, rank: int, processes: int
) -> Positions:
    """Positions among the training items of the batch of one process in one step.

    Args:
        items: how many items are trained on, at least two a process.
        options: seed and batch size over all processes.
        epoch: from 0.
        step: within the epoch, from 0.
        rank: which process.
        processes: how many; each gets the same share of the batch.

    Returns:
        At least two positions.

    Example:
        >>> options = TrainOptions(batch_size=4)
        >>> [len(draw_batch(9, options, 0, step, 0, 1)) for step in range(3)]
        [4, 4, 2]
    """
    order = np.random.default_rng([options.seed, epoch]).permutation(items)
    batch = order[step * options.batch_size : (step + 1) * options.batch_size]
    missing = 2 * processes - len(batch)
    if missing > 0:
        # Batch normalisation needs two items: a short batch takes items from the epoch's start.
        others = order[~np.isin(order, batch)]
        batch = np.concatenate([batch, others[:missing]])
    share = len(batch) // processes
    return batch[rank * share : (rank + 1) * share]


def step_seed(*numbers: int) -> int:
    """One 63-bit seed for some integers, well mixed."""
    return int(np.random.SeedSequence(list(numbers)).generate_state(1, np.uint64)[0] >> 1)


def augment(images: Tensor, kind: str, draws: torch.Generator) -> Tensor:
    """Random crops of pictures padded by an eighth (reflection), and mirror images.

    Args:
        images: (N, 3, H, W) 8-bit pixels; or clips, whose frames all get the same crop; or
            features, for `none`.
        kind: `none`, `crop` or `crop-flip`.
        draws: the source of randomness.

    Returns:
        Images of the same shape.

    Example:
        >>> images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
        >>> augment(images, "crop-flip", torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 8, 8])
    """
    if kind == "none":
        return images
    if images.ndim == 5:
        return augment(images.flatten(1, 2), kind, draws).reshape(images.shape)
    count, planes, height, width = images.shape
    margin = max(1, height // 8)
    padded = pad(images.float(), (margin,) * 4, mode="reflect").to(torch.uint8)
    offsets = torch.randint(2 * margin + 1, (2, count), generator=draws)
    rows = (offsets[0][:, None] + torch.arange(height))[:, None, :, None]
    columns = (offsets[1][:, None] + torch.arange(width))[:, None, None, :]
    if kind == "crop-flip":
        flip = torch.rand(count, generator=draws) < 0.5
        columns = torch.where(flip[:, None, None, None], columns.flip(-1), columns)
    items = torch.arange(count)[:, None, None, None]
    channels = torch.arange(planes)[None, :, None, None]
    return padded[items, channels, rows, columns]
