"""What adversaries want of a search that matches within a radius: one plan a goal."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int32, Int64

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.search import Search
from hashprobe.codes.packed import PackedCodes, hamming, paired_hamming
from hashprobe.data.queries import seed_of
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.lists import nearest_items
from hashprobe.evaluation.matching import collision_rate, evasion_rate, hit_rate
from hashprobe.evaluation.measurement import Measurement
from hashprobe.workflow.audit_ladder import Plan
from hashprobe.workflow.audit_subject import Subject


MEMBERS = 32
"""Items of the own source that a query is to leave at most; the nearest are taken."""
CHOICE = 0x636F6C
"""Stream of the seed that chooses the item that a query collides with."""


def own_distances(
    subject: Subject, codes: PackedCodes, row: int, place: int
) -> Int32[np.ndarray, " s"]:
    """Distances of one code to the items of a query's own source."""
    own = subject.own[row]
    if not len(own):
        return np.zeros(0, np.int32)
    found: Int32[np.ndarray, " s"] = hamming(codes[place : place + 1], subject.database[own])[0]
    return found


def nearest_own(subject: Subject, codes: PackedCodes, rows: np.ndarray) -> np.ndarray:
    """Distance of each code to the nearest item of its query's source; beyond K without any."""
    far = subject.database.bits + 1
    near = [
        own_distances(subject, codes, row, at).min(initial=far)
        for at, row in enumerate(rows.tolist())
    ]
    return np.array(near, np.int64)


def evade(subject: Subject, radius: int, top: int = 10) -> Plan:
    """No match with the own source: beyond the radius of every item of it.

    It is about the queries that match before the attack.

    Raises:
        HashprobeError: no query matches.
    """
    every = np.arange(len(subject))
    rows = every[nearest_own(subject, subject.clean, every) <= radius]
    if not len(rows):
        raise HashprobeError(
            f"no query matches its own source within radius {radius}: there is nothing to evade; "
            "choose a larger radius, or give the sources of queries and items (--labels FILE with "
            "a column group)"
        )
    stored = []
    for row in rows.tolist():
        own = subject.own[row]
        order = np.argsort(own_distances(subject, subject.clean, row, row), kind="stable")
        stored.append(subject.database[own[order[:MEMBERS]]].signs())

    def met(codes: PackedCodes, places: np.ndarray) -> Bool[np.ndarray, " n"]:
        gone: Bool[np.ndarray, " n"] = nearest_own(subject, codes, rows[places]) > radius
        return gone

    def rate(codes: PackedCodes) -> Measurement:
        start, sources = subject.clean[rows], subject.sources.take(rows)
        return evasion_rate(start, codes, subject.database, sources, radius, rounding="uint8")

    goal = Goal.evade(stored, radius)
    items = padded([subject.own[row] for row in rows.tolist()])
    goal = replace(goal, search=subject.search(items, radius, "leave", top))
    return Plan("evade", rows, goal, met, rate)


def collide(subject: Subject, radius: int, seed: int, item: str | None, top: int = 10) -> Plan:
    """A match with one item: a random one of another source each, or the one that is named.

    Raises:
        HashprobeError: no item of that id, or none of another source.
    """
    chosen = chosen_items(subject, seed, item)
    codes = subject.database[chosen]
    other = [place not in subject.own[row] for row, place in enumerate(chosen)]
    rows = np.flatnonzero((paired_hamming(subject.clean, codes) > radius) & np.array(other))
    if not len(rows):
        raise HashprobeError(
            f"every query lies within radius {radius} of the item that it is to collide with "
            "already, or shows the same picture: choose a smaller radius or another item"
        )
    aims = codes[rows]

    def met(given: PackedCodes, places: np.ndarray) -> Bool[np.ndarray, " n"]:
        there: Bool[np.ndarray, " n"] = paired_hamming(given, aims[places]) <= radius
        return there

    def rate(given: PackedCodes) -> Measurement:
        return collision_rate(given, aims, radius, rounding="uint8")

    members = chosen[rows, None].astype(np.int64)
    search = subject.search(members, radius, "enter", top)
    goal = Goal.collide(aims.signs(), radius, members=members, search=search)
    return Plan("collide", rows, goal, met, rate)


def chosen_items(subject: Subject, seed: int, item: str | None) -> Int64[np.ndarray, " q"]:
    """The item that each query is to collide with: the one that is named, or a random one each."""
    if item is None:
        places = [random_other(subject, row, seed) for row in range(len(subject))]
        return np.array(places, np.int64)
    if item not in subject.items:
        raise HashprobeError(f"the database has no item {item!r:.80} to collide with")
    return np.full(len(subject), subject.items.index(item), np.int64)


def padded(sets: list[np.ndarray]) -> Int64[np.ndarray, "q m"]:
    """Sets of positions as rows, with -1 where a set has no more."""
    items = np.full((len(sets), max(map(len, sets))), -1, np.int64)
    for row, positions in zip(items, sets, strict=True):
        row[: len(positions)] = positions
    return items


def random_other(subject: Subject, row: int, seed: int) -> int:
    """A random item of another source, by the seed and the place of the query."""
    count, own = len(subject.database), set(subject.own[row].tolist())
    if len(own) >= count:
        raise HashprobeError("the database holds no picture of another source to collide with")
    chance = np.random.default_rng(seed_of(seed, row, CHOICE))
    while (place := int(chance.integers(count))) in own:
        pass
    return place


@dataclass(frozen=True, eq=False)
class BlockList:
    """Codes that a picture must not come near to, or that an adversary wants to enter."""

    codes: PackedCodes
    name: str


def enter(subject: Subject, radius: int, listed: BlockList, top: int = 10) -> Plan:
    """A match with any item of a list: the nearest is aimed at.

    Raises:
        HashprobeError: every query matches the list before the attack.
    """
    near = nearest_items(subject.clean, listed.codes, min(MEMBERS, len(listed.codes)))
    rows = np.flatnonzero(paired_hamming(subject.clean, listed.codes[near[:, 0]]) > radius)
    if not len(rows):
        raise HashprobeError(f"every query lies within radius {radius} of {listed.name} already")
    aims = listed.codes[near[rows, 0]]

    def met(given: PackedCodes, places: np.ndarray) -> Bool[np.ndarray, " n"]:
        first = listed.codes[nearest_items(given, listed.codes, 1)[:, 0]]
        there: Bool[np.ndarray, " n"] = paired_hamming(given, first) <= radius
        return there

    def rate(given: PackedCodes) -> Measurement:
        return hit_rate(given, listed.codes, radius, rounding="uint8")

    search = Search(listed.codes, near[rows], radius, "enter", top)
    return Plan("enter", rows, Goal.collide(aims.signs(), radius, search=search), met, rate)
