"""hashprobe check"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.cli.victim_flags import VictimFlags


if TYPE_CHECKING:
    from hashprobe.codes.convention import BitConvention

DIFFERENT = 3
"""Exit code where the codes differ."""


@dataclass(frozen=True)
class StoredFlags:
    """How the stored codes are laid out."""

    bit_order: Literal["big", "little"] = "big"
    """Which bit of a byte comes first: the most significant (big) or the least."""
    reversed: Flag = False
    """The last bit of a code is stored first."""
    inverted: Flag = False
    """A positive output is stored as 0."""

    def convention(self) -> "BitConvention":
        """The same for readers."""
        from hashprobe.codes.convention import BitConvention

        return BitConvention(self.bit_order, reversed=self.reversed, inverted=self.inverted)


def check(
    *,
    victim: str,
    database: str,
    pictures: Path,
    items: Path | None = None,
    network: Annotated[VictimFlags, FLAT] = VictimFlags(),
    stored: Annotated[StoredFlags, FLAT] = StoredFlags(),
    json_: Json = False,
) -> None:
    """Encode up to 20 pictures of a database, and compare them with the codes that are stored.

    Where they differ, it tries other options, one and two at a time, and prints those that make
    them equal. The exit code is 3 where more than 2 % of the bits differ.

    Parameters
    ----------
    victim
        The network: a .pt2, TorchScript or .onnx file, weights with --backbone, package:factory, or
        a run folder.
    database
        The stored codes: .npy, .npz, a binary index of faiss, a CSV or JSONL file of hexadecimal
        hashes, or postgresql://USER@HOST/DATABASE/TABLE?codes=COLUMN&id=COLUMN.
    pictures
        A folder with pictures of the database. A code's path, or its id, names its picture: the end
        of the path, or the name of the file. Codes without ids are in the order of sorted paths.
    items
        A CSV file of ids and paths, where ids name no pictures.
    json_
        Print one JSON object and nothing else: pictures, bits, differing, flags, candidates.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.codes.readers.registry import read_codes
    from hashprobe.data.picture_folder import picture_folder
    from hashprobe.victims.loading import load_victim
    from hashprobe.workflow.stored_codes import check_stored, with_paths

    opened = load_victim(victim, network.options())
    codes = with_paths(read_codes(os.path.expanduser(database), opened.bits), items)
    folder = picture_folder(pictures)
    Terminal().log(f"{codes}, {len(folder):,} pictures")
    found = check_stored(opened, codes, folder, convention=stored.convention())
    if json_:
        print_json(found.to_json())
    else:
        say(str(found))
    if not found.agrees:
        sys.exit(DIFFERENT)
