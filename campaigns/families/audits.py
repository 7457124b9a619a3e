"""Audits: databases, tables of groups, networks of others and options that are damaged or odd."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import Case, Wanted
from stage import Stage

from families.mangle import mangled


HASH = ("--victim", "dhash", "--radius", "5", "--eps", "8/255", "--steps", "2", "--count", "2",
        "--no-edits", "--no-exact", "--out", "audit")  # fmt: skip
BITS, ITEMS = 64, 12
Make = Callable[[], bytes]


def signs() -> np.ndarray:
    """Codes of some items."""
    return np.random.default_rng(1).choice([-1, 1], (ITEMS, BITS)).astype(np.int8)


def saved(array: np.ndarray) -> bytes:
    """An array as an .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive() -> bytes:
    """Codes and ids as an .npz file."""
    stream = io.BytesIO()
    ids = np.array([f"cat/{place}.png" for place in range(ITEMS)])
    np.savez(stream, codes=np.packbits(signs() > 0, axis=1), bits=BITS, ids=ids)
    return stream.getvalue()


def hashes() -> list[str]:
    """The same as hexadecimal digits."""
    return [row.tobytes().hex() for row in np.packbits(signs() > 0, axis=1)]


def csv_list() -> bytes:
    """A list of hashes as it is exchanged."""
    rows = [f"cat/{place}.png,{text}" for place, text in enumerate(hashes())]
    return "\n".join(["id,hash", *rows]).encode() + b"\n"


def jsonl_list() -> bytes:
    """The same, an object a line."""
    rows = [json.dumps({"id": str(place), "hash": text}) for place, text in enumerate(hashes())]
    return "\n".join(rows).encode() + b"\n"


def faiss_index() -> bytes:
    """The same as a binary index."""
    import faiss

    index = faiss.IndexBinaryFlat(BITS)
    index.add(np.packbits(signs() > 0, axis=1))
    data: bytes = faiss.serialize_index_binary(index).tobytes()
    return data


