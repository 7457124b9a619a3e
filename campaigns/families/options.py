"""Values of options on the command line, for every option of every command."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, Wanted
from stage import Stage, attack_words, train_words

from hashprobe.attacks.registry import ATTACKS
from hashprobe.cli.app import build_app


WHOLE = ("1.5", "2.0000001", "nan", "inf", "-inf", "", " ", "abc", "1e400", "0x", "1,5", "1/2",
         "--", "9" * 5000, "½", "\x1b[31m7", "7\n7", "[1]", "1 2")  # fmt: skip
"""Values that no option of a whole number may take."""
NUMBER = ("nan", "", " ", "abc", "1e", "0x1", "1,5", "--", "1..2", "\x1b[31m7", "[1]", "1 2",
          "½", "9" * 5000 + "x")  # fmt: skip
"""Values that no option of a number may take."""
EDGE = ("-1", "0", "1e-400", "1e308", "-0", "inf", "-inf", "1" + "0" * 23, "-" + "9" * 30, "1e30",
        "２", "1_0", "+3", "007", "None")  # fmt: skip
"""Values that some options may take."""
WORD = ("", " ", "no-such-word", "FLOAT32", "\x1b[31m", "a" * 5000, "<script>", "../x", "0", "é")
"""Words that no choice has."""
PATHS = ("", "no/such/place", "codes.npz/x", "a" * 5000, "no\x1b[31m", "run/run.json", "codes.npz")
"""Places that are no folder or file of the right kind."""
MANY = "1" + "0" * 9
EXACT: tuple[tuple[str, tuple[str, ...], Wanted], ...] = (
    *((f"eps {eps!r}", ("attack", "--eps", eps), "refused") for eps in
      ("1/", "/255", "8/0", "8/255/1", "0", "-8/255", "nan", "inf", "8/nan", "nan/8", "8/inf", "1e400",
       "8 / ", "", "/", "8\\255", "8//255", "-0", "inf/255", "8/-255", "2", "256/255")),
    ("eps 8/255", ("attack", "--eps", "8/255"), "ok"),
    ("eps 0.03", ("attack", "--eps", "0.03"), "ok"),
    *((f"training seed {s}", ("train", "--seed", s), "refused") for s in ("-1", "1.5", "1" + "0" * 23)),
    *((f"attack seed {s}", ("attack", "--seed", s), "refused") for s in ("-1", "1.5")),
    *((f"split seed {s}", ("train", "--split-seed", s), "refused") for s in ("-1", "0.5", "-" + "9" * 30)),
    *((f"share {s}", ("train", name, s), "refused") for s in ("inf", "nan", "-1", "0", "2.5", "1e300", "-inf")
      for name in ("--queries", "--training")),
    *((f"root {r!r}", ("train", "--root", r), "refused") for r in ("", " ", "codes.npz", "no/such", "/dev/null", "\x1b[31m")),
    ("out of nothing", ("train", "--out", ""), "refused"),
    ("out below a file", ("train", "--out", "codes.npz/run"), "refused"),
    ("out of 5,000 letters", ("train", "--out", "r" * 5000), "refused"),
    *((f"devices {n}", ("train", "--devices", n), "refused") for n in ("0", "-1", MANY, "1" + "0" * 23)),
    *((f"workers {n}", (c, "--workers", n), "refused") for n in ("-1", MANY, "1" + "0" * 23) for c in ("train", "encode")),
    *((f"restarts {n}", ("bit-margin", "--restarts", n), "refused") for n in ("-1", "1" + "0" * 23)),
    *((f"{name} 10^23", ("attack", name, "1" + "0" * 23), "refused") for name in ("--steps", "--queries", "--seed")),
    *((f"epochs {n}", ("train", "--epochs", n), "refused") for n in ("-1", "0", "1" + "0" * 23)),
    *((f"bits {n}", ("train", "--bits", n), "refused") for n in ("-1", "0", "4097", MANY, "1" + "0" * 23)),
    *((f"size {n}", ("train", "--size", n), "refused") for n in ("-1", "0", MANY, "1" + "0" * 23)),
    *((f"batch {n}", ("train", "--batch-size", n), "refused") for n in ("-1", "0")),
    *((f"batch {n}", (c, "--batch-size", n), "refused") for n in ("-1", "0") for c in ("encode", "attack")),
    ("preset for videos on pictures", ("train", "--preset", "paper-videos"), "refused"),
    ("preset for videos on pictures", ("attack", "--preset", "paper-videos"), "refused"),
    ("frames of pictures", ("attack", "--frames", "3"), "refused"),
    ("a codec of pictures", ("attack", "--codec", "h264"), "refused"),
    *((f"name {n!r}", ("attack", "--name", n), "refused") for n in
      ("", "..", ".", "../x", "/tmp/x", "a/b", "a" * 500, "\0")),
    *((f"name {n!r}", ("attack", "--name", n), "either") for n in ("a\x1b[31m", " ", "a\nb")),
    *((f"target {t!r}", ("attack", "--target", t), "refused") for t in ("", "cow", "cat,dog", "\x1b[31m", "cat ")),
    *((f"device {d!r}", ("attack", "--device", d), "refused") for d in ("cuda:99", "tpu", "", "meta", "\x1b[31m")),
    *((f"top {t}", ("evaluate", "--top", t), "refused") for t in ("2.5", "0", "-1", "nan", "1e3x")),
    ("a name of an attack", ("attack-none", ), "refused"),
    ("no command", ("none",), "refused"),
    ("an unknown option", ("evaluate", "--tpo", "3"), "refused"),
    ("an option twice", ("evaluate", "--top", "3", "--top", "4"), "refused"),
    ("an option without a value", ("evaluate", "--top"), "refused"),
    ("a second file", ("evaluate", "codes.npz"), "refused"),
    ("an escape as a command", ("\x1b[31mtrain",), "refused"),
    ("the report of nothing", ("report", "--attack", "\x1b[31m"), "refused"),
    *((f"examples {e}", ("report", "--examples", e), "refused") for e in ("-1", "1.5", "nan")),
    ("out that is a folder", ("report", "--out", "photos"), "refused"),
    ("out of nothing", ("report", "--out", ""), "refused"),
    *((f"cache size {g}", ("train", "--cache-gb", g), "refused") for g in ("-1", "nan", "inf")),
    *((f"minutes {m}", ("train", "--minutes", m), "refused") for m in ("-1", "nan")),
    *((f"rate {r}", ("train", "--lr", r), "refused") for r in ("-1", "nan", "inf")),
    ("a recipe that is missing", ("reproduce", "table99"), "refused"),
    ("data that do not exist", ("reproduce", "table8", "--dataset", "no"), "refused"),
)  # fmt: skip
"""A command, what is given to it, and whether it may be accepted."""


@dataclass(frozen=True)
class Option:
    """An option of a command."""

    command: str
    flag: str
    kind: str
    """whole, number, choice, path or text."""


@cache
def every_option() -> tuple[Option, ...]:
    """Every option that takes a value, from the command line itself."""
    app = build_app()
    found = []
    commands = [
        ("train",),
        ("encode",),
        ("evaluate",),
        ("report",),
        *(("attack", n) for n in ATTACKS),
    ]
    for words in commands:
        inner: Any = app
        for word in words:
            inner = inner[word]
        for argument in inner.assemble_argument_collection():
            flag = next((name for name in argument.names if name.startswith("--")), "")
            kind = kind_of(argument.hint)
            if flag and kind and not flag.startswith("--no-"):
                found.append(Option(words[-1], flag, kind))
    return tuple(found)


def kind_of(hint: Any) -> str:
    """What an option takes; empty for a flag."""
    text = str(hint)
    if "bool" in text:
        return ""
    for mark, kind in (
        ("Literal", "choice"),
        ("float", "number"),
        ("int", "whole"),
        ("Path", "path"),
    ):
        if mark in text or getattr(hint, "__name__", "") == mark:
            return kind
    return "text"


def base(command: str, stage: Stage) -> tuple[str, ...]:
    """The words of a good command."""
    if command == "train":
        return train_words("photos")
    if command == "encode":
        return ("encode", "run", "--workers", "0")
    if command == "evaluate":
        return ("evaluate", "codes.npz")
    if command == "report":
        return ("report", "run")
    if command == "reproduce":
        return ("reproduce", "--out", "out", "--queries", "2")
    if command in ATTACKS or command == "attack":
        return attack_words("run", "p2p" if command == "attack" else command)
    return (command,)


def joined(command: str, given: tuple[str, ...], stage: Stage) -> tuple[str, ...]:
    """A good command with other values of some options."""
    words = list(base(command, stage))
    if given and given[0] in words and len(given) == 2:
        at = words.index(given[0])
        del words[at : at + 2]
    return (*words, *given)


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One option has another value."""
    if number < len(EXACT):
        title, (command, *given), wanted = EXACT[number]
        words = joined(command, tuple(given), stage)
        if command == "attack-none":
            words = ("attack", "no-such-attack", "run")
    else:
        # Every option in turn, each time with another value.
        options = every_option()
        option = options[(number - len(EXACT)) % len(options)]
        value, wanted = value_for(option, rng)
        command = option.command
        # A value that begins with a minus belongs to its option.
        words = (*joined(command, (option.flag, value), stage)[:-2], f"{option.flag}={value}")
        title = f"{command} {option.flag} {value[:40]!r}"

    def prepare(work: Path) -> None:
        stage.copy("codes.npz", "photos")(work)
        if command not in ("train", "evaluate"):
            stage.copy("run")(work)

    return Case(title, (words,), wanted=wanted, prepare=prepare, check=no_folder, inside=True)


def value_for(option: Option, rng: np.random.Generator) -> tuple[str, Wanted]:
    """A value for an option, and whether it may be accepted."""
    bad = {"whole": WHOLE, "number": NUMBER, "choice": WORD, "path": PATHS, "text": WORD}
    exempt = option.kind in ("path", "text") or option.flag == "--eps"
    # `none` and numbers in words are accepted by some: only what is surely wrong must be refused.
    if option.kind in ("whole", "number") and rng.random() < 0.4:
        return str(rng.choice(EDGE)), "either"
    return str(rng.choice(bad[option.kind])), "either" if exempt else "refused"


def no_folder(work: Path, ended: Any) -> str:
    """A refused training leaves no folder behind that would refuse the right one."""
    left = work / "run"
    fresh = left.is_dir() and not (left / "model").exists()
    if ended.code == 2 and fresh and (left / "run.json").exists():
        return "a run folder is left behind by a training that was refused"
    return ""
