"""Surrogate losses per query: what a gradient attack makes small."""

from jaxtyping import Float
from torch import Tensor

from hashprobe.tensors import Logits, Targets


def inner_product_loss(logits: Logits, targets: Targets, alpha: float) -> Float[Tensor, " n"]:
    """-(1/K) b^T tanh(alpha z), from -1 (code reached) to 1 (DHTA, section 3.2, equation 9).

    With the sign in place of tanh this is 2 D_H / K - 1, D_H being the Hamming distance. A small
    alpha keeps confidently wrong bits out of the flat part of tanh, where no gradient is left.

    Args:
        logits: z, (N, K) real outputs of the hasher.
        targets: b, (N, K) with entries -1 and +1; a 0 takes a bit out of the sum.
        alpha: slope of tanh at 0, above 0.

    Returns:
        (N,) one loss per query.

    Example:
        >>> import torch
        >>> z, b = torch.tensor([[50.0, -50.0]]), torch.tensor([[1.0, 1.0]])
        >>> inner_product_loss(z, b, alpha=1.0), inner_product_loss(z, z.sign(), alpha=1.0)
        (tensor([-0.]), tensor([-1.]))
    """
    return -(targets * (alpha * logits).tanh()).mean(1)
