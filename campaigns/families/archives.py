"""Code files (npz) with members of other types, hostile headers and damaged archives."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, Ended, Wanted
from stage import Stage, good_codes

from families.mangle import mangled


KEYS = ("database_codes", "query_codes", "database_labels", "query_labels", "target_labels")
PLANTED = "planted-code-ran"


class Planted:
    """An object whose pickle makes a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (PLANTED, "w"))


def unplanted(work: Path, _: Ended) -> str:
    """No planted code has run."""
    return "planted code ran" if list(work.rglob(PLANTED)) else ""


def npy(array: np.ndarray, **options: Any) -> bytes:
    """An array as the bytes of an npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def raw(header: str | bytes, data: bytes = b"", version: bytes = b"\x01\0") -> bytes:
    """An npy file with a header of one's own."""
    text = header.encode() if isinstance(header, str) else header
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + data


def packed(members: list[tuple[str, bytes]], **options: Any) -> bytes:
    """A zip of members, which may share a name."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", **options) as archive:
        warnings.simplefilter("ignore")  # names that occur twice are wanted here
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = archive.compression
            archive.writestr(info, data)
    return stream.getvalue()


def members(**others: Any) -> list[tuple[str, bytes]]:
    """The members of a good code file, some replaced (arrays or bytes) or left out (None)."""
    content: dict[str, Any] = {**good_codes(), **others}
    return [
        (f"{name}.npy", part if isinstance(part, bytes) else npy(part))
        for name, part in content.items()
        if part is not None
    ]


def encrypted() -> bytes:
    """A zip whose members are marked as encrypted."""
    data = bytearray(packed(members()))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = data.find(mark)
        while where >= 0:
            data[where + at] |= 1
            where = data.find(mark, where + 4)
    return bytes(data)


def header(where: str = "<i8", fortran: str = "False", shape: str = "(8,)") -> bytes:
    """An npy file with parts of the header replaced."""
    return raw(
        f"{{'descr': {where!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n", bytes(64)
    )


def of(key: str, part: Any) -> Callable[[], bytes]:
    """A code file with one other member."""
    return lambda: packed(members(**{key: part}))


def bomb() -> bytes:
    """A code file whose database is 3 GB of zeros in 3 MB."""
    rows, head, stream = 3 << 30, io.BytesIO(), io.BytesIO()
    fields = {"descr": "|i1", "fortran_order": False, "shape": (rows // 16, 16)}
    np.lib.format.write_array_header_1_0(head, fields)
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("database_codes.npy", "w", force_zip64=True) as member,
    ):
        member.write(head.getvalue())
        for _ in range(rows >> 24):
            member.write(bytes(1 << 24))
    return stream.getvalue()


def odd_arrays() -> dict[str, np.ndarray]:
    """An array of eight rows of every type that codes and labels are not."""
    n = 8
    return {
        "void": np.zeros(n, "V4"),
        "structured": np.zeros(n, [("a", "i4"), ("b", "f8")]),
        "datetime": np.zeros(n, "M8[s]"),
        "timedelta": np.ones(n, "m8[s]"),
        "complex": np.ones(n, np.complex128),
        "text": np.array(["1"] * n),
        "bytes": np.array([b"1"] * n),
        "fractions": np.full(n, 0.5),
        "NaN": np.full(n, np.nan),
        "infinite": np.full(n, np.inf),
        "three axes": np.zeros((n, 2, 2), np.int64),
        "no axis": np.array(3),
        "no rows": np.zeros(0, np.int64),
        "no columns": np.zeros((n, 0), np.int64),
    }


CODES_OF = {
    name: np.broadcast_to(array[:, None], (8, 16)).copy()
    for name, array in odd_arrays().items()
    if array.ndim == 1 and len(array)
}
SAME: tuple[tuple[str, Callable[[], bytes], Wanted], ...] = (
    ("good", lambda: packed(members()), "ok"),
    ("good, compressed", lambda: packed(members(), compression=zipfile.ZIP_DEFLATED), "ok"),
    ("good, other byte order", of("query_labels", good_codes()["query_labels"].astype(">i4")), "ok"),
    *((f"query labels: {n}", of("query_labels", a), "refused") for n, a in odd_arrays().items()),
    *((f"database labels: {n}", of("database_labels", a), "refused") for n, a in odd_arrays().items()),
    *((f"target labels: {n}", of("target_labels", a), "refused") for n, a in odd_arrays().items()),
    *((f"query codes: {n}", of("query_codes", a), "refused") for n, a in CODES_OF.items()),
    *((f"database codes: {n}", of("database_codes", a), "refused") for n, a in CODES_OF.items()),
    *((f"no {key}", of(key, None), "refused") for key in KEYS[:4]),
    *((f"{key} is no array", of(key, b"not numpy"), "refused") for key in KEYS),
    *((f"bits {bits!r}", of("bits", np.array(bits)), "refused")
      for bits in (17, 15, 0, -1, 2**62, 16.5, "16", [16, 16], 1e300, np.nan, 16 + 0j, True)),
    ("bits 16, as the codes have", of("bits", np.array(16)), "ok"),
    ("multi-hot labels of other widths", lambda: packed(members(
        query_labels=np.eye(3, dtype=bool)[np.zeros(8, int)],
        database_labels=np.eye(4, dtype=bool)[np.zeros(32, int)], target_labels=None)), "refused"),
    ("multi-hot targets of another width", lambda: packed(members(
        query_labels=np.eye(3, dtype=bool)[np.zeros(8, int)],
        database_labels=np.eye(3, dtype=bool)[np.arange(32) % 3],
        target_labels=np.eye(5, dtype=bool)[np.zeros(8, int)])), "refused"),
    ("query labels that are all zero", lambda: packed(members(
        query_labels=np.zeros((8, 3), bool),
        database_labels=np.eye(3, dtype=bool)[np.arange(32) % 3], target_labels=None)), "refused"),
    ("too few query labels", of("query_labels", np.zeros(7, int)), "refused"),
    ("too many database labels", of("database_labels", np.zeros(33, int)), "refused"),
    ("targets that no item has", of("target_labels", np.full(8, 77)), "refused"),
    ("codes of other lengths", of("query_codes", np.ones((8, 15), np.int8)), "refused"),
    ("codes of 2 and 3", of("query_codes", np.full((8, 16), 2, np.int8)), "refused"),
    ("encrypted members", encrypted, "refused"),
    ("duplicate members", lambda: packed([*members(), *members()]), "refused"),
    ("duplicate query labels", lambda: packed(
        [*members(), ("query_labels.npy", npy(np.zeros(8, int)))]), "refused"),
    ("Python objects", of("query_labels", npy(np.array([Planted()] * 8, object))), "refused"),
    ("a pickle as member", of("query_labels", __import__("pickle").dumps(Planted())), "refused"),
    ("a pickle as file", lambda: __import__("pickle").dumps(Planted()), "refused"),
    ("3 GB of zeros", bomb, "refused"),
    ("an npy file", lambda: npy(np.zeros(3)), "refused"),
    ("empty", lambda: b"", "refused"),
    ("empty zip", lambda: packed([]), "refused"),
    ("text", lambda: b"codes\n" * 9, "refused"),
    ("zeros", lambda: bytes(5000), "refused"),
    ("member ../x", lambda: packed([*members(), ("../x.npy", npy(np.zeros(3)))]), "either"),
    ("a second folder", lambda: packed([("a/", b""), *members()]), "either"),
    *((f"header: shape {shape}", of("query_labels", header(shape=shape)), "refused")
      for shape in ("(2**70,)", f"({2**70},)", f"({2**63},)", f"({2**40}, {2**40})", "(-8,)",
                    "(8.0,)", "('8',)", "8", "None", "[8]", "(8", "(8,", "((8,),)", "(True,)x",
                    f"({'1,' * 70})", f"({'9' * 5000},)", "(8,) * 2", "(1 << 3,)")),
    *((f"header: type {kind!r}", of("query_labels", header(kind)), "refused")
      for kind in ("<i9", "i", "O", "|O", "<U-1", "nonsense", "", "<i8,<i8", "(2,3)f8", "V0", "S0")),
    *((f"header: order {order}", of("query_labels", header(fortran=order)), "refused")
      for order in ("1", "None", "'C'")),
    *((f"header {text[:40]!r}", of("query_labels", raw(text, bytes(64))), "refused")
      for text in ("", "{", "[" * 2000, "(" * 90, "{" * 500 + "}" * 500, "{}", "[]", "1", "None",
                   "'" * 3, "{'descr': '<i8'}", "\0" * 20, "{'shape': (8,)}", "exit()",
                   "__import__('os').system('touch planted-code-ran')", "{**{}}", "f''")),
    ("header that is no text", of("query_labels", raw(b"\xff\xfe" * 40)), "refused"),
    ("header of 4 GB", of("query_labels", b"\x93NUMPY\x02\0\xff\xff\xff\xff{"), "refused"),
    ("npy version 9", of("query_labels", raw("{}", version=b"\x09\x09")), "refused"),
    ("data cut off", of("query_labels", header(shape="(9,)")), "refused"),
    ("data too long", of("query_labels", header(shape="(8,)") + bytes(8)), "either"),
)  # fmt: skip
"""Inputs whose answer is known."""


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One code file."""
    if number < len(SAME):
        title, make, wanted = SAME[number]
    else:
        compression = zipfile.ZIP_STORED if rng.random() < 0.6 else zipfile.ZIP_DEFLATED
        whole = packed(members(), compression=compression)
        if rng.random() < 0.5:
            data, title = mangled(whole, rng)
        else:
            key = str(rng.choice(KEYS))
            spoilt, title = mangled(npy(good_codes()[key]), rng)
            data, title = packed(members(**{key: spoilt})), f"{key}: {title}"
        make, wanted = (lambda: data), "either"
    name = "codes.npz"
    return Case(
        title,
        (("evaluate", name, *(("--json",) if rng.random() < 0.3 else ())),),
        wanted=wanted,
        names=(name,),
        prepare=lambda work: (work / name).write_bytes(make()),
        check=unplanted,
    )
