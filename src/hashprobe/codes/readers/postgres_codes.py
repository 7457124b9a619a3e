"""Codes in a table of Postgres: bit strings as pgvector searches them, bytea, or hexadecimal text.

Reading only: the session is set to read only before the first statement, names are quoted as
identifiers, and no message holds the password.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np

from hashprobe.codes.packed import PackedCodes, check_bits
from hashprobe.codes.readers.base import StoredCodes, check_asked_bits
from hashprobe.codes.readers.hex_codes import packed_digits
from hashprobe.errors import HashprobeError, missing_extra
from hashprobe.text import shortened, visible


ROWS = 5_000
"""Rows that are fetched at once."""
OURS = ("codes", "id", "floats", "path")
"""What the address says of the table; all else goes to the server's library."""
BIT_TYPES = ("bit", "bit varying")
TEXT_TYPES = ("text", "character varying", "character")
FLOAT_TYPES = ("vector", "halfvec", "real[]", "double precision[]")
CONNECT_SECONDS = 10
ALIAS = "hashprobe_items"


@dataclass(frozen=True)
class Address:
    """Where a table is and which of its columns hold what.

    Example:
        >>> found = address_of("postgresql://me:secret@db:5433/photos/public.items?codes=code")
        >>> found.table, found.columns
        (('public', 'items'), {'codes': 'code', 'id': 'id'})
        >>> found
        Address(public.items at db:5433/photos)
    """

    table: tuple[str, ...]
    columns: dict[str, str]
    server: dict[str, str] = field(repr=False)

    @property
    def shown(self) -> str:
        """The table and its server, without user and password."""
        host, port = self.server.get("host", ""), self.server.get("port", "")
        where = f"{host}{f':{port}' if port else ''}/{self.server['dbname']}"
        return shortened(visible(f"{'.'.join(self.table)} at {where}"), 200)

    def __repr__(self) -> str:
        return f"Address({self.shown})"


def address_of(source: str) -> Address:
    """Takes an address apart.

    Args:
        source: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE/TABLE?codes=COLUMN&id=COLUMN`.

    Raises:
        HashprobeError: something is missing; the message does not repeat the address.

    Example:
        >>> address_of("postgresql://db/photos")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: the address of a table is \
postgresql://USER@HOST/DATABASE/TABLE?codes=COLUMN&id=COLUMN; got no table
    """
    try:
        parts = urlsplit(source)
        port = parts.port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise wrong("one that cannot be taken apart") from error
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise wrong(f"{name[:40]!r} twice")
    asked = dict(pairs)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if len(path) != 2:
        raise wrong("no table" if len(path) < 2 else "more than a database and a table")
    columns = {"id": "id", **{name: asked.pop(name) for name in OURS if name in asked}}
    if "codes" not in columns:
        raise wrong("no column of codes")
    table = tuple(path[1].split("."))
    for name in (*table, *columns.values()):
        if not name or "\0" in name:
            raise wrong("an empty name")
    server = {"dbname": path[0], **asked}
    for key, value in (
        ("host", parts.hostname and unquote(parts.hostname)),
        ("port", None if port is None else str(port)),
        ("user", parts.username and unquote(parts.username)),
        ("password", parts.password and unquote(parts.password)),
    ):
        if value:
            server[key] = value
    return Address(table, {"codes": columns.pop("codes"), **columns}, server)


def wrong(seen: str) -> HashprobeError:
    """The sentence for an address that does not fit."""
    form = "postgresql://USER@HOST/DATABASE/TABLE?codes=COLUMN&id=COLUMN"
    return HashprobeError(f"the address of a table is {form}; got {seen}")


def read_table_codes(source: str | Address, bits: int | None) -> StoredCodes:
    """Codes of a table, in the order of the ids; see `read_codes`."""
    address = address_of(source) if isinstance(source, str) else source
    try:
        import psycopg
    except ImportError as error:
        raise missing_extra("psycopg", "postgres", "a table of Postgres") from error
    try:
        given: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, **address.server}
        with psycopg.connect(**given) as connection:
            connection.read_only = True
            return from_connection(connection, address, bits)
    except (psycopg.Error, UnicodeError) as error:
        # Not chained: the library's own words may hold the password.
        raise HashprobeError(f"{address.shown}: {without_secrets(error, address)}") from None


