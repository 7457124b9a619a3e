"""DVH: the objective of deep video hashing, a pair margin and a little quantisation."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


MARGIN = 2.0
"""Mean squared distance of codes that differ in half of their bits."""
LAMBDA = 1e-4
"""Weight of the quantisation error; source: DHTA, appendix B."""


def dvh(
    codes: Float[Tensor, "b k"],
    memory: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
    *,
    margin: float = MARGIN,
    weight: float = LAMBDA,
) -> Float[Tensor, ""]:
    """Mean of s d + (1 - s) max(0, m - d) over pairs plus lambda times the quantisation error.

    d = ||u - U||^2 / K, from 0 to 4; the error is the mean of (u - sign u)^2.

    Source: Liong, Lu, Tan, Zhou, "Deep video hashing" (IEEE Transactions on Multimedia 2017), the
    objective that DHTA (appendix B) trains its video victims with: similar clips are pulled
    together, others pushed apart up to a margin. The margin is ours: half of the bits.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        memory: U, the latest codes of all N training items; zeros where not seen yet.
        similar: s, which pairs share at least one label.
        margin: m, from 0 to 4.
        weight: lambda, of the mean of (u - sign u)^2.

    Returns:
        The loss, at least 0.

    Example:
        >>> u = torch.tensor([[1.0, -1.0]])
        >>> dvh(u, torch.cat([u, -u]), torch.tensor([[True, False]]))
        tensor(0.)
    """
    bits = codes.shape[1]
    squares = (codes**2).sum(1, keepdim=True) + (memory**2).sum(1)
    distances = ((squares - 2 * codes @ memory.T) / bits).clamp_min(0)
    pairs = torch.where(similar, distances, (margin - distances).clamp_min(0))
    signs = torch.where(codes >= 0, 1.0, -1.0).to(codes.dtype)
    return pairs.mean() + weight * ((codes - signs) ** 2).mean()
