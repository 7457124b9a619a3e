"""How a gradient attack goes downhill: what differs from one to another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Targets


Steps = Int64[Tensor, " n"]
"""How many steps each query has behind it."""
Objective = Callable[[Logits, Targets, Steps], Float[Tensor, " n"]]
"""(logits, target codes, steps so far) -> one loss per query, to be made small."""
StepRule = Callable[[Images, Steps], Images]
"""(gradient or momentum, steps so far) -> how to move, both in units of the budget's space."""

Compared = Literal["codes", "logits", "features"]


@dataclass(frozen=True)
class Descent:
    """How an attack goes downhill: all that differs from one gradient attack to another.

    Example:
        >>> from hashprobe.attacks.objectives import inner_product_loss
        >>> Descent(
        ...     objective=lambda z, b, step: inner_product_loss(z, b, 0.1),
        ...     step_rule=lambda gradient, step: -gradient.sign() / 255, steps=3).restarts
        0
    """

    objective: Objective
    """What is made small."""
    step_rule: StepRule
    """How a gradient, or the momentum of several, becomes a move."""
    steps: int
    """Forward and backward passes per query and start."""
    momentum: float = 0.0
    """What is kept of earlier gradients."""
    raw: bool = False
    """Whether gradients go into the momentum as they are, as in torch's SGD; by default each is
    first divided by its mean absolute value, as in MI-FGSM (Dong et al., CVPR 2018)."""
    compared: Compared = "codes"
    """What the objective compares: logits with codes of -1, 0 and +1; logits with any real numbers,
    one a bit; or what the hash layer is given with features of the same number."""
    eight_bit: bool = False
    """Whether the network sees every iterate rounded to 8 bits, and the best one is returned.

    A query then leaves as soon as its target code is reached with a margin. Without, all steps are
    taken, in floats, and the last iterate is returned, as papers do.
    """
    restarts: int = 0
    """More starts, at random points of the budget, for queries whose code was not reached.

    Takes `eight_bit`: without it nothing says what was reached.
    """

    def __post_init__(self) -> None:
        if self.restarts and not self.eight_bit:
            raise HashprobeError(
                "restarts need eight_bit: without, no start is better than another"
            )
        if self.eight_bit and self.compared != "codes":
            raise HashprobeError(
                f"eight_bit counts wrong bits of a code: it cannot go with {self.compared}"
            )


def unit_l2_step(gradient: Images, *, size: float) -> Images:
    """-size * g / ||g||_2 for each sample over all its values (DHTA, section 4.2).

    The DHTA release takes the norm over the whole tensor of its batch of 1; here every row has
    its own, so that a batch is as many independent problems. A zero gradient moves nothing.

    Args:
        gradient: (N, 3, H, W) of the loss, in the budget's space.
        size: l2 length of the step, in the same units.

    Returns:
        (N, 3, H, W) the move, of length `size` or 0.

    Example:
        >>> unit_l2_step(torch.tensor([3.0, 0.0, 4.0]).view(1, 3, 1, 1), size=10.0).flatten()
        tensor([-6., -0., -8.])
    """
    each = tuple(range(1, gradient.ndim))
    # Dividing by the peak first keeps squares of tiny gradients (tanh saturates) above 0.
    peak = gradient.abs().amax(each, keepdim=True)
    scaled = gradient / torch.where(peak > 0, peak, torch.ones_like(peak))
    norm = torch.linalg.vector_norm(scaled, dim=each, keepdim=True)
    return -size * scaled / torch.where(peak > 0, norm, torch.ones_like(norm))
