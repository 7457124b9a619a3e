"""A bound on what a hardening costs: back towards the network at the start, as far as needed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.training.loop import Training
from hashprobe.victims.base import frozen_eval


if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    Fabric = Any  # a second to load: only where a training begins


CHUNK = 256
"""Items that are encoded at once."""
HALVINGS = 5
"""Steps in which the share of the way is found: to a 32nd."""


@dataclass(frozen=True)
class Kept:
    """How much of a hardening is kept under a bound on the loss of held-out MAP.

    Example:
        >>> print(Kept(0.5, 0.6, 0.48, 0.55))
        kept 50 % of the way: held-out MAP 0.550, at the start 0.600, at the end 0.480 (with the \
codes of all items made anew; that of an epoch takes training items as they were last trained on)
    """

    share: float
    """Of the way from the weights at the start, 0, to those at the end of the training, 1."""
    start: float
    """Held-out MAP of the network at the start, 0 to 1."""
    end: float
    """That of the network at the end of the training."""
    kept: float
    """That of the network that is kept."""

    def to_json(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"kept {100 * self.share:.0f} % of the way: held-out MAP {self.kept:.3f}, at the start "
            f"{self.start:.3f}, at the end {self.end:.3f} (with the codes of all items made anew; "
            "that of an epoch takes training items as they were last trained on)"
        )


def check_measured(training: Training) -> None:
    """Refuses a bound on what nothing measures."""
    if training.measure is None or not len(training.held) or not training.labels.any():
        raise HashprobeError(
            "most_loss is a bound on the MAP of held-out items with labels, and there are none: "
            "train with held_out above 0, or leave it out"
        )


def encode_kept(training: Training, fabric: Fabric) -> None:
    """Fills the code memory with the codes of all training items as the network gives them now."""
    places = torch.arange(len(training.kept), device=fabric.device)
    with frozen_eval(training.hasher), torch.no_grad():
        for where in torch.split(places, CHUNK):
            rows = torch.from_numpy(training.kept)[where.cpu()]
            given = training.inputs(training.images[rows], rows, fabric.device)
            training.memory[where] = training.codes_of(training.hasher(*given))


def clean_map(training: Training, fabric: Fabric) -> float:
    """MAP of the held-out items against the training items, both as the network encodes them now.

    Args:
        training: its code memory is filled anew.
        fabric: where it runs.
    """
    encode_kept(training, fabric)
    with frozen_eval(training.hasher):
        score = training.held_out_map(fabric)
    assert score is not None
    return score


def back_within(
    training: Training, fabric: Fabric, start: Mapping[str, Tensor], before: float, most: float
) -> Kept:
    """Moves the weights back on the straight way to those at the start until a bound holds.

    Weights between two ends of a fine-tuning trade what one end is good at for the other
    (Wortsman et al., CVPR 2022). The share of the way is found by halving; the network that is kept
    was measured to be within the bound, or is the one of the start.

    Args:
        training: at its end; its network is changed in place.
        fabric: where it runs.
        start: the weights at the start.
        before: held-out MAP with them.
        most: largest fall of held-out MAP, 0 to 1.
    """
    hasher = training.hasher
    end = {name: value.clone() for name, value in hasher.state_dict().items()}

    def measured(share: float) -> float:
        hasher.load_state_dict(
            {
                name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
                for name, value in end.items()
            }
        )
        return clean_map(training, fabric)

    last = measured(1.0)
    if last >= before - most:
        return Kept(1.0, before, last, last)
    low, high, kept = 0.0, 1.0, before
    for _ in range(HALVINGS):
        share = (low + high) / 2
        if (score := measured(share)) >= before - most:
            low, kept = share, score
        else:
            high = share
    measured(low)
    return Kept(low, before, last, kept)
