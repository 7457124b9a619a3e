"""One record of all measures of matching within a radius, before and after an attack."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypedDict

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.false_matching import FalseMatches, false_matches
from hashprobe.evaluation.instances import Sources, check_radius, survey
from hashprobe.evaluation.lists import list_overlap, list_recall, nearest_items, source_rank
from hashprobe.evaluation.matching import (
    check_known,
    check_same_queries,
    collision_rate,
    evasion_of,
    hit_rate,
    sizes,
)
from hashprobe.evaluation.measurement import Measurement, sign


class Told(TypedDict):
    """What every measure after an attack is told."""

    rounding: str | None
    bootstrap: Bootstrap


@checked
@dataclass(frozen=True, eq=False)
class Matching:
    """What an attack changes for a system that matches within a radius.

    Example:
        >>> codes = PackedCodes.from_signs(np.eye(16))
        >>> found = measure_matching(codes, codes, codes, Sources.of(range(16), range(16)), 1)
        >>> print(found.evasion, sorted(found.to_json())[:3])
        0.000 [0.000, 0.206] ['bits', 'collision', 'evaded']
    """

    radius: int
    """r, largest distance that matches."""
    bits: int
    """K, the length of the codes."""
    match_before: Measurement
    """Share of the queries that match their source before the attack."""
    match_after: Measurement
    """The same after it."""
    evasion: Measurement | None
    """Share of those that matched before and do not after; None where none matched before."""
    matched: int
    """How many queries matched before: the denominator of the evasion rate."""
    evaded: int
    """How many of them do not match after."""
    false_matches: FalseMatches
    """How often clean queries match items of other sources, at every radius."""
    recall_before: Measurement
    """Share of the queries with their source among the first k items, before the attack."""
    recall_after: Measurement
    """The same after it."""
    overlap: Measurement
    """Share of the first k items that the attack left in the list."""
    rank_before: Measurement
    """Mean place of the first item of the source, from 1, before the attack."""
    rank_after: Measurement
    """The same after it."""
    collision: Measurement | None = None
    """Share of the queries within r of their chosen item after the attack."""
    exact_collision: Measurement | None = None
    """Share of the queries with exactly the code of their chosen item after the attack."""
    hit_before: Measurement | None = None
    """Share of the queries within r of an item of the list, before the attack."""
    hit_after: Measurement | None = None
    """The same after it."""

    def to_json(self) -> dict[str, Any]:
        """What goes into a file: numbers with their signatures, and the false-match curve."""
        record: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            record[one.name] = value.to_json() if hasattr(value, "to_json") else value
        ranks = (self.rank_before, self.rank_after)
        record["median_rank"] = [float(np.nanmedian(rank.per_query)) for rank in ranks]
        rates = self.false_matches
        record["false_match"] = rates.rate(self.radius).to_json()
        record["false_match_queries"] = rates.queries(self.radius).to_json()
        return record


@checked
def measure_matching(
    clean: PackedCodes,
    attacked: PackedCodes,
    database: PackedCodes,
    sources: Sources,
    radius: int,
    *,
    chosen: PackedCodes | None = None,
    listed: PackedCodes | None = None,
    top: int = 10,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Matching:
    """All measures of matching within a radius, before and after an attack.

    Args:
        clean: Q codes of the queries before the attack.
        attacked: their codes after it, in the same order.
        database: N codes of K bits.
        sources: which picture each of them shows.
        radius: r, largest distance that matches, 0 to K.
        chosen: Q codes, the item that each query was to be brought to; None without such a goal.
        listed: M codes that queries were to enter or to leave, a block list; None without one.
        top: k of the lists; a smaller database is listed whole.
        rounding: how the attacked pixels were stored, for the signatures.
        bootstrap: how the intervals are computed.

    Returns:
        Every measure with its interval and its signature.

    Raises:
        HashprobeError: arrays that do not fit each other, or no query whose source is known.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> sources = Sources.of([0, 1], [0, 1])
        >>> found = measure_matching(codes, codes[::-1], codes, sources, 2)
        >>> found.matched, found.evaded, found.rank_after.value
        (2, 2, 2.0)
    """
    check_radius(radius, clean.bits)
    check_same_queries(clean, attacked)
    false = false_matches(clean, database, sources, bootstrap=bootstrap)
    before = false.survey.matched(radius)
    after = survey(attacked, database, sources).matched(radius)
    check_known(before)
    parts = sizes(clean, database, sources, None)
    later = parts | {"round": rounding}
    matched = int((before == 1).sum())
    k = min(top, len(database))
    first, second = (nearest_items(codes, database, k) for codes in (clean, attacked))
    told: Told = {"rounding": rounding, "bootstrap": bootstrap}
    return Matching(
        radius,
        clean.bits,
        match_before=Measurement.of(before, sign(f"match@r{radius}", **parts), bootstrap),
        match_after=Measurement.of(after, sign(f"match@r{radius}", **later), bootstrap),
        evasion=evasion_of(before, after, radius, later, bootstrap) if matched else None,
        matched=matched,
        evaded=int(((before == 1) & (after == 0)).sum()),
        false_matches=false,
        recall_before=list_recall(first, sources, bootstrap=bootstrap),
        recall_after=list_recall(second, sources, **told),
        overlap=list_overlap(first, second, **told),
        rank_before=source_rank(clean, database, sources, bootstrap=bootstrap),
        rank_after=source_rank(attacked, database, sources, **told),
        collision=None if chosen is None else collision_rate(attacked, chosen, radius, **told),
        exact_collision=None if chosen is None else collision_rate(attacked, chosen, 0, **told),
        hit_before=None if listed is None else hit_rate(clean, listed, radius, bootstrap=bootstrap),
        hit_after=None if listed is None else hit_rate(attacked, listed, radius, **told),
    )
