"""Every store of codes by how it is recognised: the only place that knows which there are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hashprobe.checked import checked, shown
from hashprobe.codes.packed import check_bits
from hashprobe.codes.readers.base import Columns, StoredCodes
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import os_error, regular_size


HEAD = 16
"""Bytes at the beginning of a file by which its kind is recognised."""
POSTGRES = ("postgresql", "postgres")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
ANY = Columns()
"""Columns that are found by themselves."""


@dataclass(frozen=True)
class Reader:
    """A kind of file, how it is recognised, and where its reader is.

    Example:
        >>> READERS[0].title, READERS[0].knows(Path("codes.npy"), b"\\x93NUMPY")
        ('numpy array', True)
    """

    title: str
    """What the kind is called in errors."""
    module: str
    """The file of this folder whose `read` takes (path, bits, columns)."""
    knows: Callable[[Path, bytes], bool]
    """Whether a file is of the kind, by its name and its first bytes."""


READERS = (
    Reader("numpy array", "npy_codes", lambda _, head: head.startswith(b"\x93NUMPY")),
    Reader("numpy archive", "npz_codes", lambda _, head: head.startswith(b"PK")),
    Reader("faiss index", "faiss_codes", lambda _, head: head[:2] in (b"IB", b"Ix", b"Iw", b"IH")),
    Reader(
        "JSON lines",
        "jsonl_codes",
        lambda path, head: (
            path.suffix.lower() in (".jsonl", ".ndjson", ".json")
            or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
        ),
    ),
    Reader("table of hashes", "hex_codes", lambda _, head: b"\0" not in head),
)
"""The kinds in the order in which they are tried."""


@checked
def read_codes(source: Any, bits: int | None = None, *, columns: Columns = ANY) -> StoredCodes:
    """Reads a database's codes; the kind is recognised by the content.

    - `.npy`: (N, K) of -1/+1, 0/1 or bool, or packed uint8 (most significant bit first).
    - `.npz`: the same under `codes` (or `data`, `database_codes`), with `bits` for packed ones, and
      optionally `ids`, `paths` and `floats` (or `embeddings`).
    - binary indexes of faiss: flat, IVF, HNSW, and ID maps over them; ids are kept.
    - CSV (comma, semicolon or tab), JSON lines, or a plain list: hexadecimal hashes with an id or a
      path, as hash lists are exchanged, and as ImageHash and PDQ write them.
    - `postgresql://USER@HOST/DATABASE/TABLE?codes=COLUMN&id=COLUMN`: bit strings (pgvector), bytea
      or hexadecimal text; optionally `floats=COLUMN` (a pgvector vector) and `path=COLUMN`.

    Nothing is executed or changed, and a file of wrong counts or sizes costs no memory.

    Args:
        source: the file (a path or a text), or the address of a table.
        bits: K where the store does not say it; the store's own must be the same.
        columns: names of the columns of a table of hashes.

    Returns:
        Codes with ids in the order of the store; of Postgres in the order of the ids.

    Raises:
        HashprobeError: the source is missing, damaged, empty, of no known kind, or of other bits.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "list.csv"
        >>> _ = path.write_text("id,hash\\ncat,0xFF00\\ndog,0x00ff\\n")
        >>> found = read_codes(path)
        >>> found.ids, found.codes.data.tolist()
        (('cat', 'dog'), [[255, 0], [0, 255]])
    """
    if bits is not None:
        check_bits(bits)
    # An address may hold a password: it is never repeated in a message.
    scheme, mark, _ = str(source).partition("://")
    if mark and scheme in POSTGRES:
        from hashprobe.codes.readers.postgres_codes import read_table_codes

        return read_table_codes(str(source), bits)
    if mark and SCHEME.fullmatch(scheme):
        raise HashprobeError(
            f"codes are read from files and postgresql://; got {scheme[:40]}://..."
        )
    if not isinstance(source, str | os.PathLike) or not str(source):
        raise HashprobeError(
            f"the source of codes must be a file or an address; got {shown(source)}"
        )
    path = Path(source)
    reader = reader_of(path)
    read: Callable[[Path, int | None, Columns], StoredCodes]
    read = import_module(f"hashprobe.codes.readers.{reader.module}").read
    return read(path, bits, columns)


def reader_of(path: Path) -> Reader:
    """The reader of a file."""
    if path.is_dir():
        raise HashprobeError(
            f"{path} is a folder: codes are read from a file; pictures must be encoded first"
        )
    if not regular_size(path):
        raise HashprobeError(f"{path} is empty")
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise os_error(error, path) from error
    for reader in READERS:
        if reader.knows(path, head):
            return reader
    known = ", ".join(reader.title for reader in READERS)
    raise HashprobeError(
        f"{path} is of no kind that codes are read from: {known}, or postgresql://"
    )
