"""Warm starts: where the last attack on each training item ended."""

from dataclasses import dataclass

import torch
from jaxtyping import Int8
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images
from hashprobe.training.hardening import Batch
from hashprobe.training.loop import Training


MOST_BYTES = 4 << 30
"""Memory that all warm starts may take."""
UNIT = 127
"""Levels in which a change is kept, either way."""


@dataclass(eq=False)
class WarmStarts:
    """The last change of every training item, as whole 127ths of eps.

    Where items are cropped at random, the change is kept in the frame of the padded picture: the
    next crop finds the part that it shares with the last one (Zheng et al., CVPR 2020).
    """

    shifts: Int8[Tensor, "n p h w"]
    """Of all items; the frames of a clip stand where planes do."""
    eps: float

    @classmethod
    def of(cls, training: Training, eps: float) -> "WarmStarts":
        """None yet, for all items of a training.

        Raises:
            HashprobeError: they would take too much memory.
        """
        *planes, height, width = training.images.shape[1:]
        margin = 0 if training.options.augment == "none" else max(1, height // 8)
        shape = (
            len(training.kept),
            torch.Size(planes).numel(),
            height + 2 * margin,
            width + 2 * margin,
        )
        if torch.Size(shape).numel() > MOST_BYTES:
            raise HashprobeError(
                f"warm starts of {shape[0]} items take {torch.Size(shape).numel() >> 30} GiB: take "
                "start=random"
            )
        return cls(torch.zeros(shape, dtype=torch.int8), eps)

    def of_batch(self, batch: Batch) -> Images:
        """The last changes of the items of a batch, as these are seen now."""
        part = self.shifts[batch.where.cpu()]
        if batch.crops is not None:
            part = batch.crops.of(part)
        pixels = batch.given[0]
        return (part.to(pixels) * (self.eps / UNIT)).reshape(pixels.shape)

    def keep(self, batch: Batch, attacked: Images) -> None:
        """Keeps how the items of a batch were changed."""
        where = batch.where.cpu()
        shift = (attacked - batch.given[0]) / self.eps * UNIT
        part = self.shifts[where]
        seen = shift.round().clamp(-UNIT, UNIT).to(torch.int8).cpu()
        if batch.crops is None:
            part = seen.reshape(part.shape)
        else:
            batch.crops.put(part, seen.flatten(1, -3) if seen.ndim == 5 else seen)
        self.shifts[where] = part
