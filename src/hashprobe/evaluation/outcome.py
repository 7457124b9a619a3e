"""Everything that is said about one attack, in one record, from arrays alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import (
    BOOTSTRAP,
    Bootstrap,
    Measurement,
    paired_difference,
    sign,
)
from hashprobe.evaluation.measures import mean_average_precision, targeted_mean_average_precision
from hashprobe.evaluation.perceptibility import Perceptibility
from hashprobe.evaluation.ranking import Empty, Normaliser, Ties


STORED, FLOAT = "uint8", "none"
"""Values of `round` in signatures: pixels rounded to 8 bits, and left as the attack gave them. Of
clips after a video codec it is the codec's name."""


@dataclass(frozen=True, eq=False)
class AfterCodec:
    """Codes of Q clips that have been through a video codec.

    Example:
        >>> codes = PackedCodes.from_signs(np.ones((1, 8)))
        >>> AfterCodec("h264-crf23", attacked=codes, query=codes).name
        'h264-crf23'
    """

    name: str
    """Codec and how coarse it was, for the signature."""
    attacked: PackedCodes
    """Q codes of the attacked queries, rounded to 8 bits, encoded and decoded."""
    query: PackedCodes
    """Q codes of the untouched queries, encoded and decoded alike."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an attack on Q queries achieved, and what it could have.

    The fields that end in `_float` belong to the attack's own result, before its pixels were
    rounded to 8 bits; None where it was not kept. Those that end in `_codec` belong to clips after
    a video codec; None where none was asked for. It goes into a file by `to_json` and comes back
    by `from_json`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.eye(2, dtype=bool)
        >>> parts = {"database": codes, "query": codes[:1], "target": codes[1:]}
        >>> done = evaluate_attack(
        ...     **{f"{name}_codes": part for name, part in parts.items()},
        ...     attacked_codes=codes[1:],
        ...     database_labels=labels,
        ...     query_labels=labels[:1],
        ...     target_labels=labels[1:],
        ... )
        >>> Evaluation.from_json(done.to_json()).achieved.value
        1.0
    """

    map_clean: Measurement
    """MAP of the untouched queries, by their own labels."""
    map_attacked: Measurement
    """MAP of the attacked queries, by their own labels."""
    floor: Measurement
    """t-MAP of the untouched queries: what no attack gives."""
    achieved: Measurement
    """t-MAP of the attacked queries."""
    ceiling: Measurement
    """t-MAP of the target codes themselves: what reaching every bit gives."""
    lift: Measurement
    """achieved - floor, with a paired interval; empty queries count zero under every policy."""
    wrong_clean: Measurement
    """Bits in which the untouched query differs from its target code, of K."""
    wrong: Measurement
    """Bits in which the attacked query still differs from its target code, of K."""
    achieved_float: Measurement | None = None
    """`achieved` before rounding."""
    wrong_float: Measurement | None = None
    """`wrong` before rounding."""
    perceptibility: Perceptibility | None = None
    """How visible the attack is."""
    perceptibility_float: Perceptibility | None = None
    """`perceptibility` before rounding."""
    achieved_codec: Measurement | None = None
    """`achieved` after a video codec."""
    wrong_codec: Measurement | None = None
    """`wrong` after a video codec."""
    map_codec: Measurement | None = None
    """`map_clean` after the same codec: what the codec alone does."""

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: the fields that are given, measurements with every query's value.

        Returns:
            A dictionary of numbers, strings, lists and None, in strict JSON.
        """
        result: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Measurement):
                queries = [None if np.isnan(v) else v for v in value.per_query.tolist()]
                extra = {"confidence": value.confidence, "per_query": queries}
                result[field.name] = {**value.to_json(), **extra}
            elif value is not None:
                result[field.name] = value.to_json()
        return result

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Evaluation:
        """Reads what `to_json` gave.

        Raises:
            HashprobeError: a part is missing or unknown.
        """
        parts: dict[str, Any] = {}
        try:
            for name, value in record.items():
                if "signature" not in value:
                    parts[name] = Perceptibility.from_json(value)
                    continue
                queries = [np.nan if v is None else v for v in value["per_query"]]
                per_query = np.array(queries, dtype=np.float64)
                parts[name] = Measurement(**{**value, "per_query": per_query})
            return cls(**parts)
        except (KeyError, TypeError, AttributeError) as error:
            reason = str(error).replace("\n", " ")
            raise HashprobeError(f"this is no evaluation of an attack: {reason}") from error


def evaluate_attack(
    *,
    database_codes: PackedCodes,
    database_labels: Bool[np.ndarray, "n _"],
    query_codes: PackedCodes,
    query_labels: Bool[np.ndarray, "q _"],
    target_labels: Bool[np.ndarray, "t _"],
    target_codes: PackedCodes,
    attacked_codes: PackedCodes,
    attacked_codes_float: PackedCodes | None = None,
    after_codec: AfterCodec | None = None,
    perceptibility: Perceptibility | None = None,
    perceptibility_float: Perceptibility | None = None,
    top: int | None = None,
    normaliser: Normaliser = "hits",
    ties: Ties | None = None,
    empty: Empty = "zero",
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Evaluation:
    """Measures an attack from codes and labels (the protocol of DHTA, section 4.1).

    The lift pairs each attacked query with itself untouched. Their signatures differ in `round`
    alone, which says how the attacked pixels were stored and not how the number is computed.

    Under `skip` a perfect attack leaves no query with a hit for its own label, and an untouched one
    often none for the target's. Where every query would be skipped the part is the 0 that `zero`
    gives, and its signature says `zero`. The lift counts empty queries as 0 under every policy:
    skipping other queries before than after would make it a difference of different things.

    Args:
        database_codes: N codes of K bits.
        database_labels: multi-hot (N, C).
        query_codes: Q codes of the untouched queries.
        query_labels: multi-hot (Q, C), the queries' own labels.
        target_labels: multi-hot (Q, C), what each attack aims at.
        target_codes: Q codes that the attacks were given.
        attacked_codes: Q codes of the attacked queries, their pixels rounded to 8 bits.
        attacked_codes_float: Q codes of the same before rounding, if they were kept.
        after_codec: codes of attacked and untouched queries after a video codec, if one was asked.
        perceptibility: how visible the rounded result is.
        perceptibility_float: how visible the result before rounding is.
        top: T, at least 1; None for the whole list.
        normaliser: what AP divides by: `hits`, `min` or `relevant`.
        ties: order of equal distances; None for the normaliser's default.
        empty: what a query without a value counts, in every part but the lift.
        bootstrap: how the intervals are drawn.

    Returns:
        The record, every part with an interval and a signature.

    Raises:
        HashprobeError: the numbers of queries differ, or as `mean_average_precision`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.eye(2, dtype=bool)
        >>> done = evaluate_attack(
        ...     database_codes=codes,
        ...     database_labels=labels,
        ...     query_codes=codes[:1],
        ...     query_labels=labels[:1],
        ...     target_labels=labels[1:],
        ...     target_codes=codes[1:],
        ...     attacked_codes=codes[1:],
        ... )
        >>> print(done.floor.value, done.achieved.value, done.lift.value, done.wrong.value)
        0.5 1.0 0.5 0.0
    """
    sets = {"target": target_codes, "attacked": attacked_codes}
    if attacked_codes_float is not None:
        sets["attacked float"] = attacked_codes_float
    if after_codec is not None:
        sets |= {"attacked codec": after_codec.attacked, "query codec": after_codec.query}
    for name, codes in sets.items():
        if len(codes) != len(query_codes):
            raise HashprobeError(f"{len(codes)} {name} codes for {len(query_codes)} query codes")

    shared: dict[str, Any] = {
        "top": top,
        "normaliser": normaliser,
        "ties": ties,
        "bootstrap": bootstrap,
    }

    def own(codes: PackedCodes, rounding: str | None = None) -> Measurement:
        arrays = codes, database_codes, query_labels, database_labels
        return unless_all_empty(mean_average_precision, arrays, empty, rounding, shared)

    def targeted(
        codes: PackedCodes, rounding: str | None = None, policy: Empty = empty
    ) -> Measurement:
        arrays = codes, database_codes, target_labels, database_labels
        return unless_all_empty(targeted_mean_average_precision, arrays, policy, rounding, shared)

    def wrong(codes: PackedCodes, rounding: str | None = None) -> Measurement:
        return wrong_bits(codes, target_codes, rounding=rounding, bootstrap=bootstrap)

    float_codes, codec = attacked_codes_float, after_codec
    floor, achieved = targeted(query_codes), targeted(attacked_codes, STORED)
    before, after = floor, achieved
    if empty == "skip":
        before = targeted(query_codes, policy="zero")
        after = targeted(attacked_codes, STORED, "zero")
    lift = paired_difference(replace(after, signature=before.signature), before, bootstrap)
    return Evaluation(
        map_clean=own(query_codes),
        map_attacked=own(attacked_codes, STORED),
        floor=floor,
        achieved=achieved,
        ceiling=targeted(target_codes),
        lift=replace(lift, signature=f"difference:{after.signature}"),
        wrong_clean=wrong(query_codes),
        wrong=wrong(attacked_codes, STORED),
        achieved_float=None if float_codes is None else targeted(float_codes, FLOAT),
        wrong_float=None if float_codes is None else wrong(float_codes, FLOAT),
        perceptibility=perceptibility,
        perceptibility_float=perceptibility_float,
        achieved_codec=None if codec is None else targeted(codec.attacked, codec.name),
        wrong_codec=None if codec is None else wrong(codec.attacked, codec.name),
        map_codec=None if codec is None else own(codec.query, codec.name),
    )


def unless_all_empty(
    measure: Callable[..., Measurement],
    arrays: tuple[Any, ...],
    empty: Empty,
    rounding: str | None,
    shared: dict[str, Any],
) -> Measurement:
    """A measure under a policy, or the 0 of `zero` where `skip` would leave no query."""
    if empty == "skip":
        zero = measure(*arrays, empty="zero", rounding=rounding, **shared)
        if not zero.per_query.any():
            return zero
    return measure(*arrays, empty=empty, rounding=rounding, **shared)


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
        bootstrap: how the interval is drawn.

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
    return Measurement.of(distances, signature, bootstrap)
