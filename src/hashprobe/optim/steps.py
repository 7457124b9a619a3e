"""The two steps of nearly every gradient attack: signs of a length, and a length in l2."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.optim.rule import Steps
from hashprobe.tensors import Images


@checked
@dataclass(frozen=True)
class SignStep:
    """-length * sign(g): each value moves by the same amount (FGSM, Goodfellow et al., 2015).

    Args:
        length: (N,) steps that each query has behind it, in the dtype of the pixels -> (N,) lengths
            in units of the budget's space.

    Example:
        >>> step = SignStep(lambda done: 0.5 - 0.1 * done)
        >>> step(torch.tensor([3.0, 0.0, -4.0]).view(1, 3, 1, 1), torch.tensor([2])).flatten()
        tensor([-0.3000, -0.0000,  0.3000])
    """

    length: Callable[[Tensor], Tensor]

    @classmethod
    def steady(cls, length: float) -> "SignStep":
        """Steps that all have one length.

        Args:
            length: in units of the budget's space.

        Example:
            >>> SignStep.steady(0.5).length(torch.tensor([0.0, 9.0]))
            tensor([0.5000, 0.5000])
        """
        return cls(lambda done: torch.full_like(done, length))

    @classmethod
    def falling(cls, length: float, steps: int) -> "SignStep":
        """Steps whose length falls evenly from the first one's to 0 after the last.

        Args:
            length: of the first step, in units of the budget's space.
            steps: how many there are.

        Example:
            >>> SignStep.falling(0.5, steps=4).length(torch.tensor([0.0, 1.0, 3.0]))
            tensor([0.5000, 0.3750, 0.1250])
        """
        return cls(lambda done: length * (1 - done / steps))

    def __call__(self, gradient: Images, steps: Steps) -> Images:
        """(N, 3, H, W) gradients or clips -> how to move."""
        length = self.length(steps.to(gradient.dtype))
        return gradient.sign().mul_(-length.view(-1, *[1] * (gradient.ndim - 1)))


@checked
@dataclass(frozen=True)
class UnitL2Step:
    """-size * g / ||g||_2 for each sample over all its values (DHTA, section 4.2).

    The DHTA release takes the norm over the whole tensor of its batch of 1; here every row has
    its own, so that a batch is as many independent problems. A zero gradient moves nothing.

    Args:
        size: l2 length in units of the budget's space, 0 or above.

    Example:
        >>> step = UnitL2Step(10.0)
        >>> step(torch.tensor([3.0, 0.0, 4.0]).view(1, 3, 1, 1), torch.tensor([0])).flatten()
        tensor([-6., -0., -8.])
    """

    size: float

    def __call__(self, gradient: Images, steps: Steps) -> Images:
        """(N, 3, H, W) gradients or clips -> how to move."""
        peak, norm = peak_and_norm(gradient)
        return (gradient / peak).mul_(-self.size).div_(norm)


def peak_and_norm(gradient: Images) -> tuple[Tensor, Tensor]:
    """The largest |g| of each row, and the l2 norm of g / peak; 1 where they are 0."""
    each = tuple(range(1, gradient.ndim))
    # Dividing by the peak first keeps squares of tiny gradients (tanh saturates) above 0.
    peak = torch.maximum(gradient.amax(each, keepdim=True), -gradient.amin(each, keepdim=True))
    peak = peak.masked_fill_(peak == 0, 1)
    norm = torch.linalg.vector_norm(gradient / peak, dim=each, keepdim=True)
    return peak, norm.masked_fill_(norm == 0, 1)
