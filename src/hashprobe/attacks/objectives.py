"""Surrogate losses per query: what a gradient attack makes small."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hashprobe.tensors import Logits, Targets


def inner_product_loss(
    logits: Logits, targets: Targets, alpha: float | Float[Tensor, "n 1"]
) -> Float[Tensor, " n"]:
    """-(1/K) b^T tanh(alpha z), from -1 (code reached) to 1 (DHTA, section 3.2, equation 9).

    With the sign in place of tanh this is 2 D_H / K - 1, D_H being the Hamming distance. A small
    alpha keeps confidently wrong bits out of the flat part of tanh, where no gradient is left.

    Args:
        logits: z, (N, K) real outputs of the hasher.
        targets: b, (N, K) with entries -1 and +1; a 0 takes a bit out of the sum.
        alpha: slope of tanh at 0, above 0; one for all, or one a query.

    Returns:
        (N,) one loss per query.

    Example:
        >>> z, b = torch.tensor([[50.0, -50.0]]), torch.tensor([[1.0, 1.0]])
        >>> inner_product_loss(z, b, alpha=1.0), inner_product_loss(z, z.sign(), alpha=1.0)
        (tensor([-0.]), tensor([-1.]))
    """
    return -(targets * (alpha * logits).tanh()).mean(1)


def bit_margin_loss(
    logits: Logits, targets: Targets, sharpness: float | Float[Tensor, "n 1"]
) -> Float[Tensor, " n"]:
    """(1/K) sum_k log(1 + exp(-a b_k z_k / s)) / a, s being the query's own mean |z|.

    The margin b_k z_k / s of a bit is positive where it is right. A small sharpness a pushes all
    bits alike, as the inner product does; a large one only those that are wrong or nearly so. A
    wrong bit never loses its gradient, however wrong it is; with tanh it does. Dividing by s makes
    the loss the same for networks whose logits differ in scale; s itself gets no gradient.

    Args:
        logits: z, (N, K) real outputs of the hasher.
        targets: b, (N, K) with entries -1 and +1; a 0 takes a bit out of the sum.
        sharpness: a, above 0; one for all, or one a query.

    Returns:
        (N,) one loss per query, 0 or above.

    Example:
        >>> z, b = torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, 1.0]])
        >>> bit_margin_loss(z, b, 4.0), bit_margin_loss(z, z.sign(), 4.0)
        (tensor([0.5045]), tensor([0.0045]))
    """
    mean = logits.detach().abs().mean(1, keepdim=True)
    margins = targets * logits / mean.clamp_min(torch.finfo(mean.dtype).tiny)
    losses = F.softplus(-sharpness * margins) / sharpness
    return (targets.abs() * losses).mean(1)
