"""Weights that give similar pairs and other pairs the same say."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def pair_weights(similar: Bool[Tensor, "b n"], balance: float = 1.0) -> Float[Tensor, "b n"]:
    """Weights of mean 1; at balance 1 with the same sum over similar pairs and over others.

    HashNet's class balance (Cao et al., ICCV 2017, equation 4), halved.

    Args:
        similar: which pairs share at least one label.
        balance: 0 for weights of 1, 1 for the same sums; in between they are mixed.

    Returns:
        float32 weights; at balance 1 all 1/2 if there is only one kind of pairs.

    Example:
        >>> pair_weights(torch.tensor([[True, False, False, False]])).tolist()
        [[2.0, 0.6666666865348816, 0.6666666865348816, 0.6666666865348816]]
    """
    pairs, alike = similar.numel(), similar.sum().float()
    ones, others = pairs / alike.clamp_min(1), pairs / (pairs - alike).clamp_min(1)
    return 1 + balance * (torch.where(similar, ones, others) / 2 - 1)
