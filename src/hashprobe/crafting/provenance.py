"""How an attack was made, as JSON: what decides whether finished queries may be kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.sharded_codes import digest_of
from hashprobe.data.queries import Queries
from hashprobe.storage.differences import Difference, differences
from hashprobe.storage.files import jsonable, sha256_array
from hashprobe.types import Precision
from hashprobe.victims.base import Hasher
from hashprobe.victims.digest import sha256_weights


BEHAVIOUR = "behaviour"
"""The part of a recipe that holds the victim's first outputs for clean queries."""
ALIKE = 0.01
"""Difference of outputs, in units of their mean size, that another machine may make."""

NOUNS = {
    "query_ids": "query ids",
    "queries": "clean queries",
    "target_labels": "target labels",
    "target_codes": "target codes",
    "target_sets": "sets of target codes",
    "target_images": "target images",
    "start": "pictures to begin with",
    "lengths": "lengths of the clips",
    "target_lengths": "lengths of the target clips",
    "search_database": "the database that is searched",
    "known_codes": "the database codes that the adversary knows",
    "known_labels": "the labels of the database that the adversary knows",
    "own_labels": "the labels of the queries",
    "search_items": "the items that queries are to leave or to enter",
    "generator": "the generator that was trained for the victim",
    "hasher": "the victim's weights",
    "contract": "the victim's input contract",
}
"""Parts of a recipe whose values say nothing to a reader."""


def recipe_of(
    victim: Hasher, queries: Queries, goal: Goal, spec: AttackSpec, precision: Precision
) -> dict[str, Any]:
    """Everything that decides on the result, as JSON: the spec, and checksums of what it met."""
    parts: dict[str, Any] = {
        "query_ids": np.array(queries.ids, np.int64),
        "queries": queries.pixels,
        "target_labels": goal.labels,
        "target_codes": goal.codes,
        "target_sets": goal.all_of,
        "target_images": None if goal.images is None else goal.images.pixels,
        "start": None if goal.start is None else goal.start.pixels,
        "lengths": queries.lengths,
        "target_lengths": None if goal.images is None else goal.images.lengths,
    }
    recipe: dict[str, Any] = {**spec.to_json(), "precision": precision}
    if goal.generator is not None and "generator" in spec.attack.needs:
        recipe["generator"] = sha256_weights(goal.generator)
    if goal.search is not None:
        parts["search_items"] = goal.search.items
    if goal.known is not None and "database" in spec.attack.needs:
        parts |= {"known_codes": goal.known.packed.data, "known_labels": goal.known.labels}
        parts["own_labels"] = goal.own_labels
    given = {name: part for name, part in parts.items() if part is not None}
    recipe |= {name: sha256_array(as_array(part)) for name, part in given.items()}
    if goal.search is not None:
        recipe |= {"search": goal.search.to_json()}
        recipe |= {"search_database": digest_of(goal.search.database)}
    recipe |= {} if goal.enough is None else {"enough": goal.enough}
    recipe |= {"bits": victim.bits, "hasher": sha256_weights(victim)}
    recipe |= {"contract": jsonable(victim.contract.to_json())}
    # How outputs are read, where a victim has a choice: not by default only.
    reading = getattr(victim, "reading", {})
    recipe |= {"reading": jsonable(reading)} if reading else {}
    return recipe


def as_array(part: Any) -> np.ndarray:
    """An array on the host."""
    array: np.ndarray = part.cpu().numpy() if isinstance(part, torch.Tensor) else part
    return array


def same_attack(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether two recipes are of one attack; those of format 1 know no version of an attack."""
    return not what_differs(there, here)


def what_differs(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[Difference]:
    """What is not the same in two recipes, in words."""
    silent = {"attack_version": 1, "bits": here["bits"]}
    known = {name: part for name, part in there.items() if name not in ("version", BEHAVIOUR)}
    asked = {name: part for name, part in here.items() if name != BEHAVIOUR}
    return differences({**silent, **known}, asked, nouns=NOUNS)


def behave_alike(there: Any, here: Any) -> bool:
    """Whether two victims gave the same outputs; records from before there were some say nothing.

    Example:
        >>> behave_alike([[1.0, -2.0]], [[1.0, -2.01]])
        True
        >>> behave_alike([[1.0, -2.0]], [[10.0, -20.0]])
        False
    """
    if not there:
        return True
    one, other = np.array(there, np.float64), np.array(here, np.float64)
    if one.shape != other.shape:
        return False
    return bool(np.abs(one - other).max() <= ALIKE * np.abs(one).mean())
