"""Code health: what a database's bits are worth before anybody attacks them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from hashprobe.checked import checked
from hashprobe.codes.sharded_codes import AnyCodes, parts_of
from hashprobe.errors import HashprobeError


NEARLY = 0.02
"""A bit is nearly constant if its rarer value has at most this share."""
CORRELATED = 0.9
"""Two bits are correlated if the absolute value of their coefficient is at least this."""
WORK = 1 << 36
"""Most items x bits x bits that are multiplied; of larger databases items at equal steps count."""
EXACT = 1 << 24
"""Most items whose bits float32 counts exactly."""
BLOCK = 1 << 24
"""Bits that are unpacked at once."""
COMPARED = 1 << 22
"""Codes that are looked through for equal ones at once."""
SHOWN = 10
"""Most pairs of bits that are named."""


@checked
@dataclass(frozen=True)
class CodeHealth:
    """How evenly and how independently the bits of a database's codes are used.

    Example:
        >>> from hashprobe.codes import PackedCodes
        >>> health = code_health(PackedCodes.from_signs(np.ones((4, 8))))
        >>> health.constant_bits, health.effective_entropy, health.duplicates
        (8, 0.0, 4)
    """

    items: int
    """N, number of codes."""
    bits: int
    """K, length of a code."""
    ones: float
    """Share of +1 among all bits."""
    bit_ones: tuple[float, ...]
    """Share of +1 of each bit."""
    constant_bits: int
    """Bits with the same value in all codes."""
    nearly_constant_bits: int
    """Bits whose rarer value has a share of at most 2 %, the constant ones among them."""
    correlated_pairs: int
    """Pairs of bits whose correlation is at least 0.9 or at most -0.9; constant bits have none."""
    worst_pairs: tuple[tuple[int, int, float], ...]
    """The ten most correlated pairs: two bits and their coefficient."""
    effective_entropy: float
    """Sum over bits of the entropy of a bit, 0 to K: what it counts as if bits were independent."""
    effective_distance: float
    """mu (1 - mu) / sigma^2 of the normalised distances of all pairs (Daugman, How iris recognition
    works, 2004, degrees of freedom): the independent fair bits whose distances vary as much. 0 for
    codes that are all equal; not bounded by K."""
    mean_distance: float
    """Mean Hamming distance of two codes; K / 2 for independent fair bits."""
    distinct: int
    """Different codes among the N."""
    duplicates: int
    """Items whose code another item has, too."""
    sampled: int
    """Items that correlations and distances were computed on."""

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, in sentences; empty for healthy codes."""
        half, found = self.bits / 2, []
        if self.distinct == 1 and self.items > 1:
            found.append(f"all {self.items:,} codes are equal: nothing can be told apart")
        elif self.nearly_constant_bits:
            found.append(
                f"{self.nearly_constant_bits} of {self.bits} bits are nearly constant: the sign of "
                "features that are not centred does this"
            )
        if self.correlated_pairs:
            found.append(f"{self.correlated_pairs:,} pairs of bits say almost the same")
        if self.distinct > 1 and self.effective_distance < half:
            found.append(
                f"distances vary as those of {self.effective_distance:.0f} independent bits, "
                f"not of {self.bits}"
            )
        if self.duplicates and self.distinct > 1:
            found.append(
                f"{self.duplicates:,} of {self.items:,} items share their code with others"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """What goes into a file."""
        return {**asdict(self), "findings": list(self.findings)}


@checked
def code_health(codes: AnyCodes) -> CodeHealth:
    """Constant and correlated bits, effective bits, and equal codes of a database.

    Args:
        codes: N codes of K bits, N at least 2.

    Raises:
        HashprobeError: fewer than two codes.

    Example:
        >>> from hashprobe.codes import PackedCodes
        >>> random = np.random.default_rng(0).random((2000, 64)) > 0.5
        >>> health = code_health(PackedCodes.from_signs(random))
        >>> round(health.effective_entropy), round(health.effective_distance), health.findings
        (64, 64, ())
    """
    size, bits = len(codes), codes.bits
    if size < 2:
        raise HashprobeError(f"two or more codes are needed to look at bits; got {size}")
    ones = bit_shares(codes)
    rarer = np.minimum(ones, 1 - ones)
    most = min(EXACT, max(2, WORK // bits**2))
    moments = bit_moments(codes, most)
    mean, variance = distance_moments(moments)
    pairs = correlations(moments)
    strong = [pair for pair in pairs if abs(pair[2]) >= CORRELATED]
    distinct, duplicates = equal_codes(codes)
    share = mean / bits
    return CodeHealth(
        size,
        bits,
        float(ones.mean()),
        tuple(ones.tolist()),
        int((rarer == 0).sum()),
        int((rarer <= NEARLY).sum()),
        len(strong),
        tuple(strong[:SHOWN]),
        float(entropy(ones).sum()),
        share * (1 - share) * bits**2 / variance if variance > 0 else 0.0,
        mean,
        distinct,
        duplicates,
        moments.size,
    )


def bit_shares(codes: AnyCodes) -> Float64[np.ndarray, " k"]:
    """Share of +1 of each bit, some codes at a time."""
    total, step = np.zeros(codes.bits, np.int64), max(1, BLOCK // codes.bits)
    for _, part in parts_of(codes, step):
        total += np.unpackbits(part.data, axis=1, count=codes.bits).sum(axis=0, dtype=np.int64)
    shares: np.ndarray = total / len(codes)
    return shares


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of the bits of some codes, as -1 and +1, and of the products of two of them."""

    size: int
    """How many codes."""
    sums: Float64[np.ndarray, " k"]
    products: Float64[np.ndarray, "k k"]


def bit_moments(codes: AnyCodes, most: int) -> Moments:
    """Moments of codes, or of so many of them at equal steps."""
    size, bits = len(codes), codes.bits
    taken = None if size <= most else np.linspace(0, size - 1, most).astype(np.int64)
    sums, products = np.zeros(bits), np.zeros((bits, bits))
    for start, part in parts_of(codes, max(1, BLOCK // bits)):
        if taken is not None:
            low, high = np.searchsorted(taken, (start, start + len(part)))
            part = part[taken[low:high] - start]
        signs = part.signs().astype(np.float32)
        sums += signs.sum(axis=0, dtype=np.float64)
        products += signs.T @ signs  # whole numbers, which are exact
    return Moments(min(size, most), sums, products)


def distance_moments(moments: Moments) -> tuple[float, float]:
    """Mean and variance of the distances of all pairs of different codes, without the pairs.

    D = (K - a . b) / 2, and the sums over pairs of a . b and of its square are those of the bits:
    |sum of the codes|^2 and the squared norm of the products of the bits.
    """
    size, bits, total = moments.size, len(moments.sums), moments.sums
    pairs = size * (size - 1)
    first = (float(total @ total) - size * bits) / pairs
    second = (float((moments.products**2).sum()) - size * bits**2) / pairs
    return (bits - first) / 2, max(0.0, second - first**2) / 4


def correlations(moments: Moments) -> list[tuple[int, int, float]]:
    """Pairs of bits with their coefficient, the strongest first: all strong ones, or ten."""
    mean = moments.sums / moments.size
    deviation = np.sqrt(np.maximum(0, 1 - mean**2))
    varying = np.flatnonzero(deviation > 0)
    covariance = moments.products / moments.size - np.outer(mean, mean)
    by = np.outer(deviation, deviation)
    table = np.divide(covariance, by, out=np.zeros_like(covariance), where=by > 0)
    row, column = np.triu_indices(len(mean), 1)
    kept = np.isin(row, varying) & np.isin(column, varying)
    row, column = row[kept], column[kept]
    values = table[row, column].clip(-1, 1)
    order = np.argsort(-np.abs(values), kind="stable")
    order = order[: max(SHOWN, int((np.abs(values) >= CORRELATED).sum()))]
    return [(int(row[i]), int(column[i]), float(values[i])) for i in order]


def equal_codes(codes: AnyCodes) -> tuple[int, int]:
    """Different codes, and items whose code another item has; the codes are read in several passes.

    Each pass counts the codes of which a checksum is the same, so that few are in memory at once.
    """
    passes, distinct, duplicates = -(-len(codes) // COMPARED), 0, 0
    weights = np.random.default_rng(0).integers(0, 1 << 32, -(-codes.bits // 8), np.uint64)
    for number in range(passes):
        held = []
        for _, part in parts_of(codes, COMPARED):
            data = part.data
            if passes > 1:
                data = data[(data @ weights >> np.uint64(8)) % np.uint64(passes) == number]
            held.append(data)
        keys = np.ascontiguousarray(np.concatenate(held)).view([("", f"V{data.shape[1]}")])
        _, counts = np.unique(keys.ravel(), return_counts=True)
        distinct += len(counts)
        duplicates += int(counts[counts > 1].sum())
    return distinct, duplicates


def entropy(shares: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """Bits of information in a bit that is +1 with some probability."""
    inside = shares.clip(1e-300, 1)
    outside = (1 - shares).clip(1e-300, 1)
    values: np.ndarray = -(shares * np.log2(inside) + (1 - shares) * np.log2(outside))
    return values
