"""Free adversarial training: one backward pass moves the pixels and the weights."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, fields
from typing import Any

from hashprobe.attacks._bit_margin import MOMENTUM
from hashprobe.checked import checked
from hashprobe.defenses.trainers._p2s import Own, P2s, Push
from hashprobe.defenses.trainers.base import Start


@checked
@dataclass(frozen=True)
class Free(P2s):
    """Free adversarial training (Shafahi et al., NeurIPS 2019) with the outer loss of P2S.

    Each batch is replayed: every backward pass gives the gradient of the weights and that of the
    pixels, which move by eps up the loss. A change goes on from the last one of the item. The
    paper divides the epochs by the replays; here `epochs` counts passes over the data before that.

    There is no inner attack, so that its options (`steps`, `step_size`, `momentum`, `targeted`,
    `push`, `attack_mode`) are refused.

    Raises:
        HashprobeError: an option out of range, or of the inner attack.

    Example:
        >>> Free.replays
        4
    """

    name = "free"
    title = "Free"
    replays = 4
    unused = ("steps", "step_size", "momentum", "targeted", "push", "attack_mode")

    # Earlier trainings are recorded with these values.
    steps: int = 3
    """Has no effect."""
    momentum: float = MOMENTUM
    """Has no effect."""
    push: Push = "margin"
    """Has no effect."""
    start: Start = "warm"
    """Where the attack on a batch begins: clean, random (a point within eps), or warm (where the
    item's last attack ended)."""
    own: Own = "vote"
    """What stands for an item's own label: the vote of n_t of its codes, or its centre code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for each in fields(self):
            if each.name in self.unused and getattr(self, each.name) != each.default:
                raise self.without_effect(each.name)

    def as_begun(self, there: Mapping[str, Any]) -> "Free":
        """Takes options without effect as they were given to an earlier version."""
        begun = super().as_begun(there)
        assert isinstance(begun, Free)
        if there.get("name") != self.name:
            return begun
        begun = copy(begun)
        for option in self.unused:
            if option in there:
                object.__setattr__(begun, option, there[option])
        return begun
