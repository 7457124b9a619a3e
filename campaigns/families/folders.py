"""Folders with pipes, sockets, devices, links that loop, names of any bytes, and empty paths."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import Case, Wanted
from stage import SPLIT, TRAIN, Stage, train_words


Make = Callable[[Path], object]


def pipe(name: str) -> Make:
    """A pipe that nobody writes into."""
    return lambda work: replaced(work / name, os.mkfifo)


def plug(name: str) -> Make:
    """A socket."""

    def make(work: Path) -> None:
        (work / name).unlink(missing_ok=True)
        here = os.getcwd()
        try:
            os.chdir((work / name).parent)
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(Path(name).name)
        finally:
            os.chdir(here)

    return make


def link(name: str, target: str) -> Make:
    """A symbolic link."""
    return lambda work: replaced(work / name, lambda path: os.symlink(target, path))


def folder(name: str) -> Make:
    """A folder where a file should be."""
    return lambda work: replaced(work / name, lambda path: path.mkdir())


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    """Makes something in the place of a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    make(path)


def odd_name(name: bytes) -> Make:
    """A picture with a name of one's own."""

    def make(work: Path) -> None:
        where = os.fsencode(work / "photos" / "cat") + b"/" + name
        shutil.copy(os.fsencode(work / "photos" / "cat" / "0.png"), where)

    return make


def odd_class(name: bytes) -> Make:
    """A third class with a name of one's own."""

    def make(work: Path) -> None:
        photos = os.fsencode(work / "photos")
        shutil.copytree(photos + b"/cat", photos + b"/" + name)

    return make


def deep(work: Path) -> None:
    """Folders 60 deep."""
    inner = work / "photos" / "cat" / "/".join(["d"] * 60)
    inner.mkdir(parents=True)
    shutil.copy(work / "photos" / "cat" / "0.png", inner / "x.png")


def nothing(_: Path) -> None:
    """Changes nothing."""


