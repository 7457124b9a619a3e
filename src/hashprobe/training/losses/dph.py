"""DPH: the pairwise loss that the DHTA paper trains its image victims with."""

from jaxtyping import Bool, Float
from torch import Tensor

from hashprobe.training.losses.balance import pair_weights


def dph(
    codes: Float[Tensor, "b k"],
    memory: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
    *,
    balance: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean over pairs of ((u . U) / K - S)^2, with S = +1 for similar pairs and -1 for others.

    Source: the pairwise loss of Yang et al., "Adversarial examples for Hamming space search",
    which DHTA (appendix B) trains with.

    Where few pairs are similar, as with many labels, the others draw all codes to 0, where the
    loss is 1 and no gradient is left; `balance` keeps the training from it.

    Without weights the square is expanded: the value is the same, and apart from one
    (B, N) x (N, K) product the cost does not grow with the number of pairs.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        memory: U, the latest codes of all N training items; zeros for items not seen yet.
        similar: which pairs share at least one label.
        balance: 0: each pair counts the same, as published; 1: similar and other pairs have the
            same total weight; see `pair_weights`.

    Returns:
        The loss, at least 0.

    Example:
        >>> import torch
        >>> u = torch.tensor([[1.0, -1.0]])
        >>> dph(u, torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.tensor([[True, False]]))
        tensor(0.5000)
    """
    bits = codes.shape[1]
    signs = similar.to(codes.dtype) * 2 - 1
    if balance:
        return (pair_weights(similar, balance) * (codes @ memory.T / bits - signs) ** 2).mean()
    pairs = similar.numel()
    gram = memory.T @ memory
    squares = ((codes @ gram) * codes).sum() / bits**2
    products = (codes * (signs @ memory)).sum() / bits
    return (squares - 2 * products) / pairs + 1
