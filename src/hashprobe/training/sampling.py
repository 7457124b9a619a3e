"""Random draws of a training; they depend on (seed, epoch, step, rank) only."""

from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Crops:
    """Which pixels of padded pictures are seen: a place for each item, some of them mirrored.

    Example:
        >>> crops = Crops.draw((2, 3, 8, 8), "crop-flip", torch.Generator().manual_seed(0))
        >>> crops.margin, crops.of(torch.zeros(2, 3, 10, 10)).shape
        (1, torch.Size([2, 3, 8, 8]))
    """

    margin: int
    """Pixels that are added at every side."""
    rows: Int64[Tensor, "n 1 h 1"]
    """Which rows of the padded picture."""
    columns: Int64[Tensor, "n 1 1 w"]
    """Which columns of it."""

    @classmethod
    def draw(cls, shape: tuple[int, ...], kind: str, draws: torch.Generator) -> "Crops":
        """Random crops for `crop` and `crop-flip`.

        Args:
            shape: (N, planes, H, W) of the pictures before padding.
            kind: `crop`, or `crop-flip` for mirror images, too.
            draws: the source of randomness.
        """
        count, _, height, width = shape
        margin = max(1, height // 8)
        offsets = torch.randint(2 * margin + 1, (2, count), generator=draws)
        rows = (offsets[0][:, None] + torch.arange(height))[:, None, :, None]
        columns = (offsets[1][:, None] + torch.arange(width))[:, None, None, :]
        if kind == "crop-flip":
            flip = torch.rand(count, generator=draws) < 0.5
            columns = torch.where(flip[:, None, None, None], columns.flip(-1), columns)
        return cls(margin, rows, columns)

    def of(self, padded: Tensor) -> Tensor:
        """The seen part of padded pictures, (N, planes, H + 2m, W + 2m)."""
        return padded[self.places(padded)]

    def put(self, padded: Tensor, seen: Tensor) -> None:
        """Writes what is seen back into padded pictures, in place."""
        padded[self.places(padded)] = seen

    def places(self, padded: Tensor) -> tuple[Tensor, ...]:
        """The index of the seen part."""
        items = torch.arange(len(padded))[:, None, None, None]
        planes = torch.arange(padded.shape[1])[None, :, None, None]
        return items, planes, self.rows, self.columns


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
    return augmented(images, kind, draws)[0]


def augmented(images: Tensor, kind: str, draws: torch.Generator) -> tuple[Tensor, Crops | None]:
    """`augment`, with the crops that were drawn."""
    if kind == "none":
        return images, None
    if images.ndim == 5:
        flat, crops = augmented(images.flatten(1, 2), kind, draws)
        return flat.reshape(images.shape), crops
    crops = Crops.draw(tuple(images.shape), kind, draws)
    padded = pad(images.float(), (crops.margin,) * 4, mode="reflect").to(torch.uint8)
    return crops.of(padded), crops