TRAINING = train_words()
WALK = ("train", "folder", *SPLIT, *TRAIN, "--workers", "0", "--out", "run", "--root")
EVALUATE = ("evaluate", "codes.npz")
ENCODE, REPORT = ("encode", "run", "--workers", "0"), ("report", "run")
LISTS = ("train", "listfiles", "--root", "photos", "--lists", "lists", *TRAIN, "--out", "run")
TABLE = (
    "train",
    "table",
    "--root",
    "photos",
    "--lists",
    "table.csv",
    *SPLIT,
    *TRAIN,
    "--out",
    "run",
)
P2P = ("attack", "p2p", "run", "--queries", "2", "--steps", "1", "--minimum", "1", "--seed", "3")
KNOWN: tuple[tuple[str, Make, tuple[str, ...], Wanted], ...] = (
    ("a pipe among the pictures", pipe("photos/cat/9.png"), TRAINING, "either"),
    ("a pipe in the place of a picture", pipe("photos/cat/0.png"), TRAINING, "either"),
    ("a socket among the pictures", plug("photos/cat/9.png"), TRAINING, "either"),
    ("a folder named as a picture", folder("photos/cat/9.png"), TRAINING, "either"),
    ("/dev/zero as a picture", link("photos/cat/0.png", "/dev/zero"), TRAINING, "either"),
    ("/dev/null as a picture", link("photos/cat/0.png", "/dev/null"), TRAINING, "either"),
    ("a dangling link as a picture", link("photos/cat/0.png", "no/such"), TRAINING, "either"),
    ("a link to itself as a picture", link("photos/cat/0.png", "0.png"), TRAINING, "either"),
    ("a link to the parent", link("photos/cat/up", ".."), TRAINING, "either"),
    ("a class that links to the root", link("photos/up", "."), TRAINING, "either"),
    ("a class that links to all files", link("photos/all", "/"), TRAINING, "either"),
    ("a hidden class", lambda w: (w / "photos/.hidden").mkdir(), TRAINING, "ok"),
    ("an empty class", lambda w: (w / "photos/cow").mkdir(), TRAINING, "refused"),
    ("one class", lambda w: shutil.rmtree(w / "photos/dog"), TRAINING, "refused"),
    ("no class", lambda w: [shutil.rmtree(p) for p in (w / "photos").iterdir()], TRAINING, "refused"),
    ("folders 60 deep", deep, TRAINING, "ok"),
    ("a root that is empty text", nothing, (*WALK, ""), "refused"),
    ("a root of blanks", nothing, (*WALK, "  "), "refused"),
    ("a root that is a pipe", pipe("photos"), TRAINING, "refused"),
    ("a root that is a file", lambda w: replaced(w / "photos", Path.touch), TRAINING, "refused"),
    ("a root that links to itself", link("photos", "photos"), TRAINING, "refused"),
    ("a picture's name in Latin-1", odd_name(b"caf\xe9.png"), TRAINING, "either"),
    ("a picture's name with a line end", odd_name(b"a\nb.png"), TRAINING, "either"),
    ("a picture's name with an escape", odd_name(b"a\x1b[31m.png"), TRAINING, "either"),
    ("a picture's name of 250 letters", odd_name(b"a" * 246 + b".png"), TRAINING, "ok"),
    ("a picture's name with markup", odd_name(b"<img src=x onerror=alert(1)>.png"), TRAINING, "ok"),
    ("a picture's name of one dot", odd_name(b".png"), TRAINING, "ok"),
    ("a picture named as an option", odd_name(b"--out.png"), TRAINING, "ok"),
    ("a class in Latin-1", odd_class(b"caf\xe9"), TRAINING, "either"),
    ("a class with a line end", odd_class(b"a\nb"), TRAINING, "either"),
    ("a class with an escape", odd_class(b"a\x1b[31m"), TRAINING, "either"),
    ("a pipe as codes", pipe("codes.npz"), EVALUATE, "refused"),
    ("a socket as codes", plug("codes.npz"), EVALUATE, "refused"),
    ("a folder as codes", folder("codes.npz"), EVALUATE, "refused"),
    ("/dev/zero as codes", link("codes.npz", "/dev/zero"), EVALUATE, "refused"),
    ("/dev/null as codes", link("codes.npz", "/dev/null"), EVALUATE, "refused"),
    ("a link to itself as codes", link("codes.npz", "codes.npz"), EVALUATE, "refused"),
    ("codes of empty text", nothing, ("evaluate", ""), "refused"),
    ("codes below a file", nothing, ("evaluate", "codes.npz/codes.npz"), "refused"),
    ("/dev/stdin as codes", nothing, ("evaluate", "/dev/stdin"), "refused"),
    ("a pipe as recipe", pipe("recipe.yaml"), ("--config", "recipe.yaml", *EVALUATE), "refused"),
    ("/dev/zero as recipe", link("recipe.yaml", "/dev/zero"), ("--config", "recipe.yaml", *EVALUATE), "refused"),
    ("a folder as recipe", folder("recipe.yaml"), ("--config", "recipe.yaml", *EVALUATE), "refused"),
    ("a recipe of empty text", nothing, ("--config", "", *EVALUATE), "refused"),
    ("a pipe as list", pipe("lists/train.txt"), LISTS, "refused"),
    ("/dev/zero as list", link("lists/train.txt", "/dev/zero"), LISTS, "refused"),
    ("a pipe as names", pipe("lists/label_names.txt"), LISTS, "either"),
    ("a folder as list", folder("lists/train.txt"), LISTS, "refused"),
    ("a pipe as table", pipe("table.csv"), TABLE, "refused"),
    ("/dev/zero as table", link("table.csv", "/dev/zero"), TABLE, "refused"),
    ("a pipe as weights", pipe("weights.safetensors"), (*TRAINING, "--weights", "weights.safetensors"), "refused"),
    ("/dev/zero as weights", link("weights.safetensors", "/dev/zero"), (*TRAINING, "--weights", "weights.safetensors"), "refused"),
    *((f"a pipe as {name}", pipe(f"run/{name}"), words, "refused") for name, words in (
        ("run.json", REPORT), ("checksums.json", REPORT), ("environment.json", REPORT),
        ("codes/query.npz", REPORT), ("model/model.json", REPORT), ("model/model.safetensors", REPORT),
        ("metrics.jsonl", P2P), ("attacks/p2p-8of255-seed1/attack.json", REPORT),
        ("attacks/p2p-8of255-seed1/evaluation.json", REPORT),
        ("attacks/p2p-8of255-seed1/queries/1.npz", REPORT))),
    *((f"a folder as {name}", folder(f"run/{name}"), words, "refused") for name, words in (
        ("run.json", REPORT), ("checksums.json", REPORT), ("environment.json", REPORT),
        ("codes/query.npz", REPORT), ("model/model.json", P2P), ("report.html", REPORT),
        ("metrics.jsonl", P2P), ("attacks/p2p-8of255-seed1/evaluation.json", REPORT))),
    ("a run of empty text", nothing, ("encode", ""), "refused"),
    ("a run that is a file", lambda w: replaced(w / "run", Path.touch), ENCODE, "refused"),
    ("a run that is a pipe", pipe("run"), ENCODE, "refused"),
    ("a run that links to itself", link("run", "run"), ENCODE, "refused"),
    ("a run that is /dev/null", nothing, ("encode", "/dev/null"), "refused"),
    ("a file among the attacks", lambda w: (w / "run/attacks/x").touch(), REPORT, "either"),
    ("a pipe among the attacks", pipe("run/attacks/x"), REPORT, "either"),
    ("an empty folder among the attacks", lambda w: (w / "run/attacks/x").mkdir(), REPORT, "ok"),
    ("a link to itself among the attacks", link("run/attacks/x", "x"), REPORT, "either"),
    ("a pipe as cache", pipe("cache"), (*TRAINING, "--cache", "cache"), "either"),
)  # fmt: skip
"""What is made, what runs on it, and whether it may be accepted."""


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One layout of a folder."""
    title, make, words, wanted = KNOWN[number % len(KNOWN)]
    needed = ["photos", "codes.npz", "recipe.yaml", "table.csv", "lists", "weights.safetensors"]
    needed += ["run"] if words[0] in ("encode", "attack", "report") else []

    def prepare(work: Path) -> None:
        stage.copy(*needed)(work)
        make(work)

    return Case(title, (words,), wanted=wanted, prepare=prepare)
