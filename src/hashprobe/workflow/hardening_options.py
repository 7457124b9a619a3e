"""How the network of a run is trained on; imports no torch."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from hashprobe.training.options import TrainOptions
from hashprobe.types import Precision


@dataclass(frozen=True)
class HardenOptions:
    """How a trained network is trained on; what is None is as in its own training.

    Example:
        >>> HardenOptions(epochs=5).lr
    """

    epochs: int = 10
    """Passes over the training items."""
    lr: float | None = None
    """Learning rate of the hash layer at its highest; by default a third of that of the run, and
    3e-5 with label-free."""
    batch_size: int | None = None
    """Items a step; by default as in the run."""
    schedule: Literal["constant", "step", "cosine", "one-cycle"] | None = None
    """Schedule of the learning rate; by default as in the run."""
    augment: Literal["none", "crop", "crop-flip"] | None = None
    """Random crops; by default as in the run."""
    precision: Precision | None = None
    """float32 or bfloat16; by default as in the run."""
    seed: int = 0
    """Seed of the order, the augmentation and the attacks."""
    minutes: float | None = None
    """Minutes of training after which it stops early; None for no limit. With more of them a file's
    hardening goes on; a run's is finished then."""

    def over(self, trained: TrainOptions) -> TrainOptions:
        """The options of a training, with those that are given here.

        Args:
            trained: those of the network so far.

        Raises:
            HashprobeError: a value out of range.
        """
        given: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("batch_size", "schedule", "augment", "precision")
            if getattr(self, name) is not None
        }
        lr = trained.lr / 3 if self.lr is None else self.lr
        return replace(
            trained, **given, lr=lr, epochs=self.epochs, seed=self.seed, minutes=self.minutes
        )
