"""hashprobe check"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.cli.victim_flags import VictimFlags


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


def check(
    *,
    victim: str,
    database: Path,
    pictures: Path,
    ids: Path | None = None,
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
        The stored codes: an .npz of hashprobe, or an .npy of packed bytes or of -1 and +1.
    pictures
        The folder of the pictures that they are of.
    ids
        A text file with the path of a picture a line, one a code; by default codes are in the order
        of the sorted paths.
    json_
        Print one JSON object and nothing else: pictures, bits, differing, flags, candidates.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.codes.convention import BitConvention
    from hashprobe.types import Runtime
    from hashprobe.victims.loading import load_victim
    from hashprobe.workflow.stored_codes import check_stored

    known = asdict(stored)
    convention = BitConvention(known.pop("bit_order"), **known)
    found = check_stored(
        load_victim(victim, network.options()),
        database,
        pictures,
        ids=ids,
        convention=convention,
        runtime=Runtime(progress=Terminal()),
    )
    if json_:
        print_json(found.to_json())
    else:
        say(str(found))
    if not found.agrees:
        sys.exit(DIFFERENT)
