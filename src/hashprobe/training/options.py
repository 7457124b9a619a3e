"""How a hashing network is trained, as one frozen record; imports no torch."""

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args, get_origin, get_type_hints

from hashprobe.errors import HashprobeError
from hashprobe.training.losses.registry import LOSSES, LossName
from hashprobe.types import check_seed


@dataclass(frozen=True)
class TrainOptions:
    """Options of the training loop; the defaults follow DHTA, appendix B, where it states them.

    Example:
        >>> TrainOptions(epochs=10).optimiser
        'sgd'
    """

    loss: LossName = "dph"
    """Hashing loss; DHTA trains images with dph, and with hashnet for its table 7, videos with
    dvh. csq draws each item to a centre of its labels, the others compare pairs."""
    epochs: int = 30
    """Passes over the training items."""
    batch_size: int = 24
    """Items a step, over all devices; DHTA, appendix B."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum (DHTA, appendix B) or AdamW."""
    lr: float = 0.01
    """Learning rate of the hash layer; DHTA, appendix B."""
    backbone_lr: float = 1.0
    """Learning rate of everything before the hash layer, as a multiple of lr."""
    momentum: float = 0.9
    """Momentum of SGD; DHTA, appendix B."""
    weight_decay: float = 5e-4
    """Weight decay; DHTA, appendix B."""
    schedule: Literal["constant", "step", "cosine"] = "constant"
    """Constant (DHTA), divided by ten after each third, or cosine to zero."""
    warmup: float = 0.0
    """Epochs in which the learning rate rises linearly from zero."""
    augment: Literal["none", "crop", "crop-flip"] = "crop-flip"
    """Random crops of the picture padded by an eighth (reflection), with or without mirroring."""
    held_out: int = 500
    """Training items, at most a tenth of them, held out to measure MAP; 0 for none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the network in mixed precision; weights and losses stay in float32."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to train."""
    devices: int = 1
    """Processes, one a device."""
    seed: int = 0
    """Seed of the weights, the order and the augmentation."""
    minutes: float | None = None
    """Minutes of training after which it stops early; None for no limit."""
    save_seconds: float = 60.0
    """Seconds between two saved states, from which a killed training goes on."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(TrainOptions).items():
            value = getattr(self, name)
            choices = tuple(LOSSES) if name == "loss" else get_args(kind)
            if get_origin(kind) is Literal and value not in choices:
                raise HashprobeError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
        for name in ("epochs", "batch_size", "devices"):
            if getattr(self, name) < 1:
                raise HashprobeError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in (
            "lr", "backbone_lr", "momentum", "weight_decay", "warmup", "held_out", "save_seconds",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < inf:
                raise HashprobeError(
                    f"{name} must not be negative or infinite; got {getattr(self, name)}"
                )
        check_seed(self.seed)
        if self.minutes is not None and not self.minutes > 0:
            raise HashprobeError(f"minutes must be above 0; got {self.minutes}")
