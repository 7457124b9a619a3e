"""Recipes (YAML) with tags, bombs, other types and damaged bytes."""

from pathlib import Path

import numpy as np
from cases import Case, Wanted
from stage import Stage

from families.archives import PLANTED, unplanted
from families.mangle import mangled


GOOD = """\
evaluate:
  top: 10
  normaliser: hits
attack:
  p2p:
    queries: 2
    steps: 2
    eps: 0.03
    minimum: 1
"""
TOUCH = f"touch {PLANTED}"


def bomb(depth: int, width: int = 9) -> str:
    """Aliases of aliases: a few hundred bytes that stand for width ** depth values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, depth):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]")
    return "\n".join(lines) + "\n"


EVALUATE, ATTACK = "evaluate", "attack"
KNOWN: tuple[tuple[str, str | bytes, str, Wanted], ...] = (
    ("good", GOOD, EVALUATE, "ok"),
    ("good", GOOD, ATTACK, "ok"),
    ("empty", "", EVALUATE, "either"),
    ("comments alone", "# nothing\n", EVALUATE, "either"),
    ("a list", "- 1\n- 2\n", EVALUATE, "refused"),
    ("a number", "7\n", EVALUATE, "refused"),
    ("a text", "hello\n", EVALUATE, "refused"),
    ("an unknown section", "evaluat:\n  top: 3\n", EVALUATE, "refused"),
    ("a section that is a number", "7:\n  top: 3\n", EVALUATE, "refused"),
    ("a section that is a list", "? [1, 2]\n: 3\n", EVALUATE, "refused"),
    ("a section that is null", "null: 3\n", EVALUATE, "refused"),
    ("an unknown option", "evaluate:\n  topp: 3\n", EVALUATE, "refused"),
    ("a section without options", "evaluate:\n", EVALUATE, "either"),
    ("a section of text", "evaluate: hello\n", EVALUATE, "refused"),
    ("a section of a list", "evaluate: [1, 2]\n", EVALUATE, "refused"),
    ("a section twice", "evaluate:\n  top: 3\nevaluate:\n  top: 4\n", EVALUATE, "refused"),
    ("an option twice", "evaluate:\n  top: 3\n  top: 4\n", EVALUATE, "refused"),
    ("two documents", "evaluate:\n  top: 3\n---\nevaluate:\n  top: 4\n", EVALUATE, "refused"),
    ("a tab", "evaluate:\n\ttop: 3\n", EVALUATE, "refused"),
    ("an open bracket", "evaluate: [\n", EVALUATE, "refused"),
    ("Latin-1", b"evaluate:\n  top: \xe9\n", EVALUATE, "refused"),
    ("UTF-16", "evaluate:\n  top: 3\n".encode("utf-16"), EVALUATE, "either"),
    ("NUL", b"evaluate:\n  top: \0\n", EVALUATE, "refused"),
    ("a control character", b"evaluate:\n  top: \x1b\n", EVALUATE, "refused"),
    ("a planted call", f"evaluate: !!python/object/apply:os.system ['{TOUCH}']\n", EVALUATE, "refused"),
    ("a planted class", "evaluate: !!python/object/new:os.system ['x']\n", EVALUATE, "refused"),
    ("a planted name", "evaluate:\n  top: !!python/name:os.system\n", EVALUATE, "refused"),
    ("an unknown tag", "evaluate:\n  top: !mine 3\n", EVALUATE, "refused"),
    ("aliases of 9 ** 4 values", bomb(4) + "evaluate:\n  top: *a3\n", EVALUATE, "refused"),
    ("aliases of 9 ** 7 values", bomb(7) + "evaluate:\n  top: *a6\n", EVALUATE, "refused"),
    ("aliases of 9 ** 9 values", bomb(9) + "evaluate:\n  top: *a8\n", EVALUATE, "refused"),
    ("aliases in a section", "evaluate: &e\n  top: *e\n", EVALUATE, "refused"),
    ("aliases as a whole", bomb(7), EVALUATE, "refused"),
    ("an alias in its own list", "evaluate:\n  top: &a [*a]\n", EVALUATE, "refused"),
    ("10,000 brackets", "[" * 10_000 + "]" * 10_000, EVALUATE, "refused"),
    ("5,000 braces", "evaluate: " + "{a: " * 5000 + "1" + "}" * 5000, EVALUATE, "refused"),
    ("merge of itself", "evaluate: &e\n  <<: *e\n  top: 3\n", EVALUATE, "refused"),
    *((f"top: {value[:40]}", f"evaluate:\n  top: {value}\n", EVALUATE, "refused") for value in (
        "2.5", "2.0e", "many", "[1, 2]", "{a: 1}", ".nan", ".inf", "-1", "true", "2026-01-01",
        "!!binary aGVsbG8=", "!!set {a, b}", "9" * 5000, "0x1p3", "''", "12:30:45.5", "1_0.5",
        "~~", "[3]", "[[3]]", "!!float 2.5", "-.inf")),
    *((f"queries: {value}", f"attack:\n  p2p:\n    queries: {value}\n    steps: 1\n    minimum: 1\n",
       ATTACK, "refused") for value in
      ("2.9", ".inf", ".nan", "-1", "two", "[2]", "1e30", "true", "{a: 2}")),
    *((f"seed: {value}", f"attack:\n  p2p:\n    queries: 2\n    steps: 1\n    minimum: 1\n"
       f"    seed: {value}\n", ATTACK, "refused") for value in ("1.5", "-1", ".nan", "x", "[1]")),
    *((f"eps: {value}", f"attack:\n  p2p:\n    queries: 2\n    steps: 1\n    minimum: 1\n"
       f"    eps: {value}\n", ATTACK, "refused") for value in
      ("1/", "/255", "8/0", ".nan", ".inf", "-1", "[1]", "eight", "8/255/2", "true")),
)  # fmt: skip
"""A recipe, what runs with it, and whether it may be accepted."""


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One recipe."""
    if number < len(KNOWN):
        title, content, command, wanted = KNOWN[number]
        data = content if isinstance(content, bytes) else content.encode()
    else:
        data, title = mangled(GOOD.encode(), rng)
        command, wanted = EVALUATE, "either"
    tail = ("evaluate", "codes.npz")
    if command == ATTACK:
        tail = ("attack", "p2p", "run")

    def prepare(work: Path) -> None:
        stage.copy("run" if command == ATTACK else "codes.npz")(work)
        (work / "recipe.yaml").write_bytes(data)

    return Case(
        title,
        (("--config", "recipe.yaml", *tail),),
        wanted=wanted,
        names=(
            "recipe.yaml",
            "top",
            "normaliser",
            "queries",
            "seed",
            "eps",
            "steps",
            "minimum",
            "codes.npz",
        ),
        prepare=prepare,
        check=unplanted,
    )