def without_secrets(error: Exception, address: Address) -> str:
    """What the server said in one line, without the password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(error).__name__
    if password := address.server.get("password"):
        text = text.replace(password, "***")
    return shortened(visible(text), 300)


def from_connection(connection: Any, address: Address, bits: int | None) -> StoredCodes:
    """Codes of a table through an open connection of psycopg."""
    types = types_of(connection, address)
    kind = types["codes"]
    texts: dict[str, list[str]] = {name: [] for name in address.columns if name != "floats"}
    parts: list[PackedCodes] = []
    floats: list[np.ndarray] = []
    names = list(address.columns)
    for rows in fetched(connection, address, kind):
        for column, name in enumerate(names):
            cells = [row[column] for row in rows]
            blank = next((i for i, cell in enumerate(cells) if cell is None), None)
            if blank is not None:
                raise HashprobeError(
                    f"{address.shown}: column {address.columns[name]!r} is NULL for id "
                    f"{rows[blank][names.index('id')]}"
                )
            if name == "codes":
                parts.append(packed_cells(cells, kind, bits, address))
                bits = parts[0].bits
            elif name == "floats":
                floats.append(vectors_of(cells, address))
            else:
                texts[name] += cells
    if not parts:
        raise HashprobeError(f"{address.shown} has no rows")
    if len({part.shape[1] for part in floats}) > 1:
        raise HashprobeError(f"{address.shown}: its float vectors differ in length")
    return StoredCodes(
        PackedCodes.concatenate(parts),
        tuple(texts["id"]),
        np.concatenate(floats) if floats else None,
        tuple(texts["path"]) if "path" in texts else None,
    )


def types_of(connection: Any, address: Address) -> dict[str, str]:
    """The type of each column as Postgres calls it; refuses columns that hold no codes."""
    from psycopg import sql

    typed = [
        sql.SQL("format_type({}::oid, NULL)").format(sql.SQL("pg_typeof({})").format(named))
        for named in map(sql.Identifier, address.columns.values())
    ]
    table = sql.Identifier(*address.table)
    # One row even for an empty table, so that its columns are looked at.
    query = sql.SQL("SELECT {} FROM (SELECT 1) AS hashprobe_row LEFT JOIN {} ON true LIMIT 1")
    row = connection.execute(query.format(sql.SQL(", ").join(typed), table)).fetchone()
    types = dict(zip(address.columns, row, strict=True))
    kind = types["codes"]
    if kind not in (*BIT_TYPES, "bytea", *TEXT_TYPES):
        known = ", ".join((*BIT_TYPES, "bytea", *TEXT_TYPES))
        raise HashprobeError(
            f"{address.shown}: column {address.columns['codes']!r} is of type {kind}; codes are "
            f"{known}"
        )
    if types.get("floats", FLOAT_TYPES[0]) not in FLOAT_TYPES:
        raise HashprobeError(
            f"{address.shown}: column {address.columns['floats']!r} is of type {types['floats']}; "
            f"float vectors are {', '.join(FLOAT_TYPES)}"
        )
    return types


def fetched(connection: Any, address: Address, kind: str) -> Iterator[list[tuple[Any, ...]]]:
    """Rows of texts in the order of the ids, some at a time."""
    from psycopg import sql

    cast = sql.SQL("encode({}, 'hex')") if kind == "bytea" else sql.SQL("{}::text")
    columns = [
        (cast if name == "codes" else sql.SQL("{}::text")).format(sql.Identifier(ALIAS, column))
        for name, column in address.columns.items()
    ]
    # Qualified: a bare name would be that of the text, and 10 would come before 9.
    query = sql.SQL("SELECT {} FROM {} AS {} ORDER BY {}").format(
        sql.SQL(", ").join(columns),
        sql.Identifier(*address.table),
        sql.Identifier(ALIAS),
        sql.Identifier(ALIAS, address.columns["id"]),
    )
    with connection.cursor(name="hashprobe_codes") as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(ROWS):
            yield rows


def packed_cells(cells: list[str], kind: str, bits: int | None, address: Address) -> PackedCodes:
    """Codes of some rows: bit strings digit by digit, all else hexadecimal."""
    where = f"{address.shown}: column {address.columns['codes']!r}"
    if kind in BIT_TYPES:
        widths = {len(cell) for cell in cells} | ({bits} if bits else set())
        if len(widths) > 1:
            seen = " and ".join(map(str, sorted(widths)[:3]))
            raise HashprobeError(f"{where} must hold codes of one length; got {seen} bits")
        width = widths.pop()
        check_bits(width)
        ones = np.frombuffer("".join(cells).encode(), np.uint8).reshape(-1, width) == ord("1")
        return PackedCodes.from_signs(ones)
    digits = [cell.strip().lower().removeprefix("0x") for cell in cells]
    for digit in digits:
        if not digit or set(digit) - set("0123456789abcdef") or len(digit) != len(digits[0]):
            seen = shortened(visible(digit), 40)
            raise HashprobeError(f"{where} must hold hex numbers of one length; got {seen!r}")
    try:
        found = packed_digits(digits, bits)
        check_asked_bits(found.bits, bits)
    except HashprobeError as error:
        raise HashprobeError(f"{where}: {error}") from error
    return found


def vectors_of(cells: list[str], address: Address) -> np.ndarray:
    """Float vectors of some rows, from `[1,2]` or `{1,2}`."""
    where = f"{address.shown}: column {address.columns['floats']!r}"
    rows = [cell.strip("[]{}").split(",") for cell in cells]
    if len({len(row) for row in rows}) > 1:
        raise HashprobeError(f"{where} must hold vectors of one length")
    try:
        vectors = np.array(rows, np.float32)
    except ValueError as error:
        raise HashprobeError(f"{where} must hold vectors of numbers") from error
    if not np.isfinite(vectors).all():
        raise HashprobeError(f"{where} holds NaN or infinity")
    return vectors