GOOD: dict[str, Make] = {
    "codes.npy": lambda: saved(signs()),
    "codes.npz": archive,
    "codes.csv": csv_list,
    "codes.jsonl": jsonl_list,
    "codes.faiss": faiss_index,
}
ODD: tuple[tuple[str, str, Make, Wanted], ...] = (
    *((f"good {name}", name, make, "ok") for name, make in GOOD.items()),
    ("codes of 32 bits", "codes.npy", lambda: saved(signs()[:, :32]), "refused"),
    ("no codes", "codes.npy", lambda: saved(signs()[:0]), "refused"),
    ("floats", "codes.npy", lambda: saved(signs() * 0.5), "refused"),
    ("dates", "codes.npy", lambda: saved(signs().astype("datetime64[s]")), "refused"),
    ("objects", "codes.npy", lambda: saved(signs().astype(object)), "refused"),
    ("one row", "codes.npy", lambda: saved(signs()[0]), "refused"),
    ("empty", "codes.faiss", lambda: b"", "refused"),
    ("a float index", "codes.faiss", lambda: b"IxF2" + faiss_index()[4:], "refused"),
    ("10^12 rows", "codes.faiss", lambda: faiss_index()[:12] + b"\xff" * 6 + faiss_index()[18:], "refused"),
    ("zeros", "codes.faiss", lambda: b"\0" * 4096, "refused"),
    ("only a head", "codes.csv", lambda: b"id,hash\n", "refused"),
    ("no hash", "codes.csv", lambda: b"id,name\n1,a\n", "refused"),
    ("other lengths", "codes.csv", lambda: csv_list() + b"x,ffff\n", "refused"),
    ("no hexadecimal", "codes.csv", lambda: csv_list() + b"x," + b"z" * 16 + b"\n", "refused"),
    ("a blank hash", "codes.csv", lambda: csv_list() + b"x,\n", "refused"),
    ("an escape in an id", "codes.csv", lambda: csv_list().replace(b"cat/1", b"c\x1b[31m", 1), "either"),
    ("a formula as an id", "codes.csv", lambda: csv_list().replace(b"cat/1", b"=1+1", 1), "ok"),
    ("no JSON", "codes.jsonl", lambda: jsonl_list() + b"{\n", "refused"),
    ("a list a line", "codes.jsonl", lambda: b"[1]\n", "refused"),
    ("a key twice", "codes.jsonl", lambda: jsonl_list().replace(b'"id"', b'"hash"', 1), "refused"),
)  # fmt: skip
"""Databases: what is odd, the file, its bytes, and whether it may be accepted."""
OPTIONS: tuple[tuple[tuple[str, ...], Wanted], ...] = (
    *(((name, value), "refused") for name, values in (
        ("--radius", ("-1", "1.5", "64", "9" * 30, "x", "", "inf")),
        ("--eps", ("0", "1/", "1/00", "2", "1/255,", "8/255,8/255", "nan", "-1/255", "0.001")),
        ("--count", ("-1", "1.5", "1" + "0" * 23)),
        ("--steps", ("0", "-1", "1.5")),
        ("--seed", ("-1", "1" + "0" * 30)),
        ("--fpr", ("0", "1", "nan", "-1", "inf")),
        ("--top", ("0", "-1", "1" + "0" * 23)),
        ("--goals", ("win", "", "evade,win")),
        ("--access", ("root", "")),
        ("--query-budget", ("0", "-1", "1.5")),
        ("--fail-above", ("evasion", "evasion@5", "evasion@5=2", "x@5=0.1", "evasion@6=0.1", "hit@5=0.1")),
        ("--victim", ("pdqq", "", "no/such.pt2", "codes.npz", "a:b", "os:getcwd")),
        ("--queries", ("", "no/such", "codes.npz", "/dev/null")),
        ("--database", ("", "no/such", "/dev/null", "postgresql://", "postgresql://h/d/t", "ftp://x/y")),
        ("--block-list", ("", "no/such", "/dev/zero")),
        ("--labels", ("", "no/such.csv", "codes.npz")),
        ("--item", ("nobody", "")),
        ("--surrogate", ("nobody", "")),
        ("--bits", ("64", "0", "-1")),
        ("--size", ("64",)),
        ("--out", ("codes.npz", "codes.npz/x")),
    ) for value in values),
    (("--eps", "1/255,8/255"), "ok"),
    (("--goals", "evade"), "ok"),
    (("--fail-above", "evasion@5=1"), "ok"),
    (("--surrogate", "ahash"), "ok"),
)  # fmt: skip
"""Options, and whether they may be accepted."""
TABLES: tuple[tuple[str, bytes, Wanted], ...] = (
    ("groups", b"id,group\ncat/0.png,1\ncat/1.png,1\n", "ok"),
    ("no ids", b"group\n1\n", "refused"),
    ("an id twice", b"id,group\ncat/0.png,1\ncat/0.png,2\n", "refused"),
    ("a blank group", b"id,group\ncat/0.png,\n", "refused"),
    ("nothing", b"", "refused"),
    ("NUL", b"id,group\ncat/0.png,\0\n", "either"),
    ("Latin-1", b"id,group\ncaf\xe9.png,1\n", "either"),
)
"""Tables of groups."""


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One audit of a hash whose database, table or option is odd."""
    queries = ("audit", "--queries", f"{stage.photos}/cat")
    if number < len(ODD):
        title, name, make, wanted = ODD[number]
        return with_file(title, name, make(), (*queries, "--database", name, *HASH), wanted)
    number -= len(ODD)
    if number < len(OPTIONS):
        more, wanted = OPTIONS[number]
        return option_case(queries, more, wanted)
    number -= len(OPTIONS)
    if number < len(TABLES):
        title, data, wanted = TABLES[number]
        words = (*queries, "--database", f"{stage.photos}/cat", "--labels", "items.csv", *HASH)
        return with_file(f"table: {title}", "items.csv", data, words, wanted)
    name = str(rng.choice(list(GOOD)))
    data, title = mangled(GOOD[name](), rng)
    return with_file(title, name, data, (*queries, "--database", name, *HASH), "either")


def with_file(title: str, name: str, data: bytes, words: tuple[str, ...], wanted: Wanted) -> Case:
    """A case with one file of its own."""

    def prepare(work: Path) -> None:
        (work / name).write_bytes(data)

    return Case(f"{name}: {title}", (words,), wanted=wanted, names=(name,), prepare=prepare)


def option_case(queries: tuple[str, ...], more: tuple[str, ...], wanted: Wanted) -> Case:
    """A case with one option in the place of another."""
    known = [*queries, *HASH]
    if more[0] in known:
        at = known.index(more[0])
        del known[at : at + 2]

    def prepare(work: Path) -> None:
        (work / "codes.npz").write_bytes(archive())

    title = " ".join(part[:40] for part in more)
    return Case(title, ((*known, *more),), wanted=wanted, prepare=prepare)
