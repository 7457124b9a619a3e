"""DVH: the objective of deep video hashing, a pair margin and a little quantisation."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


MARGIN = 2.0**0.5
"""Distance of codes that differ in half of their bits."""
LAMBDA = 1e-4
"""Weight of the quantisation error; source: DHTA, appendix B."""
TINY = 1e-6
"""Added to squared distances, because the root has no derivative at 0."""


def dvh(
    codes: Float[Tensor, "b k"],
    memory: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
    *,
    margin: float = MARGIN,
    weight: float = LAMBDA,
) -> Float[Tensor, ""]:
    """Mean of d^2 over similar pairs, and of max(0, m - d)^2 over others, plus lambda quantisation.

    d = ||u - U|| / sqrt(K), from 0 to 2; the quantisation error is the mean of (u - sign u)^2.

    Source: Liong, Lu, Tan, Zhou, "Deep video hashing" (IEEE Transactions on Multimedia 2017), the
    objective that DHTA (appendix B) trains its video victims with: similar clips are pulled
    together, others pushed apart up to a margin. DHTA states only lambda. The rest is our choice:
    the margin (half of the bits); its square (Hadsell, Chopra, LeCun, CVPR 2006: the gradient is
    largest between codes that coincide, where a hinge of the squared distance has none); the same
    weight for both kinds of pairs, since one pair in C is similar; items without a code yet do not
    count.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        memory: U, the latest codes of all N training items; zeros for items not seen yet.
        similar: which pairs share at least one label.
        margin: m, from 0 to 2.
        weight: lambda, of the mean of (u - sign u)^2.

    Returns:
        The loss, at least 0.

    Example:
        >>> u = torch.tensor([[1.0, -1.0]])
        >>> round(dvh(u, torch.cat([u, -u]), torch.tensor([[True, False]])).item(), 4)
        0.0
    """
    squares = (codes**2).sum(1, keepdim=True) + (memory**2).sum(1)
    squares = ((squares - 2 * codes @ memory.T) / codes.shape[1]).clamp_min(0)
    pushed = (margin - (squares + TINY).sqrt()).clamp_min(0) ** 2
    seen = memory.any(1)
    pairs = mean_of(squares, similar & seen) + mean_of(pushed, ~similar & seen)
    signs = torch.where(codes >= 0, 1.0, -1.0).to(codes.dtype)
    return pairs + weight * ((codes - signs) ** 2).mean()


def mean_of(values: Float[Tensor, "b n"], chosen: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    """Mean of the chosen values; 0 where there are none."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
