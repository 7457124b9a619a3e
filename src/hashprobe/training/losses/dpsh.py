"""DPSH: deep pairwise-supervised hashing."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from hashprobe.training.losses.balance import pair_weights


ETA = 0.1


def dpsh(
    codes: Float[Tensor, "b k"],
    memory: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
    *,
    eta: float = ETA,
    balance: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean of log(1 + e^t) - s t over pairs, t = u.U / 2, plus eta times the quantisation error.

    Source: Li, Wang, Kang, "Feature learning based deep supervised hashing with pairwise labels"
    (IJCAI 2016), equation 7. Released code disagrees about how both terms are averaged and about
    eta (50, 0.1, 0.001); here both are means, over pairs and over entries.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        memory: U, the latest codes of all N training items; zeros for items not seen yet.
        similar: s, which pairs share at least one label.
        eta: weight of the mean of (u - sign u)^2.
        balance: 0: each pair counts the same, as published; 1: similar and other pairs have the
            same total weight; see `pair_weights`. Where few pairs are similar, the others draw
            all codes to 0 without it.

    Returns:
        The loss, at least 0.

    Example:
        >>> u = torch.tensor([[1.0, -1.0]])
        >>> round(dpsh(u, u, torch.tensor([[True]])).item(), 4)
        0.3133
    """
    theta = codes @ memory.T / 2
    pairs = softplus(theta) - theta * similar
    likelihood = (pair_weights(similar, balance) * pairs if balance else pairs).mean()
    signs = torch.where(codes >= 0, 1.0, -1.0).to(codes.dtype)
    return likelihood + eta * ((codes - signs) ** 2).mean()
