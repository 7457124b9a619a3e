"""DPSH: deep pairwise-supervised hashing."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus


ETA = 0.1


def dpsh(
    codes: Float[Tensor, "b k"],
    memory: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
    *,
    eta: float = ETA,
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

    Returns:
        The loss, at least 0.

    Example:
        >>> u = torch.tensor([[1.0, -1.0]])
        >>> round(dpsh(u, u, torch.tensor([[True]])).item(), 4)
        0.3133
    """
    theta = codes @ memory.T / 2
    likelihood = (softplus(theta) - theta * similar).mean()
    signs = torch.where(codes >= 0, 1.0, -1.0).to(codes.dtype)
    return likelihood + eta * ((codes - signs) ** 2).mean()
