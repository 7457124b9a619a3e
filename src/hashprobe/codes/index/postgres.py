"""The index in a table of Postgres: exact scans by (distance, id), and HNSW where it is asked for.

A scan counts the bits of an exclusive or, which Postgres does by itself; only HNSW needs pgvector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.index.base import Found, check_length, check_search
from hashprobe.codes.index.connection import Server
from hashprobe.codes.index.table_sql import (
    COMMENT,
    END,
    HEAD,
    THERE,
    binary_rows,
    bit_strings,
    check_name,
    composed,
    identifier,
    quoted,
    table_address,
    value_of,
)
from hashprobe.codes.npz import load_codes, save_codes
from hashprobe.codes.packed import PackedCodes, check_bits
from hashprobe.codes.readers.postgres_codes import Address, read_table_codes
from hashprobe.errors import HashprobeError
from hashprobe.types import check_whole


BATCH = 100_000
"""Rows that are sent at once."""
TOGETHER = 32
"""Searches that are sent before the first answer is awaited."""
OURS = "codes that hashprobe pushed"
"""The comment of a table that this package made, and may replace."""
LONGEST = 50
"""Bytes of the longest name of a table; Postgres cuts those of its partitions at 63."""


class NotSearchable(HashprobeError):
    """A table that can be read but not searched by the server."""


@checked
class PostgresIndex:
    """Exact search by a table with columns for an id and for a code of type `bit(K)`.

    Rows of an address without a table are made; those of a table of other columns are refused.
    Order is by (distance, id), and positions are the places of the ids in their order. A lost
    connection is opened again and the work repeated; `add` is one transaction.

    Args:
        bits: K, in 1..4096.
        address: `postgresql://USER@HOST/DATABASE/TABLE`; the password may be in it, or in the
            environment as PGPASSWORD.
        partition: rows of each partition by range of ids; 0 for a table without any.

    Raises:
        HashprobeError: K does not fit, no server, or a table of other columns.

    Example:
        >>> PostgresIndex(0, "postgresql://db/photos/items")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: a code must have 1 to 4096 bits; got 0
    """

    def __init__(self, bits: int, address: str | Address, partition: int = 0) -> None:
        check_bits(bits)
        check_whole("partition", partition, 0)
        self.bits, self.partition = bits, partition
        self.server = Server(table_address(address))
        self.ids: tuple[str, ...] | None = None
        """Ids in their order where they are not 0, 1, 2, ...; None where they are."""
        self.ef = 0
        self.server.run(self.create)
        self.look()

    @classmethod
    @checked
    def open(cls, address: str) -> PostgresIndex:
        """An index over a table that is there already; it is only read.

        Args:
            address: `postgresql://USER@HOST/DATABASE/TABLE?codes=COLUMN&id=COLUMN`.

        Raises:
            HashprobeError: no server, no such table, or codes of another type than `bit(K)`.
        """
        index = cls.__new__(cls)
        index.server = Server(table_address(address), read_only=True)
        index.partition, index.ids, index.ef = 0, None, 0
        index.look()
        return index

    @property
    def shown(self) -> str:
        """The table and its server, without user and password."""
        return self.server.address.shown

    def create(self, connection: Any) -> None:
        """Makes the table if there is none of that name."""
        name = self.names()
        if value_of(connection, THERE, quoted(self.server.address)):
            return
        check_name(self.server.address.table[-1], LONGEST)
        by = "PARTITION BY RANGE ({id})" if self.partition else ""
        text = (
            "CREATE TABLE {table} ({id} bigint PRIMARY KEY, {codes} bit({k}) NOT NULL, item text)"
        )
        connection.execute(composed(f"{text} {by}", **name, k=self.bits))
        connection.execute(composed("COMMENT ON TABLE {table} IS {ours}", **name, ours=OURS))

    def look(self) -> None:
        """Reads the code length, the size, and the ids where they are not places from 0."""

        column = self.server.address.columns["codes"]

        def work(connection: Any) -> tuple[str, bool]:
            there = connection.execute(
                "SELECT format_type(atttypid, atttypmod), obj_description(attrelid, 'pg_class') "
                "FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s",
                (quoted(self.server.address), column),
            ).fetchone()
            kind, comment = there or (None, None)
            if kind is None or not kind.startswith("bit("):
                seen = "missing" if kind is None else f"of type {kind}"
                raise NotSearchable(
                    f"{self.shown}: column {column!r} is {seen}; a search needs bit(K)"
                )
            text = "SELECT count(*), min({id})::text, max({id})::text FROM {table}"
            size, *ends = connection.execute(composed(text, **self.names())).fetchone()
            places = comment == OURS and ends == ["0", str(size - 1)]
            self.size = size
            return kind, places or not size

        kind, places = self.server.run(work)
        bits = int(kind[4:-1])
        if getattr(self, "bits", bits) != bits:
            raise HashprobeError(f"{self.shown} holds codes of {bits} bits, not of {self.bits}")
        self.bits = bits
        if not places:
            text = "SELECT {id}::text FROM {table} AS t ORDER BY t.{id}"
            rows = self.server.run(
                lambda connection: connection.execute(composed(text, **self.names())).fetchall()
            )
            self.ids = tuple(row[0] for row in rows)
            if len(set(self.ids)) < len(self.ids):
                id_ = self.server.address.columns["id"]
                raise NotSearchable(
                    f"{self.shown}: ids of column {id_!r} repeat, so that an answer does not say "
                    "which row it is: name another column (?id=COLUMN)"
                )

    @checked
    def add(self, codes: PackedCodes, items: Sequence[str] | None = None) -> None:
        """Appends codes; see `Index.add`.

        Args:
            codes: N codes.
            items: N names of what they are of, kept in the column `item`; None for none.

        Raises:
            HashprobeError: codes of another length, ids that are not places, or no server.
        """
        check_length(self, codes)
        if self.ids is not None:
            raise HashprobeError(f"{self.shown}: codes are only added where ids are 0, 1, 2, ...")
        if items is not None and len(items) != len(codes):
            raise HashprobeError(f"{len(items)} items for {len(codes)} codes")
        start = self.size

        def work(connection: Any) -> None:
            there = value_of(connection, composed("SELECT count(*) FROM {table}", **self.names()))
            if there == start + len(codes):
                return  # the connection was lost after the end of the first try
            if there != start:
                raise HashprobeError(f"{self.shown}: somebody else changed it meanwhile")
            self.make_partitions(connection, start, start + len(codes))
            columns = "{id}, {codes}" + ("" if items is None else ", item")
            text = f"COPY {{table}} ({columns}) FROM STDIN (FORMAT binary)"
            with connection.cursor().copy(composed(text, **self.names())) as copy:
                copy.write(HEAD)
                for at in range(0, len(codes), BATCH):
                    names = None if items is None else items[at : at + BATCH]
                    copy.write(binary_rows(codes[at : at + BATCH], start + at, names))
                copy.write(END)

        if len(codes):
            self.server.run(work)
        self.size += len(codes)

    def make_partitions(self, connection: Any, start: int, stop: int) -> None:
        """Makes the partitions of some new ids that are not there."""
        if not self.partition:
            return
        *schema, name = self.server.address.table
        for number in range(start // self.partition, -(-stop // self.partition)):
            connection.execute(
                composed(
                    "CREATE TABLE IF NOT EXISTS {part} PARTITION OF {table} "
                    "FOR VALUES FROM ({low}) TO ({high})",
                    **self.names(),
                    part=identifier((*schema, f"{name}_p{number}")),
                    low=number * self.partition,
                    high=(number + 1) * self.partition,
                )
            )

    @checked
    def search(self, queries: PackedCodes, k: int, exact: bool = True) -> Found:
        """Finds the k nearest codes of each query; see `Index.search`.

        Args:
            queries: Q codes.
            k: 1 to the size of the table.
            exact: whether every code is looked at; False follows the HNSW graph of `build_hnsw`,
                which may miss some: never for measures.

        Raises:
            HashprobeError: as `Index.search`, no server, or a graph that found too little.
        """
        check_search(self, queries, k)
        rows: list[list[Any]] = []
        for start in range(0, len(queries), TOGETHER):
            some = bit_strings(queries[start : start + TOGETHER])
            rows += self.server.run(partial(self.ask, texts=some, k=k, exact=exact))
        if min(map(len, rows)) < k:
            raise HashprobeError(
                f"{self.shown}: the graph found {min(map(len, rows))} of {k} codes: search exactly"
            )
        distances = np.array([[near for _, near in row] for row in rows], np.int32)
        if self.ids is None:
            return distances, np.array([[one for one, _ in row] for row in rows], np.int64)
        return distances, np.array([[self.place[one] for one, _ in row] for row in rows], np.int64)

    @property
    def place(self) -> dict[str, int]:
        """The place of each id."""
        assert self.ids is not None
        if not hasattr(self, "_place"):
            self._place = {name: place for place, name in enumerate(self.ids)}
        return self._place

    def ask(self, connection: Any, texts: list[str], k: int, exact: bool) -> list[list[Any]]:
        """The rows of some searches, by (distance, id)."""
        # An id that is no place is text in the answer, but a number in the order.
        shown = "t.{id}" if self.ids is None else "t.{id}::text"
        text = (
            f"SELECT {shown}, bit_count(t.{{codes}} # %s::bit({{k}})) AS near FROM {{table}} AS t "
        )
        text += "ORDER BY near, t.{id} LIMIT %s"
        if not exact:
            connection.execute(f"SET LOCAL hnsw.ef_search = {max(k, self.ef)}")
            connection.execute("SET LOCAL enable_seqscan = off")
            far = "(t.{codes} <~> %s::bit({k}))"
            text = f"SELECT {shown}, {far}::int AS near FROM {{table}} AS t ORDER BY {far} LIMIT %s"
        query = composed(text, **self.names(), k=self.bits)
        with connection.pipeline():
            given = [(one, k) if exact else (one, one, k) for one in texts]
            asked = [connection.execute(query, words) for words in given]
            found = [cursor.fetchall() for cursor in asked]
        return found if exact else [sorted(rows, key=lambda row: row[::-1]) for rows in found]

    @checked
    def build_hnsw(self, links: int = 16, breadth: int = 64) -> None:
        """Builds pgvector's graph over the codes, for `search(..., exact=False)`.

        Args:
            links: neighbours of each code in the graph (pgvector's m), 2 to 100.
            breadth: candidates while it is built and, at least, searched (ef), 4 to 1000.

        Raises:
            HashprobeError: a value out of range, or no pgvector on the server.
        """
        check_whole("links", links, 2, 100)
        self.ef = check_whole("breadth", breadth, max(4, 2 * links), 1000)
        text = "CREATE INDEX ON {table} USING hnsw ({codes} bit_hamming_ops) "
        text += "WITH (m = {m}, ef_construction = {ef})"

        def work(connection: Any) -> None:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(composed(text, **self.names(), m=links, ef=breadth))

        self.server.run(work)

    @checked
    def recall(self, queries: PackedCodes, k: int) -> float:
        """The share of the k nearest that the graph finds, the mean over queries.

        Codes at the distance of the k-th count as found, whichever of them are in the list.

        Args:
            queries: Q codes.
            k: 1 to the size of the table.

        Raises:
            HashprobeError: as `search`.
        """
        exact, _ = self.search(queries, k)
        found, _ = self.search(queries, k, exact=False)
        return float((found <= exact[:, -1:]).mean())

    def codes(self) -> PackedCodes:
        """All codes of the table, in the order of the ids."""
        if not self.size:
            return PackedCodes.empty(self.bits)
        return read_table_codes(self.server.address, self.bits).codes

    @checked
    def save(self, path: str | Path) -> None:
        """Writes the codes to a file; see `Index.save`."""
        save_codes(path, self.codes())

    @classmethod
    @checked
    def load(cls, path: str | Path, address: str = "") -> PostgresIndex:
        """Reads a file of codes into a new table; see `Index.load`.

        Args:
            path: the file.
            address: the table.

        Raises:
            HashprobeError: the file is damaged, or the table holds codes already.
        """
        codes = load_codes(path)
        index = cls(codes.bits, address)
        if len(index):
            raise HashprobeError(f"{index.shown} holds {len(index)} codes already")
        index.add(codes)
        return index

    def rename(self, table: tuple[str, ...], *, overwrite: bool) -> None:
        """Gives the table another name, at once for everybody who searches it.

        Args:
            table: schema, where it is given, and name.
            overwrite: whether to drop a table of that name, if hashprobe pushed it.

        Raises:
            HashprobeError: a table of that name that may not be replaced, or no server.
        """
        new = replace(self.server.address, table=table)
        old = quoted(self.server.address)

        def work(connection: Any) -> None:
            there, known = (value_of(connection, THERE, name) for name in (quoted(new), old))
            if known is None and there is not None:
                return  # the connection was lost after the end of the first try
            if there is not None:
                ours = value_of(connection, COMMENT, quoted(new)) == OURS
                if not overwrite or not ours:
                    words = (
                        "give --overwrite" if ours else "hashprobe did not push it: choose another"
                    )
                    raise HashprobeError(f"{new.shown} is there already; {words}")
                connection.execute(composed("DROP TABLE {there}", there=identifier(table)))
            text = "ALTER TABLE {table} RENAME TO {name}"
            connection.execute(composed(text, **self.names(), name=identifier(table[-1:])))

        self.server.run(work)
        self.server.address = new

    def drop(self) -> None:
        """Removes the table, if hashprobe made it.

        Raises:
            HashprobeError: no server, or a table of somebody else.
        """

        def work(connection: Any) -> None:
            if value_of(connection, COMMENT, quoted(self.server.address)) != OURS:
                raise HashprobeError(f"{self.shown}: hashprobe did not make this table")
            connection.execute(composed("DROP TABLE {table}", **self.names()))

        self.server.run(work)

    def close(self) -> None:
        """Closes the connection."""
        self.server.close()

    def names(self) -> dict[str, Any]:
        """Table and columns as quoted identifiers."""
        address = self.server.address
        columns = {name: identifier((address.columns[name],)) for name in ("id", "codes")}
        return {"table": identifier(address.table), **columns}

    def __len__(self) -> int:
        return int(self.size)
