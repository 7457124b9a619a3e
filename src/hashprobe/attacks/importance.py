"""TTA-GAN's anchor: a code that is found by gradients, pairs weighted by how wrong they are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int8

from hashprobe.attacks._dhta import alpha_at
from hashprobe.attacks.label_codes import relevance
from hashprobe.attacks.prototypes import BETAS, as_signs, check_wanted, prototype_loss
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.types import Labels, check_seed, check_whole


ITEMS, RELEVANT = 4096, 64
"""Database items that the codes are held against, drawn at random where there are more, and how
many with each label are among them."""


@checked
def importance_codes(
    database: Codes, labels: Labels, *, steps: int = 1000, rate: float = 1.0, seed: int = 0
) -> Int8[np.ndarray, "n k"]:
    """The code that importance-aware optimisation finds for each label vector (TTA-GAN, 2023).

    Free logits l of each label are moved by Adam, so that p = tanh(alpha l) minimises
    lse(a_n s_n) + lse(-a_p s_p) with s = p B^T / K over the items, a_p = max(0, 2 - s_p) and
    a_n = max(0, 2 + s_n) without a gradient: the loss of `prototype_loss`, with no network between
    labels and codes. The weights a are the importance: pairs that are far from right count more.
    alpha follows DHTA's schedule. The formula is that of the released code. Deviations: the codes
    of at most 4,096 items beside 64 of each label; |sign p - p|^2 / 10,000 is added.

    Args:
        database: N codes with labels.
        labels: (Q, C) labels that are wanted, each shared by an item.
        steps: of Adam.
        rate: of Adam; the release takes 1, and 2 on NUS-WIDE.
        seed: of the first logits, and of the items.

    Returns:
        (Q, K) of -1 and +1.

    Raises:
        HashprobeError: a database without labels, or a label that no item has.

    Example:
        >>> database = Codes.of([[1, 1, 0, 1]] * 5 + [[0, 0, 1, 0]] * 5, [0] * 5 + [1] * 5)
        >>> importance_codes(database, np.eye(2, dtype=bool), steps=30)
        array([[ 1,  1, -1,  1],
               [-1, -1,  1, -1]], dtype=int8)
    """
    import torch

    check_whole("steps", steps)
    check_wanted(database, labels)
    rng = np.random.default_rng(check_seed(seed))
    kinds, where = np.unique(labels, axis=0, return_inverse=True)
    known = labels_of(database)
    order = rng.permutation(len(known))
    relevant = relevance(database, kinds)[:, order]
    taken = relevant & (relevant.cumsum(axis=1) <= RELEVANT)
    items = np.union1d(order[:ITEMS], order[taken.any(axis=0)])
    similar = torch.from_numpy(relevance(database, kinds)[:, items])
    with torch.inference_mode(False), torch.enable_grad():
        codes = torch.from_numpy(database.packed[items].signs()).float()
        logits = torch.from_numpy(rng.normal(size=(len(kinds), database.bits))).float()
        logits.requires_grad_()
        adam = torch.optim.Adam([logits], rate, BETAS)
        for step in range(steps):
            loss = prototype_loss((alpha_at(step, steps) * logits).tanh(), codes, similar)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
    return as_signs(logits.detach().numpy())[where.reshape(-1)]
