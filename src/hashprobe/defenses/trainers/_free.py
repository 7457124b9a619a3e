"""Free adversarial training: one backward pass moves the pixels and the weights."""

from dataclasses import dataclass

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

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> Free.replays
        4
    """

    name = "free"
    title = "Free"
    replays = 4

    # As they were first, so that runs of before go on.
    steps: int = 3
    """Changes nothing: there is no inner attack."""
    momentum: float = MOMENTUM
    """Changes nothing: there is no inner attack."""
    push: Push = "margin"
    """Changes nothing: there is no inner attack."""
    start: Start = "warm"
    """Where the attack on a batch begins: clean, random (a point within eps), or warm (where the
    item's last attack ended)."""
    own: Own = "vote"
    """What stands for an item's own label: the vote of n_t of its codes, or its centre code."""
