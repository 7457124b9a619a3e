"""Losses of bits as chances: p = sigmoid(2 z) is the chance of +1 of which tanh(z) is the mean."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from hashprobe.tensors import Logits


def bit_cross_entropy(logits: Logits, codes: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """mean_k log(1 + exp(-2 b_k z_k)): the cross-entropy of bits with chances sigmoid(2 z).

    Unlike the inner product of tanh(z) and b it keeps its gradient where a bit is far on the wrong
    side; where it is far on the right side it has none.

    Args:
        logits: z.
        codes: b, with entries -1 and +1.

    Returns:
        One value a row, 0 or above.

    Example:
        >>> import torch
        >>> bit_cross_entropy(torch.tensor([[0.0, 9.0]]), torch.ones(1, 2))
        tensor([0.3466])
    """
    return softplus(-2 * codes * logits).mean(1)


def bernoulli_kl(clean: Logits, attacked: Logits) -> Float[Tensor, " n"]:
    """mean_k KL(Bernoulli(sigmoid(2 z_k)) || Bernoulli(sigmoid(2 z'_k))), in closed form.

    With p = sigmoid(2 z) this is 2 p (z - z') + softplus(2 z') - softplus(2 z) for each bit; the
    bits of a code are independent given the logits, so their sum is that of whole codes.

    Args:
        clean: z.
        attacked: z'.

    Returns:
        One value a row, 0 or above.

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0, -1.0]])
        >>> bernoulli_kl(z, z), bernoulli_kl(z, -z)
        (tensor([0.]), tensor([1.5232]))
    """
    chance = (2 * clean).sigmoid()
    return (2 * chance * (clean - attacked) + softplus(2 * attacked) - softplus(2 * clean)).mean(1)
