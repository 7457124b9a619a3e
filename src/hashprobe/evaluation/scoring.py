"""From the codes of an attack to its evaluation, by arrays alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.evaluation.measure_options import DEFAULTS, MeasureOptions
from hashprobe.evaluation.measurement import Measurement, paired_difference, sign
from hashprobe.evaluation.measures import score_average_precision
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.perceptibility import Perceptibility
from hashprobe.evaluation.ranking import Empty, Ranking
from hashprobe.types import Labels


STORED, FLOAT = "uint8", "none"
"""Values of `round` in signatures: pixels rounded to 8 bits, and pixels as the attack gave them.
For clips after a video codec the value is the codec's name."""


@checked
def evaluate_attack(
    codes: AttackCodes,
    database: Codes,
    *,
    query_labels: Any = None,
    target_labels: Any = None,
    options: MeasureOptions = DEFAULTS,
    perceptibility: Perceptibility | None = None,
    perceptibility_float: Perceptibility | None = None,
    exclusion: Exclusion | None = None,
    knowledge: str | None = None,
) -> Evaluation:
    """Measures an attack from codes and labels (the protocol of DHTA, section 4.1).

    MAP needs the queries' own labels, t-MAP the target labels, bits wrong the target codes, and
    the ceiling both of the last two. What cannot be computed is None.

    The lift pairs each attacked query with its clean one. Their signatures differ only in `round`,
    which says how the attacked pixels were stored and not how the number is computed.

    Under `skip` a perfect attack leaves no query with a hit for its own label, and a clean query
    often has no hit for the target's label. If every query would be skipped, the part is the 0
    that `zero` gives, and its signature says `zero`. The lift counts empty queries as 0 under
    every policy: otherwise it could compare different queries before and after.

    Args:
        codes: clean, attacked and target codes of Q queries.
        database: N codes of K bits, with labels for MAP and t-MAP.
        query_labels: the queries' own labels, (Q, C) multi-hot or (Q,) classes below C, as an
            array, a tensor or a list; None if not known.
        target_labels: the label that each attack aims at, in the same forms; None without one.
        options: T, normaliser, ties, the policy for empty queries, and how intervals are computed.
        perceptibility: how visible the rounded result is.
        perceptibility_float: how visible the result before rounding is.
        exclusion: database items that MAP and t-MAP leave out; the signature says which.
        knowledge: which target codes were aimed at, and what of the database they took, such as
            `ascent.L2`; signatures of t-MAP hold it, so that it is not compared across levels.

    Returns:
        The record; every measured part has an interval and a signature.

    Raises:
        HashprobeError: labels of queries that do not fit those of the database, nothing to
            measure, or as `mean_average_precision`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> done = evaluate_attack(
        ...     AttackCodes(query=codes[:1], attacked=codes[1:], target=codes[1:]),
        ...     Codes.of(codes, [0, 1]),
        ...     query_labels=[0],
        ...     target_labels=[1],
        ... )
        >>> print(done.floor.value, done.achieved.value, done.lift.value, done.wrong.value)
        0.5 1.0 0.5 0.0
    """
    if query_labels is None and target_labels is None and codes.target is None:
        raise HashprobeError(
            "there is nothing to measure: pass query_labels for MAP, target_labels for t-MAP, or "
            "target codes for the bits that differ"
        )
    parts: dict[str, Measurement] = {}
    if query_labels is not None:
        own = read_labels(query_labels, "query", database)
        parts |= own_parts(codes, LabelSearch("MAP", "query", database, own, options, exclusion))
    if target_labels is not None:
        wanted = read_labels(target_labels, "target", database)
        search = LabelSearch("tMAP", "target", database, wanted, options, exclusion, knowledge)
        parts |= target_parts(codes, search)
    if codes.target is not None:
        parts |= bit_parts(codes, codes.target, options.bootstrap)
    return Evaluation(
        **parts, perceptibility=perceptibility, perceptibility_float=perceptibility_float
    )


def read_labels(labels: Any, name: str, database: Codes) -> Labels:
    """Labels of the queries over the classes of the database."""
    if database.labels is None:
        raise HashprobeError(
            f"{name} labels are given, but the database has no labels: pass both or neither"
        )
    try:
        return as_labels(labels, database.labels.shape[1])
    except HashprobeError as error:
        raise HashprobeError(f"{name} labels do not fit the database's: {error}") from error


