"""Claims the folder of an attack, and refuses results of another victim."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.crafting.kept import Kept, kept_at
from hashprobe.crafting.provenance import BEHAVIOUR, behave_alike, same_attack, what_differs
from hashprobe.crafting.query_files import clear
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.storage.schema import AttackRecord
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import device_of, encode


PROBED = 16
"""Finished queries whose clean codes are compared before a folder is used again."""
PROBE_SHARE = 0.01
"""Bits of these codes that rounding on another machine may change."""


def open_folder(
    out: Path, recipe: dict[str, Any], ids: tuple[int, ...], overwrite: bool, shard: int | None
) -> Kept:
    """Claims a folder for this attack; what is finished in it, and the recipe of its files."""
    found, given = None, recipe
    try:
        found = AttackRecord.read(out)
    except HashprobeError:
        if not overwrite:
            raise
    same = found is not None and same_attack(found.recipe, recipe)
    if found is not None and not same and not overwrite:
        reasons = "; ".join(map(str, what_differs(found.recipe, recipe)))
        raise HashprobeError(
            f"{out} holds another attack ({reasons}): use another folder or overwrite"
        )
    if found is not None and same:
        recipe, shard = dict(found.recipe), found.shard
    else:
        clear(out)
        AttackRecord(recipe, ids, shard=shard).write(out)
    kept = kept_at(out, recipe, ids, shard)
    kept.read()
    if not len(kept) and recipe != given:
        # Nothing is kept yet: the folder is that of the victim that is here.
        AttackRecord(given, ids, shard=shard).write(out)
        return kept_at(out, given, ids, shard)
    return kept


def check_victim(victim: Hasher, queries: Queries, kept: Kept, out: Path) -> None:
    """Refuses finished queries whose clean codes this victim does not give."""
    codes = kept.clean_codes(PROBED)
    if not codes:
        return
    rows = list(codes)
    some = queries.take(rows)
    there = np.stack([codes[row] for row in rows])
    here = encode(victim, some.on(device_of(victim))).data
    if here.shape != there.shape:
        raise HashprobeError(f"{out} holds an attack on a victim of another code length")
    wrong, bits = int(np.bitwise_count(here ^ there).sum()), len(rows) * victim.bits
    if wrong > max(1, PROBE_SHARE * bits):
        raise HashprobeError(
            f"{out} holds an attack on another victim: of {bits} bits of {len(rows)} clean queries "
            f"{wrong} differ. Was its normalisation changed? Use another folder or overwrite"
        )


def check_behaviour(there: Mapping[str, Any], here: Mapping[str, Any], out: Path) -> None:
    """Refuses a folder whose victim gave other outputs for the same codes."""
    if not behave_alike(there.get(BEHAVIOUR), here[BEHAVIOUR]):
        raise HashprobeError(
            f"{out} holds an attack on another victim: its outputs for clean queries were others. "
            "Was a scale or another plain attribute changed? Use another folder or overwrite"
        )
