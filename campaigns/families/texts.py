"""List files, label names and tables with other bytes, rows, names and paths."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import Case, Wanted
from stage import SPLIT, TRAIN, Stage

from families.mangle import mangled


Change = Callable[[bytes], bytes]


def line(number: int, text: bytes) -> Change:
    """Replaces one line."""

    def change(data: bytes) -> bytes:
        lines = data.split(b"\n")
        lines[number] = text
        return b"\n".join(lines)

    return change


def column(change: Callable[[int, list[bytes]], list[bytes]]) -> Change:
    """Changes the cells of every row of the table."""

    def all_rows(data: bytes) -> bytes:
        rows = [row.split(b",") for row in data.strip().split(b"\n")]
        return b"\n".join(b",".join(change(i, row)) for i, row in enumerate(rows)) + b"\n"

    return all_rows


LISTS: tuple[tuple[str, str, Change, Wanted], ...] = (
    ("good", "train.txt", lambda d: d, "ok"),
    ("Windows line ends", "train.txt", lambda d: d.replace(b"\n", b"\r\n"), "ok"),
    ("a byte order mark", "train.txt", lambda d: b"\xef\xbb\xbf" + d, "ok"),
    ("empty", "train.txt", lambda d: b"", "refused"),
    ("blank", "train.txt", lambda d: b"\n \n\t\n", "refused"),
    ("NUL in a path", "train.txt", line(1, b"cat/\x001.png 1 0"), "refused"),
    ("NUL in a path", "test.txt", line(1, b"cat/1\x00.png 1 0"), "refused"),
    ("NUL at the end", "database.txt", lambda d: d + b"\0", "refused"),
    ("zeros", "database.txt", lambda d: bytes(500), "refused"),
    ("UTF-16", "train.txt", lambda d: d.decode().encode("utf-16"), "refused"),
    ("Latin-1", "train.txt", line(1, "cat/é.png 1 0".encode("latin-1")), "refused"),
    ("a broken surrogate", "train.txt", line(1, b"cat/\xed\xa0\x80.png 1 0"), "refused"),
    ("label 2", "train.txt", line(1, b"cat/1.png 2 0"), "refused"),
    ("label -1", "train.txt", line(1, b"cat/1.png -1 0"), "refused"),
    ("label 0.5", "train.txt", line(1, b"cat/1.png 0.5 0"), "refused"),
    ("label of full width", "train.txt", line(1, "cat/1.png １ 0".encode()), "refused"),
    ("a label fewer", "train.txt", line(1, b"cat/1.png 1"), "refused"),
    ("a label more", "train.txt", line(1, b"cat/1.png 1 0 0"), "refused"),
    ("no label", "train.txt", line(1, b"cat/1.png"), "refused"),
    ("no path", "train.txt", line(1, b"1 0"), "refused"),
    ("../ in a path", "train.txt", line(1, b"../secret.png 1 0"), "refused"),
    ("../ inside a path", "database.txt", line(1, b"cat/../../secret.png 1 0"), "refused"),
    ("../ in a query", "test.txt", line(1, b"../secret.png 1 0"), "refused"),
    ("an absolute path", "train.txt", line(1, b"/etc/passwd 1 0"), "refused"),
    ("a path that is a folder", "train.txt", line(1, b"cat 1 0"), "refused"),
    ("a path that is not there", "train.txt", line(1, b"cat/no.png 1 0"), "refused"),
    ("a path of 5,000 letters", "train.txt", line(1, b"c" * 5000 + b" 1 0"), "refused"),
    ("a million blanks", "train.txt", line(1, b"cat/1.png" + b" " * 10**6 + b"1 0"), "either"),
    ("an escape in a path", "train.txt", line(1, b"cat/\x1b[31m.png 1 0"), "refused"),
    ("an item twice", "train.txt", lambda d: d + d, "either"),
    ("query labels all zero", "test.txt", lambda d: d.replace(b" 1", b" 0"), "refused"),
    ("one query without a label", "test.txt", line(1, b"cat/1.png 0 0"), "either"),
    ("a class without items", "database.txt", lambda d: d.replace(b" 0 1", b" 1 0"), "either"),
    ("names twice", "label_names.txt", lambda d: b"cat\ncat\n", "refused"),
    ("names that differ in blanks", "label_names.txt", lambda d: b"cat\n cat \n", "refused"),
    ("a name too many", "label_names.txt", lambda d: d + b"cow\n", "refused"),
    ("a name too few", "label_names.txt", lambda d: b"cat\n", "refused"),
    ("NUL in a name", "label_names.txt", lambda d: b"cat\0\ndog\n", "refused"),
    ("Latin-1 in a name", "label_names.txt", lambda d: b"caf\xe9\ndog\n", "ok"),
    ("names in UTF-8", "label_names.txt", lambda d: "кошка\n犬\n".encode(), "ok"),
)  # fmt: skip
"""A list, what is done to it, and whether it may be accepted."""
TABLE: tuple[tuple[str, Change, Wanted], ...] = (
    ("good", lambda d: d, "ok"),
    ("no column of paths", lambda d: d.replace(b"path", b"file", 1), "refused"),
    ("two columns of one name", lambda d: d.replace(b"dog,shop", b"cat,shop", 1), "refused"),
    ("a column without a name", lambda d: d.replace(b"dog,shop", b",shop", 1), "either"),
    ("one label column", column(lambda i, row: [row[0], row[1], row[3]]), "refused"),
    ("a cell fewer", line(2, b"cat/1.png,1,0"), "refused"),
    ("a cell more", line(2, b"cat/1.png,1,0,s1,x"), "refused"),
    ("an open quote", line(2, b'"cat/1.png,1,0,s1'), "refused"),
    ("text after a quote", line(2, b'"cat"/1.png,1,0,s1'), "refused"),
    ("no path", line(2, b",1,0,s1"), "refused"),
    ("NUL in a path", line(2, b"cat/\x001.png,1,0,s1"), "refused"),
    ("NUL in a label", line(2, b"cat/1.png,1\0,0,s1"), "refused"),
    ("NUL in a name", lambda d: d.replace(b"dog", b"d\0g", 1), "refused"),
    ("Latin-1", line(2, b"caf\xe9/1.png,1,0,s1"), "refused"),
    ("../ in a path", line(2, b"../secret.png,1,0,s1"), "refused"),
    ("an absolute path", line(2, b"/etc/passwd,1,0,s1"), "refused"),
    ("no rows", lambda d: d.split(b"\n")[0] + b"\n", "refused"),
    ("empty", lambda d: b"", "refused"),
    ("a binary file", lambda d: bytes(range(256)) * 20, "refused"),
    ("labels all zero", column(lambda i, r: r if not i else [r[0], b"0", b"0", r[3]]), "refused"),
    ("a field of 200,000 letters", line(2, b"x" * 200_000 + b",1,0,s1"), "refused"),
    ("semicolons", lambda d: d.replace(b",", b";"), "refused"),
    ("a formula as a name", lambda d: d.replace(b"dog", b"=1+1", 1), "either"),
    ("an escape in a name", lambda d: d.replace(b"dog", b"d\x1b[31mg", 1), "either"),
)  # fmt: skip
"""What is done to the table, and whether it may be accepted."""


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One list or table is changed."""
    name, wanted, title = "table.csv", "either", ""
    if number < len(LISTS):
        title, name, change, wanted = LISTS[number]
    elif number < len(LISTS) + len(TABLE):
        title, change, wanted = TABLE[number - len(LISTS)]
    else:
        name = str(
            rng.choice(["table.csv", "train.txt", "test.txt", "database.txt", "label_names.txt"])
        )
        folder = stage.folder if name == "table.csv" else stage / "lists"
        data, title = mangled((folder / name).read_bytes(), rng)
        change = lambda _: data  # noqa: E731
    where = name if name == "table.csv" else f"lists/{name}"

    def prepare(work: Path) -> None:
        stage.copy("photos", "table.csv" if name == "table.csv" else "lists")(work)
        # What no list may reach.
        (work / "secret.png").write_bytes((work / "photos" / "cat" / "0.png").read_bytes())
        (work / where).write_bytes(change((work / where).read_bytes()))

    more = (*TRAIN, "--workers", "0", "--out", "run")
    words: tuple[str, ...] = ("train", "listfiles", "--root", "photos", "--lists", "lists", *more)
    if name == "table.csv":
        words = ("train", "table", "--root", "photos", "--lists", name, *SPLIT, *more)
        if rng.random() < 0.3:
            words += ("--group", "shop")
    # A wrong path is named by itself, an odd file by its list. Queries are read when encoded.
    queries = name in ("test.txt", "database.txt")
    commands = (words, ("encode", "run", "--workers", "0")) if queries else (words,)
    names = (name, "lists", "png", ".pn", "photos")
    return Case(f"{name}: {title}", commands, wanted=wanted, names=names, prepare=prepare)
