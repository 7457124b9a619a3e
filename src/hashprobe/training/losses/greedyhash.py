"""GreedyHash: classes are told from the signs themselves, whose gradient goes straight through."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy


ALPHA = 0.1
"""Weight of the distance of outputs to their signs; the paper takes 1 on ImageNet."""


def greedyhash(
    codes: Float[Tensor, "b k"],
    centres: Float[Tensor, "b k"],
    *,
    every: Float[Tensor, "c k"],
    alpha: float = ALPHA,
) -> Float[Tensor, ""]:
    """Cross-entropy of a linear head on sign(u) + alpha mean ||u| - 1|^3.

    The gradient of the sign is taken for 1 (straight-through). Source: Su et al., "Greedy hash:
    towards fast optimization for accurate hash coding in CNN" (NeurIPS 2018), equations 7 to 9.
    Deviation: the head is fixed, its rows being far codes over sqrt K, where the paper learns it:
    losses have no weights here. Items with several labels count as one class, that of their code.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        centres: the code of each item's labels, -1 or +1, one of `every`.
        every: all distinct codes.
        alpha: weight of the second term.

    Returns:
        The loss, above 0.

    Example:
        >>> import torch
        >>> every = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        >>> greedyhash(every[:1] / 2, every[:1], every=every)
        tensor(0.2301)
    """
    signs = (codes >= 0).to(codes) * 2 - 1
    hard = codes + (signs - codes).detach()
    own = (centres @ every.T).argmax(1)
    head = hard @ every.T / every.shape[1] ** 0.5
    return cross_entropy(head, own) + alpha * ((codes.abs() - 1).abs() ** 3).mean()
