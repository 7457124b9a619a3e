"""A run folder whose own records and arrays have other types, lengths and bytes."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, Ended, Wanted
from stage import NAMES, Stage, attack_words, train_words

from families.archives import npy, odd_arrays, packed, unplanted
from families.mangle import mangled


RECORD = f"attacks/{NAMES[1]}"
JSON = (
    "run.json",
    "environment.json",
    "data.json",
    "checksums.json",
    "model/model.json",
    f"{RECORD}/attack.json",
    f"{RECORD}/evaluation.json",
    "metrics.jsonl",
)
ARRAYS = ("codes/query.npz", "codes/database.npz", f"{RECORD}/queries/1.npz")
OTHERS = ("model/model.safetensors", f"{RECORD}/png/1.png", "report.html")
LONG = "9" * 5000
"""A number of more digits than Python turns into a number."""
VALUES = (
    "null", "[]", "{}", '"text"', '""', "-1", "0", "1.5", "true", "1e400", "NaN", "-Infinity",
    LONG, "1e30", "[null]", '[1, "a"]', '{"a": 1}', "[" * 60 + "]" * 60, '"\\u0000"',
    '"\\ud800"', '"<script>alert(1)</script>"', '"\\u001b[31m"', "1e-320", "18446744073709551616",
)  # fmt: skip
"""Values, as JSON, that stand where something else was."""
WHOLE = (
    b"", b"{", b"null", b"[]", b"1", b'"text"', b"\xff\xfe{}", b"{}", b"[" * 100_000, b"\0" * 50,
    LONG.encode(), b"NaN", b"{}{}", b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}", b"// {}", b"\n\n",
    b'{"format": 1}', b'{"format": 99}', b'{"format": null}', b'{"format": ' + LONG.encode() + b"}",
)  # fmt: skip
"""Whole files."""
KNOWN: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("environment.json", (), "null"),
    ("environment.json", (), "[1]"),
    ("environment.json", ("packages",), "[]"),
    ("run.json", (), "null"),
    ("run.json", ("config",), "[]"),
    ("run.json", ("config", "data"), "7"),
    ("run.json", ("config", "data", "queries"), '"many"'),
    ("run.json", ("config", "train", "seed"), '"text"'),
    ("run.json", ("config", "train", "seed"), LONG),
    ("run.json", ("config", "network", "bits"), "null"),
    ("run.json", ("created",), "[1, 2]"),
    ("model/model.json", ("bits",), "null"),
    ("model/model.json", ("bits",), '"8"'),
    ("model/model.json", ("bits",), LONG),
    ("model/model.json", ("backbone",), "[]"),
    ("model/model.json", ("contract",), "null"),
    ("model/model.json", ("contract", "size"), "-8"),
    ("model/model.json", ("label_names",), "7"),
    (f"{RECORD}/attack.json", ("recipe",), "null"),
    (f"{RECORD}/attack.json", ("recipe", "seed"), '"one"'),
    (f"{RECORD}/attack.json", ("recipe", "budget", "eps"), "[]"),
    (f"{RECORD}/attack.json", ("query_ids",), "[1, null]"),
    (f"{RECORD}/attack.json", ("protocol",), "[]"),
    (f"{RECORD}/attack.json", ("cost", "seconds"), '"fast"'),
    (f"{RECORD}/evaluation.json", (), "[]"),
    (f"{RECORD}/evaluation.json", ("achieved",), "7"),
    (f"{RECORD}/evaluation.json", ("achieved", "value"), '"high"'),
    ("checksums.json", (), "[]"),
    ("checksums.json", (), '{"codes/query.npz": 7}'),
    ("metrics.jsonl", (), "7"),
)
"""A file, a place in it, and a value that must be refused there."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()  # fmt: skip
    for key, item in pairs:
        yield from places(item, (*path, key))


def replaced(text: str, path: tuple[Any, ...], value: str | None) -> bytes:
    """JSON with the value at a place replaced by a text, or removed."""
    content = json.loads(text)
    if not path:
        return (value or "").encode("utf-8", "surrogatepass")
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
        return json.dumps(content, indent=1).encode()
    inner[path[-1]] = "HERE-IT-IS"
    return json.dumps(content, indent=1).replace('"HERE-IT-IS"', value).encode()


def commands(name: str, rng: np.random.Generator, stage: Stage) -> tuple[str, ...]:
    """A command that reads a file of a run."""
    report = ("report", "run")
    again = attack_words("run", "noise", "--name", "again")
    same = attack_words("run", "p2p")
    encode = ("encode", "run", "--workers", "0")
    train = train_words(stage.photos)
    table = ("report", "run", "--markdown")
    of = {
        "run.json": (report, again, encode, train, same),
        "environment.json": (report,),
        "data.json": (report, encode, again),
        "checksums.json": (report, encode, train, again),
        "model/model.json": (report, again, encode),
        "metrics.jsonl": (encode, again, report),
        "model/model.safetensors": (report, again, encode),
        "report.html": (report,),
    }
    found = of.get(
        name, (report, same, table) if name.startswith("attacks") else (report, again, encode)
    )
    return found[int(rng.integers(len(found)))]


def spoil(
    stage: Stage,
    name: str,
    change: Callable[[bytes], bytes],
    sealed: bool,
    removed: tuple[str, ...],
) -> Callable[[Path], None]:
    """Puts a run folder with one changed file into the folder of a case."""

    def prepare(work: Path) -> None:
        stage.copy("run")(work)
        path = work / "run" / name
        path.write_bytes(change(path.read_bytes()))
        sums = work / "run" / "checksums.json"
        if sealed and name != "checksums.json":
            # As if hashprobe had written the file so: only its schema can refuse it.
            known = json.loads(sums.read_text())
            if name in known:
                known[name] = hashlib.sha256(path.read_bytes()).hexdigest()
                sums.write_text(json.dumps(known))
        for other in removed:
            (work / "run" / other).unlink()

    return prepare


