"""DPN: deep polarised network, a hinge that pushes every bit to that of a target code."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu


MARGIN = 1.0
"""m: how far beyond 0 a bit is pushed."""


def dpn(
    codes: Float[Tensor, "b k"], centres: Float[Tensor, "b k"], *, margin: float = MARGIN
) -> Float[Tensor, ""]:
    """Mean over items of sum_k max(0, m - u_k t_k), t being the target code of the item's labels.

    Source: Fan et al., "Deep polarized network for supervised learning of accurate binary hashing
    codes" (IJCAI 2020), equation 3. Deviations: u is tanh(z), where the paper has z itself, so that
    a bit is pushed as long as it is not saturated; targets are far from each other (`csq_centres`),
    where the paper draws bits by chance, and they do not move.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        centres: t, the target of each item, -1 or +1.
        margin: m.

    Returns:
        The loss, at least 0.

    Example:
        >>> import torch
        >>> dpn(torch.tensor([[0.5, -1.0]]), torch.ones(1, 2))
        tensor(2.5000)
    """
    return relu(margin - codes * centres).sum(1).mean()