@dataclass(frozen=True, eq=False)
class LabelSearch:
    """Scores several sets of codes against one database by the same labels."""

    name: str
    asked: str
    database: Codes
    labels: Labels
    options: MeasureOptions
    exclusion: Exclusion | None = None
    knowledge: str | None = None

    def aimed(self, codes: PackedCodes, rounding: str | None = None) -> Measurement:
        """MAP of codes that were aimed at target codes, which its signature then names."""
        found = self.score(codes, rounding)
        if self.knowledge is None:
            return found
        first, mark, rest = found.signature.partition("|rel:")
        return replace(found, signature=f"{first}|code:{self.knowledge}{mark}{rest}")

    def score(
        self, codes: PackedCodes, rounding: str | None = None, empty: Empty | None = None
    ) -> Measurement:
        """MAP of codes under a policy, or the 0 of `zero` where `skip` would leave no query."""
        assert self.database.labels is not None
        arrays = codes, self.database.packed, self.labels, self.database.labels
        ranking = Ranking(*arrays, self.asked, self.exclusion)
        options = replace(self.options, empty=self.options.empty if empty is None else empty)
        if options.empty == "skip":
            counted = replace(options, empty="zero")
            zero = score_average_precision(self.name, ranking, counted, rounding)
            if not zero.per_query.any():
                return zero
        return score_average_precision(self.name, ranking, options, rounding)


def own_parts(codes: AttackCodes, search: LabelSearch) -> dict[str, Measurement]:
    """The parts that need the queries' own labels."""
    parts = {
        "map_clean": search.score(codes.query),
        "map_attacked": search.score(codes.attacked, STORED),
    }
    if codes.after_codec is not None:
        parts["map_codec"] = search.score(codes.after_codec.query, codes.after_codec.name)
    return parts


def target_parts(codes: AttackCodes, search: LabelSearch) -> dict[str, Measurement]:
    """The parts that need the target labels."""
    floor, achieved = search.score(codes.query), search.aimed(codes.attacked, STORED)
    before, after = floor, achieved
    if search.options.empty == "skip":
        before = search.score(codes.query, empty="zero")
        after = search.score(codes.attacked, STORED, "zero")
    same = replace(after, signature=before.signature)
    lift = paired_difference(same, before, search.options.bootstrap)
    parts = {
        "floor": floor,
        "achieved": achieved,
        "lift": replace(lift, signature=f"difference:{after.signature}"),
    }
    if codes.target is not None:
        parts["ceiling"] = search.aimed(codes.target)
    if codes.attacked_float is not None:
        parts["achieved_float"] = search.aimed(codes.attacked_float, FLOAT)
    if codes.after_codec is not None:
        parts["achieved_codec"] = search.aimed(codes.after_codec.attacked, codes.after_codec.name)
    return parts


def bit_parts(
    codes: AttackCodes, target: PackedCodes, bootstrap: Bootstrap
) -> dict[str, Measurement]:
    """The parts that need the target codes alone."""
    sets: dict[str, tuple[PackedCodes, str | None]] = {
        "wrong_clean": (codes.query, None),
        "wrong": (codes.attacked, STORED),
    }
    if codes.attacked_float is not None:
        sets["wrong_float"] = codes.attacked_float, FLOAT
    if codes.after_codec is not None:
        sets["wrong_codec"] = codes.after_codec.attacked, codes.after_codec.name
    return {
        name: wrong_bits(some, target, rounding=rounding, bootstrap=bootstrap)
        for name, (some, rounding) in sets.items()
    }


@checked
def wrong_bits(
    codes: PackedCodes,
    target_codes: PackedCodes,
    *,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """Mean Hamming distance of codes to their target codes.

    Args:
        codes: Q codes of K bits.
        target_codes: Q codes of K bits.
        rounding: how the attacked pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        Bits in 0..K with their interval.

    Raises:
        HashprobeError: the lengths of the codes or their numbers differ, or there are none.

    Example:
        >>> ones = PackedCodes.from_signs(np.ones((1, 8)))
        >>> wrong_bits(ones, PackedCodes.from_signs(np.zeros((1, 8)))).value
        8.0
    """
    distances = paired_hamming(codes, target_codes).astype(np.float64)
    signature = sign("wrong bits", q=len(codes), bits=codes.bits, round=rounding)
    return Measurement.of(distances, signature, bootstrap, (0.0, float(codes.bits)))
