"""How a hashing network is trained, as one frozen record; imports no torch."""

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args, get_origin, get_type_hints

from hashprobe.errors import HashprobeError
from hashprobe.training.losses.registry import LOSSES, LossName
from hashprobe.types import PROCESSES, check_seed, check_whole


@dataclass(frozen=True)
class TrainOptions:
    """Options of the training loop; the defaults suit a folder of one's own, from few pictures on.

    `PAPER_IMAGES` has those of DHTA, appendix B.

    Example:
        >>> TrainOptions(epochs=10).optimiser, PAPER_IMAGES.optimiser
        ('adamw', 'sgd')
    """

    loss: LossName = "csq"
    """Hashing loss. csq, dpn, greedyhash and orthohash draw each item to a code of its labels, the
    others compare pairs. DHTA trains images with dph, and with hashnet for its table 7, videos with
    dvh."""
    epochs: int = 30
    """Passes over the training items."""
    batch_size: int = 24
    """Items a step, over all devices; DHTA, appendix B."""
    optimiser: Literal["sgd", "adamw"] = "adamw"
    """AdamW, or SGD with momentum (DHTA, appendix B)."""
    lr: float = 0.003
    """Learning rate of the hash layer at its highest; DHTA, appendix B: 0.01 with sgd."""
    backbone_lr: float | None = None
    """Learning rate of everything before the hash layer, as a multiple of lr; by default 1, or 0.1
    where the backbone starts from weights."""
    momentum: float = 0.9
    """Momentum of SGD; DHTA, appendix B."""
    weight_decay: float = 0.01
    """Weight decay; DHTA, appendix B: 0.0005."""
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = "one-cycle"
    """Constant (DHTA), divided by ten after each third, cosine to zero, or one-cycle: up in the
    first 30 % of the epochs and down to zero in the others, both by cosine."""
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
    pair_weights: Literal["warm-up", "none"] = "warm-up"
    """warm-up: in dph and dpsh similar and other pairs have the same total weight at first, so that
    a training with many labels starts; from 30 % to 60 % of the steps the weights become 1.
    none: each pair counts the same, as published. hashnet and dvh are always balanced; where
    items are drawn to codes there are no pairs."""
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
        check_whole("epochs", self.epochs)
        check_whole("batch_size", self.batch_size)
        check_whole("devices", self.devices, most=PROCESSES)
        check_whole("held_out", self.held_out, least=0)
        for name in (
            "lr", "backbone_lr", "momentum", "weight_decay", "warmup", "save_seconds",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                raise HashprobeError(f"{name} must not be negative or infinite; got {value}")
        check_seed(self.seed)
        if self.minutes is not None and not self.minutes > 0:
            raise HashprobeError(f"minutes must be above 0; got {self.minutes}")


PAPER_IMAGES = TrainOptions(
    loss="dph",
    optimiser="sgd",
    lr=0.01,
    backbone_lr=1.0,
    momentum=0.9,
    weight_decay=5e-4,
    batch_size=24,
    schedule="constant",
    pair_weights="none",
)
"""How DHTA trains its image victims (appendix B), for as many epochs as the default; also what
earlier versions had as defaults."""
