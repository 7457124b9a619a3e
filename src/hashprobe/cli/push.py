"""hashprobe push"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.workflow.push_options import PushOptions


@dataclass(frozen=True)
class PushFlags(PushOptions):
    """How codes are stored, as the command line takes it."""

    hnsw: Flag = False
    """Build pgvector's graph, too, for searches that need not be exact, and print its recall."""
    overwrite: Flag = False
    """Replace a table that was pushed before."""


def push(
    source: Path,
    address: str,
    /,
    *,
    options: Annotated[PushFlags, FLAT] = PushFlags(),
    json_: Json = False,
) -> None:
    """Store codes in a table of Postgres that can be searched and audited.

    The table has the columns id (the place of an item, from 0), code (bit(K)) and item (its name).
    It appears when it is whole. Searches of hashprobe are exact, by distance and then id.

    Parameters
    ----------
    source
        An encoded run folder, whose database codes are stored, or a file of codes: .npy, .npz, a
        binary index of faiss, a CSV or JSONL file of hexadecimal hashes.
    address
        postgresql://USER@HOST/DATABASE/TABLE. Give the password as PGPASSWORD in the environment.
    json_
        Print one JSON object and nothing else: table, rows, bits, seconds, recall.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.types import Runtime
    from hashprobe.workflow.push_step import push_codes

    pushed = push_codes(source, address, options, runtime=Runtime(progress=Terminal()))
    if json_:
        print_json(pushed.to_json())
        return
    say(str(pushed))
