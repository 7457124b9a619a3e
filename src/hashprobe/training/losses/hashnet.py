"""HashNet: a class-balanced pairwise loss on codes that become binary during training."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus


GAMMA, EVERY = 0.005, 200
"""Growth of the slope of tanh, and the number of iterations between two increases."""


def hashnet(
    codes: Float[Tensor, "b k"], memory: Float[Tensor, "n k"], similar: Bool[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Mean over pairs of w (log(1 + e^t) - s t), t = (10 / K) u.U, w = |S| / |S_1| or |S| / |S_0|.

    Source: Cao, Long, Wang, Yu, "HashNet: deep learning to hash by continuation" (ICCV 2017),
    equation 4. The weight of a similar pair is the number of all pairs over that of the similar
    ones, the weight of a dissimilar pair likewise, so both kinds have the same total weight.

    Args:
        codes: u = tanh(beta z) of a batch, in [-1, 1]; `hashnet_slope` gives beta.
        memory: U, the latest codes of all N training items; zeros where not seen yet.
        similar: s, which pairs share at least one label.

    Returns:
        The loss, at least 0; if there is only one kind of pairs, its weight is 1.

    Example:
        >>> u = torch.tensor([[1.0, -1.0]])
        >>> round(hashnet(u, torch.cat([u, -u]), torch.tensor([[True, False]])).item(), 4)
        0.0001
    """
    theta = codes @ memory.T * (10 / codes.shape[1])
    alike = similar.sum().to(codes.dtype)
    pairs = similar.numel()
    ones, zeros = pairs / alike.clamp_min(1), pairs / (pairs - alike).clamp_min(1)
    weights = torch.where(similar, ones, zeros).to(codes.dtype)
    return (weights * (softplus(theta) - theta * similar)).mean()


def hashnet_slope(step: int) -> float:
    """beta of u = tanh(beta z) at a training step: sqrt(1 + 0.005 step), raised every 200 steps.

    The continuation of HashNet, section 3.2: tanh approaches the sign step by step. The victim's
    logits z do not contain beta: codes are their sign, and attacks choose their own slope.

    Args:
        step: steps done, from 0.

    Example:
        >>> [hashnet_slope(step) for step in (0, 199)], round(hashnet_slope(600), 3)
        ([1.0, 1.0], 2.0)
    """
    return float((1 + GAMMA * (step // EVERY * EVERY)) ** 0.5)
