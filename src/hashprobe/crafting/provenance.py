"""How an attack was made, as JSON: what decides whether finished queries may be kept."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashprobe.attacks.targets import TargetCodes
from hashprobe.storage import files
from hashprobe.tensors import Images8
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher


NOUNS = {
    "query_ids": "query ids",
    "queries": "clean queries",
    "target_labels": "target labels",
    "target_codes": "target codes",
    "target_images": "target images",
    "lengths": "lengths of the clips",
    "target_lengths": "lengths of the target clips",
    "hasher": "the hasher's weights",
    "contract": "the hasher's input contract",
}
"""Parts of a recipe whose values say nothing to a reader."""


def recipe_of(
    hasher: Hasher,
    images8: Images8,
    ids: list[int],
    targets: TargetCodes,
    attack: str,
    budget: Budget,
    options: Any,
    seed: int,
    precision: str,
    target_images8: Tensor | None = None,
    lengths: Tensor | None = None,
    target_lengths: Tensor | None = None,
) -> dict[str, Any]:
    """Everything that decides on the result, in the words of JSON."""
    recipe: dict[str, Any] = files.jsonable(
        {
            "version": version("hashprobe"),
            "attack": attack,
            "options": options,
            "budget": budget.to_json(),
            "seed": seed,
            "precision": precision,
            "query_ids": files.sha256_array(np.array(ids, np.int64)),
            "queries": files.sha256_array(images8.cpu().numpy()),
            "target_labels": files.sha256_array(targets.labels),
            "target_codes": files.sha256_array(targets.codes),
            "hasher": sha256_weights(hasher),
            "contract": hasher.contract,
        }
    )
    if target_images8 is not None:
        recipe["target_images"] = files.sha256_array(target_images8.cpu().numpy())
    if lengths is not None:
        recipe["lengths"] = files.sha256_array(lengths.cpu().numpy())
    if target_lengths is not None:
        recipe["target_lengths"] = files.sha256_array(target_lengths.cpu().numpy())
    return recipe


def sha256_weights(hasher: Hasher) -> str:
    """The SHA-256 of a hasher's weights and buffers, whatever device they are on."""
    digest = hashlib.sha256()
    for name, tensor in sorted(hasher.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What is not the same in two recipes, in the order of the second."""
    seen = []
    for key in dict.fromkeys([*here, *there]):
        old, new = there.get(key), here.get(key)
        if old == new:
            continue
        if key in NOUNS:
            seen.append(f"{NOUNS[key]} differ")
        elif isinstance(old, dict) and isinstance(new, dict):
            seen.extend(differences(old, new, f"{key}."))
        else:
            seen.append(f"{prefix}{key} {old} there, {new} here")
    return seen
