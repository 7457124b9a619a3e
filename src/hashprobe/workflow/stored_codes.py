"""Stored codes with the pictures that they are of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.readers.base import StoredCodes, places
from hashprobe.data.item_table import read_table
from hashprobe.data.sources import BadImage, Split
from hashprobe.errors import HashprobeError
from hashprobe.text import shortened
from hashprobe.victims.base import Hasher
from hashprobe.workflow.code_check import MOST, CodeCheck, check_codes


def with_paths(stored: StoredCodes, table: Path | None) -> StoredCodes:
    """Codes with the paths of their pictures out of a table of ids and paths, if there is one.

    Raises:
        HashprobeError: the table cannot be read, lacks an id, or has no paths.
    """
    if table is None:
        return stored
    paths = read_table(table, stored.ids).paths
    if paths is None:
        raise HashprobeError(f"{table} has no column of paths: path, file, filename or image")
    return replace(stored, paths=paths)


@checked
def check_stored(
    victim: Hasher,
    stored: StoredCodes,
    pictures: Split,
    *,
    convention: BitConvention | None = None,
) -> CodeCheck:
    """Compares a victim's codes with those of a database, for up to 20 of its pictures.

    Args:
        victim: the network; left as it was.
        stored: the database, see `hashprobe.codes.readers.read_codes`; its paths, or else its ids,
            say which picture a code is of: the end of a path, or the name without a suffix. Codes
            that have neither are in the order of the pictures.
        pictures: some of the database's pictures with their paths as ids, see `picture_folder`.
        convention: what is known of how the codes are stored; None for as here.

    Returns:
        How many bits differ, and what would make the codes equal.

    Raises:
        HashprobeError: codes and pictures that do not fit each other, pictures that cannot be
            decoded, or a network that fails.

    Example:
        >>> import torch
        >>> from hashprobe.data import ArraySource
        >>> from hashprobe.victims import ImageHasher
        >>> victim = ImageHasher("small", 8)
        >>> pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        >>> pictures = Split(("a.jpg", "b.jpg"), ArraySource(pixels), np.zeros((2, 0), bool))
        >>> stored = StoredCodes(victim.encode(pixels).packed[::-1], ("x/b.png", "x/a.png"))
        >>> check_stored(victim, stored, pictures).equal
        True
    """
    read = (convention or BitConvention()).read(stored.codes)
    rows, some = some_pictures(stored, pictures)
    return check_codes(victim, read[np.array(rows)], some)


def some_pictures(
    stored: StoredCodes, pictures: Split
) -> tuple[list[int], list[UInt8[Tensor, "3 h w"]]]:
    """Rows of some codes, evenly spread, and the pictures that they are of."""
    found = matched_places(stored.paths or stored.ids, pictures.ids)
    unnamed = stored.paths is None and stored.ids == places(len(stored))
    if unnamed and len(found) < len(stored):
        if len(pictures) != len(stored):
            raise HashprobeError(
                f"{len(stored):,} codes without ids and {len(pictures):,} pictures: say which code "
                "is of which picture by a table of ids and paths"
            )
        found = {row: row for row in range(len(stored))}
    if not found:
        first = shortened((stored.paths or stored.ids)[0], 100)
        raise HashprobeError(
            f"no picture is that of a code: the first code is of {first}, the first picture is "
            f"{shortened(pictures.ids[0], 100)}"
        )
    known = sorted(found)
    rows, some = [], []
    spread = np.unique(np.linspace(0, len(known) - 1, min(MOST, len(known))).astype(int))
    for row in (known[place] for place in spread):
        try:
            some.append(pictures.source.read(found[row]))
        except BadImage:
            continue
        rows.append(row)
    if not rows:
        raise HashprobeError(f"none of {len(spread)} pictures of the database can be decoded")
    return rows, some


def matched_places(wanted: Sequence[str], known: Sequence[str]) -> dict[int, int]:
    """The place of the picture that each path or id names, by its row; those without are left out.

    Example:
        >>> matched_places(["/srv/a/1.jpg", "2", "3"], ["a/1.jpg", "b/2.jpg"])
        {0: 0, 1: 1}
    """
    by_name: dict[str, list[int]] = {}
    for place, path in enumerate(known):
        for name in {path, Path(path).name, Path(path).stem}:
            by_name.setdefault(name, []).append(place)
    found = {}
    for row, each in enumerate(wanted):
        parts = Path(each).parts
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        # A name that several pictures have says nothing.
        hits = [
            by_name[end][0] for end in (*ends, Path(each).stem) if len(by_name.get(end, ())) == 1
        ]
        if hits:
            found[row] = hits[0]
    return found
