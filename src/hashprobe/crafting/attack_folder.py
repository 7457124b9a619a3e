"""Claims the folder of an attack, and refuses results of another victim."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.crafting.provenance import BEHAVIOUR, behave_alike, same_attack, what_differs
from hashprobe.crafting.query_files import (
    QueryRecord,
    clear,
    read_query,
    repair_png,
    without_pixels,
)
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
    out: Path, recipe: dict[str, Any], ids: tuple[int, ...], overwrite: bool
) -> tuple[dict[str, Any], dict[int, QueryRecord]]:
    """Claims a folder for this attack; the recipe that marks its files, and what is finished."""
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
        recipe = dict(found.recipe)
    else:
        clear(out)
        AttackRecord(recipe, ids).write(out)
    done = {}
    for query_id in ids:
        try:
            one = read_query(out, recipe, query_id)
        except HashprobeError:
            # Missing, cut off or somebody else's: it is attacked again and replaced.
            continue
        repair_png(out, query_id, one)
        done[query_id] = without_pixels(one)
    if not done and recipe != given:
        # Nothing is kept yet: the folder is that of the victim that is here.
        recipe = given
        AttackRecord(recipe, ids).write(out)
    return recipe, done


def check_victim(victim: Hasher, queries: Queries, done: dict[int, QueryRecord], out: Path) -> None:
    """Refuses finished queries whose clean codes this victim does not give."""
    rows = [row for row, query_id in enumerate(queries.ids) if query_id in done][:PROBED]
    if not rows:
        return
    some = queries.take(rows)
    there = np.stack([done[query_id].clean_code for query_id in some.ids])
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
