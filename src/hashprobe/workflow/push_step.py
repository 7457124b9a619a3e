"""Push the codes of a run, or of a file, into a table of Postgres that is searched."""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hashprobe.checked import checked
from hashprobe.codes.index.connection import Server
from hashprobe.codes.index.postgres import PostgresIndex
from hashprobe.codes.index.table_sql import THERE, check_name, quoted, table_address, value_of
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.readers.postgres_codes import Address
from hashprobe.codes.readers.registry import read_codes
from hashprobe.errors import HashprobeError
from hashprobe.storage.runs import Run
from hashprobe.types import Runtime
from hashprobe.workflow.push_options import PushOptions as PushOptions
from hashprobe.workflow.run_io import load_codes, reopen


ROWS = 1_000_000
"""Rows of one transaction."""
LONGEST = 40
"""Bytes of the longest name of a table; names of partitions are longer."""
JUDGED, NEAREST = 100, 10
"""Stored codes whose nearest are looked for to measure the recall of a graph, and how many."""


@dataclass(frozen=True)
class Pushed:
    """What was pushed.

    Example:
        >>> print(Pushed("items at db/photos", 1000, 64, 0.5))
        items at db/photos: 1,000 codes of 64 bits in 0.5 s
    """

    table: str
    """The table and its server, without user and password."""
    rows: int
    bits: int
    seconds: float
    recall: float | None = None
    """Share of the 10 nearest that the graph finds, over stored codes; None without a graph."""

    def __str__(self) -> str:
        text = f"{self.table}: {self.rows:,} codes of {self.bits} bits in {self.seconds:.1f} s"
        if self.recall is None:
            return text
        return f"{text}; the graph finds {self.recall:.1%} of the {NEAREST} nearest"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON.

        Example:
            >>> Pushed("t at h/d", 1, 8, 0.1).to_json()["rows"]
            1
        """
        names = ("table", "rows", "bits", "seconds", "recall")
        return {name: getattr(self, name) for name in names}


@checked
def push_codes(
    source: str | Path,
    address: str,
    options: PushOptions = PushOptions(),
    *,
    runtime: Runtime = Runtime(),
) -> Pushed:
    """Stores the database codes of a run, or the codes of a file, in a table.

    The table appears when it is whole: rows go to one of another name first, which is renamed at
    the end and dropped if anything fails. Ids are the places of the items, and the column `item`
    names them.

    Args:
        source: an encoded run folder, or a file of codes as `read_codes` takes it.
        address: `postgresql://USER@HOST/DATABASE/TABLE`; the password may stand in it, or in the
            environment as PGPASSWORD, and goes into no file and no message.
        options: how.
        runtime: who is told.

    Returns:
        How many rows in which time, and the recall of the graph if there is one.

    Raises:
        HashprobeError: the run is not encoded, a file that is damaged, no server, a table that is
            there already and may not be replaced, or no pgvector for the graph.

    Example:
        >>> push_codes("codes.npz", "postgresql://me@db.example/photos")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: the address of a table is \
postgresql://USER@HOST/DATABASE/TABLE?codes=COLUMN&id=COLUMN; got no table
    """
    where = table_address(address)
    name = where.table[-1]
    check_name(name, LONGEST)
    codes, items = codes_of(source)
    draft = (*where.table[:-1], f"{name}_load_{secrets.token_hex(2)}")
    begin = time.perf_counter()
    check_free(where, options)
    index = PostgresIndex(codes.bits, replace(where, table=draft), options.partition)
    recall = None
    try:
        with runtime.progress.bar(f"rows of {index.shown}") as tick:
            for start in range(0, len(codes), ROWS):
                index.add(codes[start : start + ROWS], items and items[start : start + ROWS])
                tick(len(index), len(codes))
        if options.hnsw:
            index.build_hnsw()
            some = codes[:: max(1, len(codes) // JUDGED)][:JUDGED]
            recall = index.recall(some, min(NEAREST, len(codes)))
        index.rename(where.table, overwrite=options.overwrite)
    except BaseException:
        with suppress(HashprobeError):
            index.drop()
        raise
    finally:
        index.close()
    return Pushed(index.shown, len(codes), codes.bits, time.perf_counter() - begin, recall)


def check_free(where: Address, options: PushOptions) -> None:
    """Refuses a table that is there already, before anything is sent."""
    server = Server(where, read_only=True)
    found = server.run(lambda connection: value_of(connection, THERE, quoted(where)))
    server.close()
    if found is not None and not options.overwrite:
        raise HashprobeError(f"{where.shown} is there already: choose another, or --overwrite")


def codes_of(source: str | Path) -> tuple[PackedCodes, Sequence[str] | None]:
    """The codes of a run's database or of a file, and the names of their items."""
    path = Path(source)
    if not path.is_dir():
        stored = read_codes(source)
        return stored.codes, stored.ids
    run = Run.open(path)
    database = load_codes(run, "database")
    data, _, _ = reopen(run)
    ids = data.database.ids
    return database.codes, [str(ids[place]) for place in database.positions.tolist()]