def kept(stage: Stage, name: str, change: Callable[[bytes], bytes]) -> Callable[[Path, Ended], str]:
    """A file that was refused is as it was, and so are those beside it."""

    def check(work: Path, ended: Ended) -> str:
        if ended.code != 2:
            return unplanted(work, ended)
        if (work / "run" / name).read_bytes() != change((stage / "run" / name).read_bytes()):
            return f"{name} was refused and overwritten"
        for path in (stage / "run").rglob("*"):
            other = path.relative_to(stage / "run")
            # These are appended to, sealed again, or spoilt on purpose.
            if path.is_file() and str(other) not in (name, "metrics.jsonl", "checksums.json"):
                copy = work / "run" / other
                if not copy.exists():
                    return f"{other} is gone after a refusal"
        return unplanted(work, ended)

    return check


def known_case(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """A value of another type at a place of a record."""
    name, path, value = KNOWN[number]

    def change(data: bytes) -> bytes:
        if name == "metrics.jsonl":
            return value.encode() + b"\n" + data
        return replaced(data.decode(), path, value)

    words = commands(name, rng, stage)
    if name in ("model/model.json", f"{RECORD}/evaluation.json"):
        words = ("report", "run")  # an attack computes its evaluation anew
    if name == "metrics.jsonl":
        words = ("encode", "run", "--workers", "0")
    if path[:2] == ("config", "train"):
        words = train_words(stage.photos)
    where = ".".join(path) or "everything"
    return Case(
        f"{name}: {where} is {value[:30]}; {words[0]}",
        (words,),
        wanted="either" if path == ("created",) or name == "metrics.jsonl" else "refused",
        names=(name, Path(name).name, "run"),
        prepare=spoil(stage, name, change, True, ()),
        check=kept(stage, name, change),
    )


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One file of a run folder is changed."""
    if number < len(KNOWN):
        return known_case(rng, stage, number)
    draw = rng.random()
    if draw < 0.7:
        name = str(rng.choice(JSON))
    else:
        name = str(rng.choice(ARRAYS if draw < 0.9 else OTHERS))
    removed: tuple[str, ...] = ()
    wanted: Wanted = "either"
    original = (stage / "run" / name).read_bytes()
    change, title = changed(name, original, rng)
    if name == "metrics.jsonl" and rng.random() < 0.5:
        removed = ("codes/query.npz",)
    words = commands(name, rng, stage)
    sealed = bool(rng.random() < 0.7)
    return Case(
        f"{name}: {title}; {words[0]}",
        (words,),
        wanted=wanted,
        names=(name, Path(name).name, "run"),
        prepare=spoil(stage, name, change, sealed, removed),
        check=kept_but(stage, name, change, removed),
    )


def kept_but(
    stage: Stage, name: str, change: Callable[[bytes], bytes], removed: tuple[str, ...]
) -> Callable[[Path, Ended], str]:
    """As `kept`, where files were removed on purpose: then only planted code is looked for."""
    return unplanted if removed else kept(stage, name, change)


def changed(
    name: str, original: bytes, rng: np.random.Generator
) -> tuple[Callable[[bytes], bytes], str]:
    """A change to one file, and what it is in words."""
    draw = rng.random()
    if draw < 0.15:
        data, title = mangled(original, rng)
    elif name.endswith(".npz"):
        data, title = other_array(original, rng)
    elif not name.endswith((".json", ".jsonl")):
        data, title = mangled(original, rng)
    elif draw < 0.3:
        data = WHOLE[int(rng.integers(len(WHOLE)))]
        title = f"holds {data[:30]!r}"
    else:
        data, title = other_value(name, original, rng)
    return (lambda _: data), title


def other_value(name: str, original: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A value somewhere in a JSON file is another one, or is missing."""
    lines = original.decode().splitlines() if name.endswith(".jsonl") else [original.decode()]
    line = int(rng.integers(len(lines)))
    found = list(places(json.loads(lines[line])))
    path = found[int(rng.integers(len(found)))]
    value = None if rng.random() < 0.2 else VALUES[int(rng.integers(len(VALUES)))]
    changed = replaced(lines[line], path, value)
    if name.endswith(".jsonl"):
        changed = changed.replace(b"\n", b" ")
    lines = [text.encode() for text in lines]  # type: ignore[misc]
    lines[line] = changed  # type: ignore[call-overload]
    title = f"{'.'.join(map(str, path)) or 'everything'} is {'missing' if value is None else value[:40]}"
    return b"\n".join(lines) + b"\n", title  # type: ignore[arg-type]


def other_array(original: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One member of an npz file has another type, shape or value, or is missing."""
    import io

    arrays = dict(np.load(io.BytesIO(original)))
    key = str(rng.choice(sorted(arrays)))
    kinds = odd_arrays()
    name = str(
        rng.choice([*kinds, "missing", "shorter", "longer", "more axes", "other key", "random"])
    )
    array = arrays.pop(key)
    if name in kinds:
        arrays[key] = kinds[name]
    elif name == "shorter":
        arrays[key] = array[:-1] if array.ndim else array - 1
    elif name == "longer":
        arrays[key] = np.concatenate([array, array]) if array.ndim else array + 1000
    elif name == "more axes":
        arrays[key] = array[None]
    elif name == "other key":
        arrays[key + "s"] = array
    elif name == "random":
        data = rng.integers(-(2**40), 2**40, array.shape)
        arrays[key] = data.astype(array.dtype) if array.dtype.kind in "iufb" else data
    made = packed([(f"{name}.npy", npy(part)) for name, part in arrays.items()])
    return made, f"{key} is {name}"
