"""Matching at a threshold: match, evasion, collision and hit rates of a Hamming radius.

Operators of reverse-image search, near-duplicate search and block lists look at what lies within a
radius. Every measure is first one value a query, then their mean with an interval; all values are 0
or 1, so that the interval is the exact one of Clopper and Pearson. Signatures name the radius, how
the sources are known (`src`), the numbers of queries, items and bits.
"""

from __future__ import annotations

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.codes.sharded_codes import AnyCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.instances import Sources, check_radius, survey
from hashprobe.evaluation.measurement import Measurement, sign


@checked
def match_rate(
    codes: PackedCodes,
    database: AnyCodes,
    sources: Sources,
    radius: int,
    *,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """The share of queries with a database item of the same source within a radius.

    Queries whose source the database does not hold are left out.

    Args:
        codes: Q query codes of K bits.
        database: N codes of K bits.
        sources: which picture each of them shows.
        radius: r, largest distance that matches, 0 to K.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        The share with its interval; per query 1 or 0, NaN where it was left out.

    Raises:
        HashprobeError: codes, sources or radius that do not fit, or no query with a source.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> match_rate(codes, codes, Sources.of([1, 2, 3], [2, 1, 3]), 0).value
        0.3333333333333333
    """
    check_radius(radius, codes.bits)
    values = survey(codes, database, sources).matched(radius)
    check_known(values)
    signature = sign(f"match@r{radius}", **sizes(codes, database, sources, rounding))
    return Measurement.of(values, signature, bootstrap)


@checked
def evasion_rate(
    clean: PackedCodes,
    attacked: PackedCodes,
    database: AnyCodes,
    sources: Sources,
    radius: int,
    *,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """Of the queries that match before the attack, the share that does not match after it.

    Args:
        clean: Q codes of the queries before the attack.
        attacked: their codes after it, in the same order.
        database: N codes of K bits.
        sources: which picture each of them shows.
        radius: r, largest distance that matches, 0 to K.
        rounding: how the attacked pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        The share with its interval; per query 1 or 0, NaN where it did not match before. How many
        matched before is the number of values that are not NaN.

    Raises:
        HashprobeError: codes, sources or radius that do not fit, or no query matches before.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> moved = PackedCodes.from_signs(np.array([[0] * 4 + [1] * 4, [1] * 8]))
        >>> evasion_rate(codes, moved, codes, Sources.of([0, 1], [0, 1]), 3).value
        0.5
    """
    check_radius(radius, clean.bits)
    check_same_queries(clean, attacked)
    before = survey(clean, database, sources).matched(radius)
    after = survey(attacked, database, sources).matched(radius)
    check_known(before)
    return evasion_of(before, after, radius, sizes(clean, database, sources, rounding), bootstrap)


def evasion_of(
    before: np.ndarray,
    after: np.ndarray,
    radius: int,
    parts: dict[str, object],
    bootstrap: Bootstrap,
) -> Measurement:
    """The evasion rate of values of `Survey.matched`."""
    if not (before == 1).any():
        raise HashprobeError(
            f"no query matches its source within radius {radius} before the attack: there is "
            "nothing to evade; choose a larger radius"
        )
    values = np.where(before == 1, 1.0 - after, np.nan)
    return Measurement.of(values, sign(f"evasion@r{radius}", **parts), bootstrap)


@checked
def collision_rate(
    codes: PackedCodes,
    chosen: PackedCodes,
    radius: int,
    *,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """The share of queries within a radius of the item that was chosen for each of them.

    With radius 0 it is the rate of exact collisions.

    Args:
        codes: Q query codes of K bits.
        chosen: Q codes, the item that each query was to be brought to.
        radius: r, largest distance that matches, 0 to K.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        The share with its interval; per query 1 or 0.

    Raises:
        HashprobeError: codes or radius that do not fit, or no queries.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1]]))
        >>> chosen = PackedCodes.from_signs(np.zeros((2, 8)))
        >>> collision_rate(codes, chosen, 0).value, collision_rate(codes, chosen, 1).value
        (0.5, 1.0)
    """
    check_radius(radius, codes.bits)
    values = (paired_hamming(codes, chosen) <= radius).astype(np.float64)
    signature = sign(f"collision@r{radius}", q=len(codes), bits=codes.bits, round=rounding)
    return Measurement.of(values, signature, bootstrap)


@checked
def hit_rate(
    codes: PackedCodes,
    listed: AnyCodes,
    radius: int,
    *,
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """The share of queries within a radius of any item of a set, such as a block list.

    Args:
        codes: Q query codes of K bits.
        listed: M codes of K bits, the set.
        radius: r, largest distance that matches, 0 to K.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        The share with its interval; per query 1 or 0.

    Raises:
        HashprobeError: codes or radius that do not fit, or an empty set.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> hit_rate(codes, codes[:1], 1).value
        0.6666666666666666
    """
    check_radius(radius, codes.bits)
    found = survey(codes, listed, Sources.alone_in(len(codes), listed))
    values = (found.nearest <= radius).astype(np.float64)
    parts = {"q": len(codes), "list": len(listed), "bits": codes.bits, "round": rounding}
    return Measurement.of(values, sign(f"hit@r{radius}", **parts), bootstrap)


def sizes(
    codes: PackedCodes, database: AnyCodes, sources: Sources, rounding: str | None
) -> dict[str, object]:
    """The parts that end a signature."""
    numbers = {"q": len(codes), "db": len(database), "bits": codes.bits}
    return {"src": sources.found, **numbers, "round": rounding}


def check_known(values: np.ndarray) -> None:
    """Refuses queries of which no source is in the database."""
    if np.isnan(values).all():
        raise HashprobeError(
            "the database holds no item of any query's source: give sources (a group column), or "
            "take those that the hash itself finds (Sources.by_hash)"
        )


def check_same_queries(clean: PackedCodes, attacked: PackedCodes) -> None:
    """Refuses another number of attacked queries than of clean ones."""
    if len(clean) != len(attacked):
        raise HashprobeError(
            f"{len(clean)} clean codes and {len(attacked)} attacked ones: give both"
        )
