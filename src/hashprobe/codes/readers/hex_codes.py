"""Tables of hexadecimal hashes: CSV files and plain lists, as hash lists are exchanged."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashprobe.codes.packed import MAX_BITS, PackedCodes, bytes_of, check_bits
from hashprobe.codes.readers.base import Columns, StoredCodes, places
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_bytes
from hashprobe.text import shortened, visible


CODE_NAMES = (
    "hash", "code", "codes", "pdq", "pdq_hash", "phash", "dhash", "ahash", "whash", "hash_value",
    "hash_hex", "signal", "signal_value", "indicator", "hex",
)  # fmt: skip
ID_NAMES = ("id", "ids", "item", "item_id", "content_id", "signal_id", "key", "uuid")
PATH_NAMES = ("path", "file", "filename", "file_name", "image", "image_path", "url", "uri")
HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]+")
DIGITS = re.compile(r"[0-9a-f]*")
LEAST_DIGITS = 8
"""Digits from which on a cell is taken for a hash where nothing says so."""
DELIMITERS = "\t;,"
BLANKS = frozenset(["", "nan", "none", "null", "na", "n/a", "-"])
CELL = 1 << 20
"""Characters of the longest cell."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of text with the line that each row stands in.

    Example:
        >>> Table("a.csv", {"hash": ["ff"]}, [2]).columns["hash"]
        ['ff']
    """

    name: str
    columns: dict[str, list[str]]
    lines: list[int]


def read(path: Path, bits: int | None, columns: Columns) -> StoredCodes:
    """Codes of a table of hashes; see `read_codes`."""
    return codes_of(read_csv(path), bits, columns)


def codes_of(table: Table, bits: int | None, wanted: Columns) -> StoredCodes:
    """Codes, ids and paths of a table."""
    code = code_column(table, wanted.code)
    rest = [name for name in table.columns if name != code]
    id_ = named(table, wanted.id, ID_NAMES, rest)
    path = named(table, wanted.path, PATH_NAMES, rest)
    packed = packed_hex(table, code, bits)
    paths = None if path is None else tuple(filled(table, path))
    ids = tuple(filled(table, id_)) if id_ is not None else paths or places(len(packed))
    return StoredCodes(packed, ids, paths=paths)


def read_csv(path: Path) -> Table:
    """A CSV file with or without names in its first line; empty lines are left out."""
    data = read_bytes(path)
    if b"\0" in data:
        number = data[: data.index(b"\0")].count(b"\n") + 1
        raise HashprobeError(f"{path} is no text: it holds a NUL byte in line {number}")
    text = data.decode("utf-8-sig", "surrogateescape")
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((each for each in DELIMITERS if each in first), ",")
    csv.field_size_limit(CELL)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                numbers.append(reader.line_num)
    except csv.Error as error:
        raise HashprobeError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise HashprobeError(f"{path} is empty")
    if any(is_hash(cell) for cell in rows[0]):
        head = [str(number) for number in range(1, len(rows[0]) + 1)]
    else:
        head, rows, numbers = rows[0], rows[1:], numbers[1:]
    if len(set(head)) < len(head):
        twice = next(name for name in head if head.count(name) > 1)
        raise HashprobeError(f"{path} has two columns {shown(twice)}")
    if not rows:
        raise HashprobeError(f"{path} has no rows below the names of its columns")
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(head):
            raise HashprobeError(
                f"{path}, line {number}: {len(row)} values for {len(head)} columns"
            )
    return Table(
        str(path), {name: [row[i] for row in rows] for i, name in enumerate(head)}, numbers
    )


def is_hash(cell: str) -> bool:
    """Whether a cell is a hash although nothing says so."""
    return bool(HEX.fullmatch(cell)) and len(cell) >= LEAST_DIGITS


def code_column(table: Table, asked: str | None) -> str:
    """The column of the hashes."""
    found = named(table, asked, CODE_NAMES, list(table.columns))
    if found is not None:
        return found
    fit = [
        name
        for name, cells in table.columns.items()
        if all(map(is_hash, cells)) and len({len(cell) for cell in cells}) == 1
    ]
    if not fit and len(table.columns) == 1:
        return next(iter(table.columns))  # its first cell that is no hash is named then
    if len(fit) != 1:
        held = ", ".join(map(shown, table.columns))
        several = "several columns that may be hashes" if fit else "no column of hashes"
        raise HashprobeError(f"{table.name} has {several}: name one of {shortened(held, 200)}")
    return fit[0]


def named(table: Table, asked: str | None, usual: tuple[str, ...], among: list[str]) -> str | None:
    """The column of a name that was asked for, or of a usual one."""
    if asked is not None:
        if asked not in table.columns:
            held = ", ".join(map(shown, table.columns))
            raise HashprobeError(
                f"{table.name} has no column {shown(asked)}: it has {shortened(held, 200)}"
            )
        return asked
    lower = {name.lower(): name for name in reversed(among)}
    return next((lower[name] for name in usual if name in lower), None)


def filled(table: Table, name: str) -> list[str]:
    """A column of ids or paths, without blanks."""
    cells = table.columns[name]
    for line, cell in zip(table.lines, cells, strict=True):
        if not cell:
            raise HashprobeError(f"{table.name}, line {line}: column {shown(name)} is empty")
    return cells


def packed_hex(table: Table, column: str, bits: int | None) -> PackedCodes:
    """The hashes of a column as codes, the first digit first."""
    digits: list[str] = []
    for line, cell in zip(table.lines, table.columns[column], strict=True):
        value = cell.lower().removeprefix("0x")
        if not value or not DIGITS.fullmatch(value):
            what = "is empty" if cell.lower() in BLANKS else f"holds {shown(cell)}, no hex number"
            raise HashprobeError(f"{table.name}, line {line}: column {shown(column)} {what}")
        if digits and len(value) != len(digits[0]):
            raise HashprobeError(
                f"{table.name}, line {line}: a hash of {len(value)} digits where the first one has "
                f"{len(digits[0])}"
            )
        digits.append(value)
    try:
        return packed_digits(digits, bits)
    except HashprobeError as error:
        raise HashprobeError(f"{table.name}: {error}") from error


def packed_digits(digits: list[str], bits: int | None) -> PackedCodes:
    """Hashes of equally many hexadecimal digits as codes of K bits.

    Four bits a digit. Where K is smaller, the bits that are left over are 0, at the end (packed
    bytes) or at the beginning (a number, as ImageHash writes it).

    Raises:
        HashprobeError: K does not fit the number of digits, or the bits left over are not 0.

    Example:
        >>> packed_digits(["ff0"], None), packed_digits(["1ff"], 9).signs().min()
        (PackedCodes(1 x 12 bits), np.int8(1))
    """
    width = len(digits[0])
    if 4 * width > 4 * -(-MAX_BITS // 4):
        raise HashprobeError(
            f"a code must have 1 to {MAX_BITS} bits; {width} digits are {4 * width}"
        )
    total = 4 * width
    bits = total if bits is None else bits
    check_bits(bits)
    over = total - bits
    if not 0 <= over < 8:
        raise HashprobeError(f"hashes of {width} digits have {total} bits; asked for were {bits}")
    whole = "".join(digits if width % 2 == 0 else [each + "0" for each in digits])
    data = np.frombuffer(bytes.fromhex(whole), np.uint8).reshape(len(digits), -1)
    if not over:
        return PackedCodes(data, bits)
    each = np.unpackbits(data, axis=1, count=total)
    ends = [(each[:, bits:], each[:, :bits]), (each[:, :over], each[:, over:])]
    for spare, kept in ends if width == 2 * bytes_of(bits) else ends[::-1]:
        if not spare.any():
            return PackedCodes(np.packbits(kept, axis=1), bits)
    raise HashprobeError(
        f"hashes of {width} digits use all their {total} bits; asked for were {bits}"
    )


def shown(text: str) -> str:
    """A name or a cell in a sentence."""
    return repr(shortened(visible(text), 60))
