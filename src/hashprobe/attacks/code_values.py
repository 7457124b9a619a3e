"""What a code is worth as a query: its expected AP against a database, and that of its neighbours.

A database is kept as its distinct codes with counts, so that a trained victim's 50,000 codes are
some thousands. One table of counts by distance gives the AP of all K codes that differ in one bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from hashprobe.attacks.label_codes import relevance
from hashprobe.codes.labelled import Codes
from hashprobe.tensors import Logits, Tensor
from hashprobe.types import Labels, check_whole


@dataclass(frozen=True, eq=False)
class CodeValues:
    """Expected AP@T of any code, for one label; ties in random order, divided by min(R, T).

    Example:
        >>> database = Codes.of([[1, 1, 1], [1, 1, 0], [0, 0, 0]], [0, 0, 1])
        >>> values = CodeValues.of(database, np.array([True, True, False]))
        >>> values.at(np.array([[1, 1, 1], [-1, -1, -1]], np.int8)).round(3)
        array([1.   , 0.583])
    """

    signs: Int8[np.ndarray, "u k"]
    """Distinct codes of the database."""
    counts: Float64[np.ndarray, "2 u"]
    """Items that have each code: all, and relevant ones."""
    top: int
    """T, the length of the list."""

    @classmethod
    def of(
        cls, database: Codes, relevant: Bool[np.ndarray, " n"], top: int | None = None
    ) -> CodeValues:
        """The values of codes for the items that are relevant.

        Args:
            database: N codes.
            relevant: which items are relevant.
            top: T; by default N.

        Raises:
            HashprobeError: T below 1.
        """
        return cls.each(database, relevant[None], top)[0]

    @classmethod
    def each(
        cls, database: Codes, relevant: Bool[np.ndarray, "m n"], top: int | None = None
    ) -> list[CodeValues]:
        """The same for several sets of relevant items."""
        size = len(database)
        top = size if top is None else min(check_whole("top", top), size)
        # Rows of bytes are compared as one value: ten times as fast as by columns.
        data = np.ascontiguousarray(database.packed.data)
        rows = data.view(np.dtype((np.void, data.shape[1]))).reshape(-1)
        _, first, where = np.unique(rows, return_index=True, return_inverse=True)
        signs = database.packed[first].signs()
        whole = np.bincount(where.reshape(-1), minlength=len(first))
        parts = [np.bincount(where.reshape(-1)[mask], minlength=len(first)) for mask in relevant]
        return [cls(signs, np.stack([whole, part]).astype(np.float64), top) for part in parts]

    def distances(self, codes: Int8[np.ndarray, "m k"]) -> Int64[np.ndarray, "m u"]:
        """Hamming distances of codes to the distinct codes; a bit that is 0 counts as +1."""
        hard = np.where(codes >= 0, 1, -1).astype(np.float32)
        apart: np.ndarray = (codes.shape[1] - hard @ self.signs.T.astype(np.float32)) / 2
        return apart.round().astype(np.int64)

    def histograms(self, codes: Int8[np.ndarray, "m k"]) -> Float64[np.ndarray, "2 m d"]:
        """Items at each distance 0..K of each code: all, and relevant ones."""
        bins = codes.shape[1] + 1
        near = self.distances(codes)
        return np.stack(
            [[np.bincount(row, each, bins) for row in near] for each in self.counts]
        ).reshape(2, len(codes), bins)

    def at(self, codes: Int8[np.ndarray, "m k"]) -> Float64[np.ndarray, " m"]:
        """Expected AP@T of each code."""
        total, relevant = self.histograms(codes)
        return expected_ap(total, relevant, self.top)

    def neighbours(self, code: Int8[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
        """Expected AP@T of the K codes that differ from a code in one bit."""
        bits = len(code)
        near = self.distances(code[None])[0]
        order = np.argsort(near, kind="stable")
        sorted_, wrong = near[order], (self.signs[order] != code)
        starts = np.flatnonzero(np.diff(sorted_, prepend=-1))
        moved = []
        for count in self.counts:
            whole = np.zeros(bits + 1)
            differ = np.zeros((bits + 1, bits))
            each = count[order]
            whole[sorted_[starts]] = np.add.reduceat(each, starts)
            differ[sorted_[starts]] = np.add.reduceat(wrong * each[:, None], starts, axis=0)
            alike = whole[:, None] - differ
            # What differs in the bit comes one nearer, everything else moves one away.
            after = np.zeros_like(differ)
            after[:-1] += differ[1:]
            after[1:] += alike[:-1]
            moved.append(after.T)
        return expected_ap(moved[0], moved[1], self.top)

    def climb(
        self, start: Int8[np.ndarray, " k"], sign: float = 1.0
    ) -> tuple[Int8[np.ndarray, " k"], float]:
        """Flips the bit that helps most until none does; a sign of -1 looks for low AP.

        Returns:
            The code, and its expected AP@T.
        """
        code = np.where(start >= 0, 1, -1).astype(np.int8)
        value = float(self.at(code[None])[0])
        while True:
            around = self.neighbours(code)
            best = int((sign * around).argmax())
            if sign * (around[best] - value) <= 1e-12:
                return code, value
            code[best] *= -1
            value = float(around[best])


def expected_ap(
    total: Float64[np.ndarray, "m d"], relevant: Float64[np.ndarray, "m d"], top: int
) -> Float64[np.ndarray, " m"]:
    """Expected AP@T over random orders of equal distances, divided by min(R, T).

    The closed form of `hashprobe.evaluation` with ties `expected` and normaliser `min`, which this
    package must not import: a test compares the two.
    """
    table = harmonic(top)
    nearer, hits = total.cumsum(1) - total, relevant.cumsum(1) - relevant
    places = np.clip(top - nearer, 0, total)
    nearer = np.minimum(nearer, top)
    first, last = nearer.astype(np.int64), (nearer + places).astype(np.int64)
    slope = np.where(total > 1, (relevant - 1) / np.maximum(total - 1, 1), 0.0)
    inner = (hits + 1 - slope * (nearer + 1)) * (table[last] - table[first]) + slope * places
    sums: np.ndarray = (relevant / np.maximum(total, 1) * inner).sum(1)
    most = np.minimum(relevant.sum(1), top)
    values: np.ndarray = np.divide(sums, most, out=np.zeros_like(sums), where=most > 0)
    return values


@lru_cache(maxsize=8)
def harmonic(size: int) -> Float64[np.ndarray, " h"]:
    """Harmonic numbers H(0) .. H(size)."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, size + 1))])


