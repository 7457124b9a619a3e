"""Adversarial weight perturbation: weights that are moved up the loss for one update."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def shifted(network: nn.Module, loss: Callable[[], Tensor], size: float) -> Iterator[None]:
    """Moves weights up a loss for a while (Wu et al., NeurIPS 2020, equation 9).

    Each weight of two or more axes moves by `size` of its norm along its gradient. When the block
    ends the weights are put back, and so are buffers that a pass through the moved weights changed:
    statistics of batch normalisation are those of the passes before the block.

    Args:
        network: whose weights move.
        loss: computes it anew.
        size: share of the norm; 0 moves nothing and costs nothing.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> layer.weight.data = torch.tensor([[3.0, 4.0]])
        >>> with shifted(layer, lambda: layer(torch.tensor([[1.0, 0.0]])).sum(), 0.1):
        ...     print(layer.weight.data)
        tensor([[3.5000, 4.0000]])
        >>> layer.weight.data
        tensor([[3., 4.]])
    """
    if not size:
        yield
        return
    weights = [w for w in network.parameters() if w.requires_grad and w.ndim > 1]
    slopes = torch.autograd.grad(loss(), weights, allow_unused=True)
    before = [weight.detach().clone() for weight in weights]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            if slope is not None and (length := slope.norm()) > 0:
                weight.add_(slope * (size * weight.norm() / length))
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, kept in (*zip(weights, before, strict=True), *buffers):
                tensor.copy_(kept)
