"""What the training loop asks of a defence, and what it tells it of a step; knows no defence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from hashprobe.training.sampling import Crops


if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from hashprobe.training.loop import Training


@dataclass(frozen=True, eq=False)
class Batch:
    """The items of one step, as the network is given them.

    Example:
        >>> batch = Batch((torch.zeros(2, 3, 8, 8),), torch.tensor([4, 0]), 1, torch.Generator())
        >>> len(batch), batch.crops is None
        (2, True)
    """

    given: tuple[Tensor, ...]
    """Pixels in [0, 1] and, of clips, their lengths; on the device of the training."""
    where: Int64[Tensor, " b"]
    """Positions of the items among the training items, those of the code memory."""
    epoch: int
    """From 0."""
    draws: torch.Generator
    """The chance of this step, by (seed, epoch, step, process)."""
    crops: Crops | None = None
    """Which part of each item is seen; None for the whole of it."""

    def __len__(self) -> int:
        return len(self.where)


@runtime_checkable
class Hardening(Protocol):
    """A defence as the training loop sees it: it takes the steps in place of the loop.

    `begin` is called before the first step and before a saved state is restored; at that time the
    network has the weights that the training starts from.
    """

    tell: Callable[[str], None] | None
    """Who is told what the defence finds wrong."""
    kept: Any
    """What `finish` has decided, in plain numbers; None where it decides nothing."""

    def begin(self, training: "Training", fabric: "Fabric") -> None:
        """Gets ready: the code memory, teachers, networks of its own."""

    def step(
        self, training: "Training", fabric: "Fabric", model: Any, optimiser: Any, batch: Batch
    ) -> float:
        """Takes one step on a batch and gives the loss; the learning rate is set already."""
        ...

    def end_epoch(self, training: "Training", fabric: "Fabric", epoch: int) -> None:
        """Looks at what an epoch has made."""

    def finish(self, training: "Training", fabric: "Fabric") -> None:
        """Decides on the weights that are kept, after the last step."""

    def state(self) -> dict[str, Any]:
        """What a resumed training needs, as tensors and plain numbers."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Takes such a state back."""

    def to_json(self) -> dict[str, Any]:
        """The name and the options, as they go into files."""
        ...
