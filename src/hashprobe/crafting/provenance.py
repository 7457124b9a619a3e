"""How an attack was made, as JSON: what decides whether finished queries may be kept."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.data.queries import Queries
from hashprobe.storage.compare import Difference, differences
from hashprobe.storage.files import jsonable, sha256_array
from hashprobe.types import Precision
from hashprobe.victims.base import Hasher


NOUNS = {
    "query_ids": "query ids",
    "queries": "clean queries",
    "target_labels": "target labels",
    "target_codes": "target codes",
    "target_images": "target images",
    "lengths": "lengths of the clips",
    "target_lengths": "lengths of the target clips",
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
        "target_images": None if goal.images is None else goal.images.pixels,
        "lengths": queries.lengths,
        "target_lengths": None if goal.images is None else goal.images.lengths,
    }
    given = {name: part for name, part in parts.items() if part is not None}
    recipe: dict[str, Any] = {**spec.to_json(), "precision": precision}
    recipe |= {name: sha256_array(as_array(part)) for name, part in given.items()}
    recipe |= {"bits": victim.bits, "hasher": sha256_weights(victim)}
    recipe |= {"contract": jsonable(victim.contract)}
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
    known = {name: part for name, part in there.items() if name != "version"}
    return differences({**silent, **known}, here, nouns=NOUNS)


def sha256_weights(victim: Hasher) -> str:
    """The SHA-256 of a victim's weights and buffers, whatever device they are on."""
    digest = hashlib.sha256()
    for name, tensor in sorted(victim.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()
