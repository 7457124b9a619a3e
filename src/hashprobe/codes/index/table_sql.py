"""Statements about a table of codes, and its rows as Postgres reads them.

Names are quoted as identifiers, and values are parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hashprobe.codes.packed import PackedCodes, bytes_of
from hashprobe.codes.readers.postgres_codes import Address, address_of
from hashprobe.errors import HashprobeError


HEAD, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
"""What begins and ends binary rows."""
THERE = "SELECT to_regclass(%s)"
"""Asks for a table by its quoted name; nothing where there is none."""
COMMENT = "SELECT obj_description(to_regclass(%s), 'pg_class')"
"""Asks for the comment of a table by its quoted name."""


def value_of(connection: Any, text: Any, *given: Any) -> Any:
    """What a statement gives that asks for one value."""
    return connection.execute(text, given).fetchone()[0]


def table_address(text: str | Address) -> Address:
    """An address whose column of codes is `code` where it does not say it."""
    if isinstance(text, Address):
        return text
    if "codes=" not in text.partition("?")[2]:
        text += ("&" if "?" in text else "?") + "codes=code"
    return address_of(text)


def quoted(address: Address) -> str:
    """The name of a table as SQL."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in address.table)


def identifier(names: tuple[str, ...]) -> Any:
    """A quoted name."""
    from psycopg import sql

    return sql.Identifier(*names)


def composed(text: str, **parts: Any) -> Any:
    """A statement; parts are identifiers, and values that are quoted."""
    from psycopg import sql

    made = {k: v if isinstance(v, sql.Composable) else sql.Literal(v) for k, v in parts.items()}
    return sql.SQL(text).format(**made)


def bit_strings(codes: PackedCodes) -> list[str]:
    """Codes as Postgres reads bit strings."""
    digits = np.unpackbits(codes.data, axis=1, count=codes.bits) + ord("0")
    return [row.tobytes().decode() for row in digits.astype(np.uint8)]


def binary_rows(codes: PackedCodes, start: int, items: Sequence[str] | None = None) -> bytes:
    """Rows of id, code and, with `items`, a text, in the binary format of COPY."""
    width = bytes_of(codes.bits)
    kind = [("fields", ">i2"), ("eight", ">i4"), ("id", ">i8"), ("size", ">i4"), ("bits", ">i4")]
    rows = np.zeros(len(codes), np.dtype([*kind, ("code", np.uint8, (width,))]))
    rows["fields"], rows["eight"], rows["size"] = 2 if items is None else 3, 8, 4 + width
    rows["id"] = np.arange(start, start + len(codes))
    rows["bits"], rows["code"] = codes.bits, codes.data
    if items is None:
        return rows.tobytes()
    whole, step, parts = rows.tobytes(), rows.dtype.itemsize, []
    for place, item in enumerate(items):
        text = item.replace("\0", "").encode("utf-8", "replace")
        parts += [whole[place * step : (place + 1) * step], len(text).to_bytes(4, "big"), text]
    return b"".join(parts)


def check_name(name: str, most: int) -> None:
    """Refuses a name of a table that Postgres would cut, with what is put behind it.

    Raises:
        HashprobeError: a longer name, counted in bytes.
    """
    size = len(name.encode())
    if size > most:
        raise HashprobeError(
            f"the name of a table has at most {most} bytes of UTF-8; {name!r:.80} has {size}"
        )
