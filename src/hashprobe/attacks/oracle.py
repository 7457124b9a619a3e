"""The only thing that a query-only adversary sees: a service that takes pictures and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int8, Int64

from hashprobe.attacks.search import Answer, Search
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images8, Lengths
from hashprobe.types import check_whole


if TYPE_CHECKING:
    from hashprobe.victims.base import Hasher

TOGETHER = 64
"""Pictures in the network at once where nothing says how many."""


class Oracle:
    """Answers 8-bit pictures by the judged codes of a victim, and counts the queries of each row.

    It searches a database, or, without one, compares each row with one code of its own: an answer
    is then the number of bits that differ from it, where bits that are 0 do not count. Of several
    codes a row the one counts that differs most.

    Args:
        victim: its codes are judged ones, by the hard sign in float32; no gradient is taken.
        against: the service, or codes of -1, 0 and +1: (Q, K), one a row, or (Q, S, K).
        most: queries that each row may ask.
        distances: whether answers hold distances.
        lengths: (Q,) frames of each clip; None for images.
        batch_size: pictures in the network at once.

    Raises:
        HashprobeError: codes that do not fit the victim, or codes without distances, which would
            leave answers that say nothing.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> oracle = Oracle(ImageHasher("small", 16), np.ones((2, 16), np.int8), most=1)
        >>> oracle.ask([1], torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).positions, oracle.asked
        (array([[1]]), array([0, 1]))
    """

    asked: Int64[np.ndarray, " q"]
    """(Q,) queries of each row so far."""

    def __init__(
        self,
        victim: Hasher,
        against: Search | Int8[np.ndarray, "q *s k"],
        *,
        most: int,
        distances: bool = True,
        lengths: Lengths | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.victim, self.against, self.distances = victim, against, distances
        self.most, self.lengths = check_whole("query_budget", most), lengths
        self.batch_size = batch_size or TOGETHER
        self.asked = np.zeros(len(against), np.int64)
        bits = against.database.bits if isinstance(against, Search) else against.shape[-1]
        if bits != victim.bits:
            raise HashprobeError(f"the service has codes of {bits} bits, the victim {victim.bits}")
        if not distances and not isinstance(against, Search):
            raise HashprobeError(
                "answers without distances are lists of ids, which need a database: give the goal "
                "a search, or allow distances"
            )

    def ask(self, rows: list[int], pictures: Images8) -> Answer:
        """Answers one picture for each of some rows.

        Args:
            rows: which queries they belong to, each once.
            pictures: (M, 3, H, W) 8-bit pixels, or clips, on any device.

        Raises:
            HashprobeError: a row has no queries left.
        """
        self.count(rows)
        codes = PackedCodes.concatenate(
            [
                self.codes(rows[start : start + self.batch_size], pictures[start:])
                for start in range(0, len(rows), self.batch_size)
            ]
        )
        if isinstance(self.against, Search):
            return self.told(self.against.answer(codes))
        target = self.against[rows].reshape(len(rows), -1, codes.bits).astype(np.int64)
        alike = np.einsum("msk,mk->ms", target, codes.signs().astype(np.int64))
        differ = ((np.abs(target).sum(axis=2) - alike) // 2).max(axis=1)
        return Answer(np.array(rows, np.int64)[:, None], differ[:, None])

    def ask_items(self, rows: list[int]) -> Answer:
        """What the picture of a row's first item would be answered; one query of each row."""
        if not isinstance(self.against, Search):
            raise HashprobeError("there is no database whose items could be asked")
        self.count(rows)
        items = self.against.items[rows]
        first = np.take_along_axis(items, (items >= 0).argmax(axis=1)[:, None], axis=1)[:, 0]
        return self.told(self.against.answer(self.against.database[first]))

    def count(self, rows: list[int]) -> None:
        """Counts one query of each row; refuses the first one too many."""
        used = [row for row in rows if self.asked[row] >= self.most]
        if used or len(set(rows)) < len(rows):
            row = used[0] if used else next(row for row in rows if rows.count(row) > 1)
            raise HashprobeError(f"query {row} may ask {self.most} times; it asked once more")
        self.asked[rows] += 1

    def codes(self, rows: list[int], pictures: Images8) -> PackedCodes:
        """Judged codes of the pictures of some rows, counted as passes of theirs."""
        from hashprobe.victims.encoding import encode
        from hashprobe.victims.passes import attend

        some = pictures[: len(rows)].float() / 255
        lengths = None if self.lengths is None else self.lengths[rows]
        with attend(rows):
            return encode(self.victim, Queries(some, tuple(range(len(rows))), lengths))

    def told(self, answer: Answer) -> Answer:
        """What of an answer the service says."""
        return answer if self.distances else Answer(answer.positions, None)
