"""Hashes in JSON: one object a line, a list of objects, or a list under `data`."""

from pathlib import Path
from typing import Any

from hashprobe.codes.readers.base import Columns, StoredCodes
from hashprobe.codes.readers.hex_codes import Table, codes_of, shown
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_bytes
from hashprobe.storage.strict_json import parse_json


def read(path: Path, bits: int | None, columns: Columns) -> StoredCodes:
    """Codes of a file of JSON lines; see `read_codes`."""
    return codes_of(read_objects(path), bits, columns)


def read_objects(path: Path) -> Table:
    """The objects of a file as a table; a key that some lack is no column."""
    data = read_bytes(path)
    objects: list[Any]
    whole = path.suffix.lower() == ".json" or data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    lines = [(i, each) for i, each in enumerate(data.splitlines(), 1) if each.strip()]
    if whole and len(lines) != 1 and is_one(data, path):
        lines = [(1, data)]
    if not lines:
        raise HashprobeError(f"{path} is empty")
    values = [(line, parse_json(each, f"{path}, line {line}")) for line, each in lines]
    if len(values) == 1:
        only = values[0][1]
        if isinstance(only, dict) and isinstance(only.get("data"), list):
            only = only["data"]
        if isinstance(only, list):
            values = list(enumerate(only, 1))
    objects = [value for _, value in values]
    for number, value in values:
        if not isinstance(value, dict):
            raise HashprobeError(f"{path}, entry {number}: an object is wanted")
    if not objects:
        raise HashprobeError(f"{path} is empty")
    names = [name for name in objects[0] if is_plain(objects[0][name])]
    table: dict[str, list[str]] = {}
    for name in names:
        cells = [each.get(name) for each in objects]
        if all(map(is_plain, cells)):
            table[name] = ["" if cell is None else str(cell).strip() for cell in cells]
        elif name.lower() in ("hash", "code", "pdq"):
            row = next(i for i, cell in enumerate(cells) if not is_plain(cell))
            raise HashprobeError(f"{path}, entry {values[row][0]}: {shown(name)} must be text")
    if not table:
        raise HashprobeError(f"{path}: its objects have no key with a text in common")
    return Table(str(path), table, [number for number, _ in values])


def is_one(data: bytes, path: Path) -> bool:
    """Whether a file is one value and not a line each."""
    try:
        parse_json(data, path)
    except HashprobeError:
        return False
    return True


def is_plain(value: object) -> bool:
    """Whether a value is a text or a whole number, or missing."""
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))
