"""DPH: the pairwise loss that the DHTA paper trains its image victims with."""

from jaxtyping import Bool, Float
from torch import Tensor


def dph(
    codes: Float[Tensor, "b k"], memory: Float[Tensor, "n k"], similar: Bool[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Mean over pairs of ((u . U) / K - S)^2, with S = +1 for similar pairs and -1 for others.

    Source: the pairwise loss of Yang et al., "Adversarial examples for Hamming space search",
    which DHTA (appendix B) trains with.

    The square is expanded: the value is the same, and apart from one (B, N) x (N, K) product the
    cost does not grow with the number of pairs.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        memory: U, the latest codes of all N training items; zeros for items not seen yet.
        similar: which pairs share at least one label.

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
    pairs = similar.numel()
    gram = memory.T @ memory
    squares = ((codes @ gram) * codes).sum() / bits**2
    products = (codes * (signs @ memory)).sum() / bits
    return (squares - 2 * products) / pairs + 1
