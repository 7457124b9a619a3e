"""What distances give away: the code of a query, by trilateration from codes that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int32, Int64

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


NEAR = 1e-6
"""How far from whole a solution may be that counts as exact."""


@checked
@dataclass(frozen=True, eq=False)
class CodeLeak:
    """What is known of Q codes by their distances to known ones.

    Example:
        >>> CodeLeak(np.array([[1, 0, -1]], np.int8), 2).share
        0.6666666666666666
    """

    codes: Int8[np.ndarray, "q k"]
    """-1 or +1 for a bit that the distances determine, 0 for one that they leave open."""
    rank: int
    """How many of the known codes are linearly independent; K determine every bit."""

    @property
    def share(self) -> float:
        """The share of the bits that are determined."""
        return float((self.codes != 0).mean())


@checked
def code_leak(
    distances: Int32[np.ndarray, "q n"] | Int64[np.ndarray, "q n"], known: PackedCodes
) -> CodeLeak:
    """Finds codes by their distances to known codes: b_i h = K - 2 D_i, by least squares.

    With K linearly independent known codes every bit is determined, whatever the query is.

    Args:
        distances: (Q, N) Hamming distances of the unknown codes to the known ones.
        known: N codes of K bits.

    Returns:
        The bits that follow, and how many of the known codes are independent.

    Raises:
        HashprobeError: not one distance a known code, or distances that no code has.

    Example:
        >>> from hashprobe.codes import hamming
        >>> random = np.random.default_rng(0).random((41, 32)) < 0.5
        >>> codes = PackedCodes.from_signs(random)
        >>> leak = code_leak(hamming(codes[40:], codes[:40]), codes[:40])
        >>> leak.rank, bool((leak.codes == codes[40:].signs()).all())
        (32, True)
    """
    if distances.shape[1] != len(known):
        raise HashprobeError(f"{distances.shape[1]} distances for {len(known)} known codes")
    if not len(known):
        raise HashprobeError("no code is known: there is nothing to measure distances to")
    signs = known.signs().astype(np.float64)
    products = known.bits - 2.0 * distances
    left, size, right = np.linalg.svd(signs, full_matrices=False)
    rank = int((size > size[0] * max(signs.shape) * np.finfo(float).eps).sum())
    basis = right[:rank]
    solved = (products @ left[:, :rank] / size[:rank]) @ basis
    if np.abs(solved @ signs.T - products).max(initial=0) > NEAR * known.bits:
        raise HashprobeError("no code has these distances: are they to other codes, or not exact?")
    # A bit is determined where its unit vector lies in the span of the known codes.
    open_ = (basis**2).sum(axis=0) < 1 - NEAR
    codes = np.where(open_, 0, np.where(solved >= 0, 1, -1)).astype(np.int8)
    odd = ~open_ & (np.abs(np.abs(solved) - 1) > 1e-3)
    if odd.any():
        raise HashprobeError("no code has these distances: are they to other codes, or not exact?")
    return CodeLeak(codes, rank)
