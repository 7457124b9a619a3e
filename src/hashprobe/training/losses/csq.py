"""CSQ: central similarity quantisation, which draws codes to the centre of their labels."""

import numpy as np
from jaxtyping import Float, Int8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from hashprobe.errors import HashprobeError
from hashprobe.types import Labels, check_seed


LAMBDA = 1e-4
"""Weight of the quantisation error, as in the released code for AlexNet."""
DRAWS = 20_000
"""Rejected rows in succession after which the search for another centre ends."""


def csq(
    codes: Float[Tensor, "b k"], centres: Float[Tensor, "b k"], *, weight: float = LAMBDA
) -> Float[Tensor, ""]:
    """Cross-entropy of (u + 1) / 2 with the bits of its centre plus lambda (|u| - 1)^2, both means.

    Source: Yuan et al., "Central similarity quantization for efficient image and video retrieval"
    (CVPR 2020), with the square of the released code where the paper has log cosh.

    Args:
        codes: u = tanh(z) of a batch, in [-1, 1].
        centres: the centre of each item, -1 or +1; see `csq_centres`.
        weight: lambda, of the mean of (|u| - 1)^2.

    Returns:
        The loss, at least 0.

    Example:
        >>> import torch
        >>> u = torch.tensor([[0.0, 0.0]])
        >>> round(csq(u, torch.ones(1, 2), weight=0.0).item(), 4)
        0.6931
    """
    likelihood = binary_cross_entropy((codes + 1) / 2, (centres + 1) / 2)
    return likelihood + weight * ((codes.abs() - 1) ** 2).mean()


def csq_centres(labels: int, bits: int, seed: int) -> Int8[np.ndarray, "c k"]:
    """A centre for each label, all far from each other.

    If K is a power of two and there are at most 2K labels, centres are rows of a Hadamard matrix
    and of its negative, drawn without replacement: any two differ in half of their bits, or in all.
    Otherwise they are random rows, any two of which differ in more than a quarter of their bits.

    Args:
        labels: how many, C.
        bits: code length K.
        seed: seed of the choice.

    Returns:
        (C, K) of -1 and +1.

    Raises:
        HashprobeError: too many labels for so few bits: no such rows were found.

    Example:
        >>> centres = csq_centres(16, 8, seed=0)
        >>> centres.shape, sorted({int(a @ b) for a in centres for b in centres})
        ((16, 8), [-8, 0, 8])
    """
    draws = np.random.default_rng([check_seed(seed), 2**30])
    if labels <= 2 * bits and bits & (bits - 1) == 0:
        matrix = np.ones((1, 1), np.int8)
        while len(matrix) < bits:
            matrix = np.block([[matrix, matrix], [matrix, -matrix]])
        return np.concatenate([matrix, -matrix])[draws.permutation(2 * bits)[:labels]]
    rows = np.empty((labels, bits), np.int8)
    found = missed = 0
    while found < labels:
        row = draws.integers(0, 2, bits, dtype=np.int8) * 2 - 1
        if ((rows[:found] != row).sum(1) > bits / 4).all():
            rows[found] = row
            found, missed = found + 1, 0
        elif (missed := missed + 1) == DRAWS:
            raise HashprobeError(
                f"csq needs {labels} codes of {bits} bits, one a label, that differ in more than "
                f"{bits // 4} bits, and found {found}: use more --bits, or --loss dph"
            )
    return rows


def csq_targets(labels: Labels, bits: int, seed: int) -> Int8[np.ndarray, "n k"]:
    """The centre of each item: the sign of the sum of its labels' centres.

    A bit with a sum of 0 is taken from one random row, the same for all items.

    Args:
        labels: (N, C) bool.
        bits: code length K.
        seed: seed of the centres and of that row.

    Returns:
        (N, K) of -1 and +1.

    Raises:
        HashprobeError: as `csq_centres`.

    Example:
        >>> one = csq_targets(np.eye(3, dtype=bool), 8, seed=0)
        >>> (one == csq_centres(3, 8, seed=0)).all()
        np.True_
    """
    sums = labels.astype(np.int32) @ csq_centres(labels.shape[1], bits, seed).astype(np.int32)
    ties = np.random.default_rng([seed, 2**30, 1]).integers(0, 2, bits) * 2 - 1
    return np.sign(np.where(sums == 0, ties, sums)).astype(np.int8)
