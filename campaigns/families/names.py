"""Names of classes, pictures and attacks that are markup, formulas or terminal escapes."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from cases import Case, Ended
from stage import Stage, attack_words, train_words


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'><b>x",
    "</title><script>alert(1)",
    "</style><script>alert(1)",
    "-->x<!--",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "a|b|c",
    "*bold* _it_ `code`",
    "[x](javascript:alert(1))",
    "![x](http:x.test)",
    "=1+1",
    "+cmd",
    "-2+3",
    "@SUM(1)",
    "a\nb",
    "a\r\nSet-Cookie: b",
    "a\tb",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x08\x08\x08",
    "\u202egnp.exe",
    "\u2066a\u2069",
    "\u200b",
    "a\u0000b",
    "é" * 100,
    "e\u0301" * 50,
    "\U0001f408",
    "%s%n{0}",
    "$(touch x)",
    "`touch x`",
    "; touch x",
    "CON",
    "a" * 200,
    " a ",
    "#",
    "None",
    "nan",
    "1",
    "[bold]x[/bold]",
    "[/]",
    "[link=file:x]x[/link]",
)
"""Names; a slash is not possible in a file name and stands as another letter there."""


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """A whole audit with one hostile name, and a look at its page."""
    text = HOSTILE[number % len(HOSTILE)]
    where = ("class", "picture", "attack", "label")[(number // len(HOSTILE) + number) % 4]
    name = text.replace("/", "∕").replace("\0", "")
    root = "photos"
    training = train_words(root)
    attack = attack_words("run", "p2p")
    if where == "attack":
        attack = (*attack, f"--name={text}")
    if where == "label":
        more = (word for word in training[training.index("--size") :])
        training = ("train", "listfiles", "--root", root, "--lists", "lists", *more)

    def prepare(work: Path) -> None:
        stage.copy("photos", "lists")(work)
        if where == "class":
            os.rename(work / root / "cat", work / root / name)
        if where == "picture":
            for path in list((work / root / "cat").iterdir()):
                os.rename(path, path.with_name(f"{name[:100]}{path.name}"))
        if where == "label":
            names = f"{text}\ndog\n".encode("utf-8", "surrogateescape")
            (work / "lists" / "label_names.txt").write_bytes(names)

    commands = (
        training,
        ("encode", "run", "--workers", "0"),
        attack,
        ("report", "run", "--markdown"),
        ("report", "run"),
    )
    return Case(
        f"{where} {text[:40]!r}", commands, prepare=prepare, check=lambda w, e: page(w, e, text)
    )


class Runs(HTMLParser):
    """Finds what a browser would run: attributes such as onerror, links of JavaScript, a script."""

    def __init__(self) -> None:
        super().__init__()
        self.found = ""
        self.script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Looks at the attributes of one element."""
        self.script = tag == "script"
        for name, value in attrs:
            code = (value or "").strip().lower().startswith("javascript:")
            if name.startswith("on") or (code and name in ("href", "src", "action")):
                self.found = f"{name} of {tag}"

    def handle_data(self, data: str) -> None:
        """Looks for the planted script."""
        if self.script and "alert(1)" in data:
            self.found = "the planted script"


def page(work: Path, ended: Ended, text: str) -> str:
    """The page holds the name as text alone, and runs nothing."""
    if (work / "x").exists():
        return "a name was run as a command"
    path = work / "run" / "report.html"
    if ended.code or not path.exists():
        return ""
    content = path.read_text(encoding="utf-8", errors="surrogateescape")
    if text in content and re.search(r"[<>]", text):
        return f"the page holds the name as markup: {text!r}"
    seen = Runs()
    seen.feed(content)
    if seen.found:
        return f"the page would run {seen.found}"
    marks = {mark for mark in content if ord(mark) < 32 and mark not in "\n\r\t"}
    if marks:
        return f"the page holds control characters: {sorted(marks)!r}"
    if "Content-Security-Policy" not in content:
        return "the page has no Content-Security-Policy"
    return ""