class IterateScore:
    """Says which iterate of a query is the best: by the expected AP of its own code.

    It is handed to `UpdateRule.score`. What the attack gives for each query has the number of its
    values in its last column.

    Args:
        values: of the labels that queries have.
        sign: 1 where a high AP is wanted: the score is then 1 - AP; -1 where a low one is.
    """

    def __init__(self, values: list[CodeValues], sign: float) -> None:
        self.values, self.sign = values, sign
        self.known: dict[tuple[int, bytes], float] = {}

    def __call__(self, logits: Logits, given: Tensor) -> Tensor:
        """One score a query, the smaller the better."""
        signs = np.where(logits.detach().float().cpu().numpy() >= 0, 1, -1).astype(np.int8)
        which = given[:, -1].long().tolist()
        keys = [(label, code.tobytes()) for label, code in zip(which, signs, strict=True)]
        for label in set(which):
            new = [row for row, key in enumerate(keys) if key[0] == label and key not in self.known]
            if new:
                found = self.values[label].at(signs[new])
                self.known |= {keys[row]: float(ap) for row, ap in zip(new, found, strict=True)}
        aps = logits.new_tensor([self.known[key] for key in keys])
        return 1 - aps if self.sign > 0 else aps


def values_of(
    database: Codes, labels: Labels, top: int | None = None
) -> tuple[list[CodeValues], Bool[np.ndarray, "u c"], Int64[np.ndarray, " n"]]:
    """The values of codes for each distinct label vector, these, and which each query has."""
    kinds, which = np.unique(labels, axis=0, return_inverse=True)
    each = CodeValues.each(database, relevance(database, kinds), top)
    return each, kinds, which.reshape(-1).astype(np.int64)
