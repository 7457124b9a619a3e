"""OrthoHash: one loss, a softmax of cosines to fixed codes that are far from each other."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


SCALE, MARGIN = 8.0, 0.2
"""s and m; the paper takes m from 0.2 to 0.3."""


def orthohash(
    codes: Float[Tensor, "b k"],
    centres: Float[Tensor, "b k"],
    *,
    every: Float[Tensor, "c k"],
    scale: float = SCALE,
    margin: float = MARGIN,
) -> Float[Tensor, ""]:
    """Cross-entropy of s (cos(u, t_j) - m [j = y]) over all target codes t_j, y an item's own.

    Source: Hoe et al., "One loss for all: deep hashing with a single cosine similarity based
    learning objective" (NeurIPS 2021), equation 5. Deviations: u is tanh(z); items with several
    labels have one target, the sign of the sum of their labels' codes, in place of smoothed labels.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        centres: the target of each item, -1 or +1, one of `every`.
        every: all distinct targets.
        scale: s.
        margin: m, taken off the cosine to the item's own target.

    Returns:
        The loss, above 0.

    Example:
        >>> import torch
        >>> every = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        >>> orthohash(every[:1], every[:1], every=every, margin=0.0)
        tensor(0.0003)
    """
    own = (centres @ every.T).argmax(1)
    cosines = normalize(codes) @ normalize(every).T
    lowered = cosines.scatter_add(1, own[:, None], cosines.new_full((len(own), 1), -margin))
    return cross_entropy(scale * lowered, own)
