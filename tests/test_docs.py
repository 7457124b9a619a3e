"""Every code block of the documentation runs, in order, in one folder per file; no link is dead.

A block is left out only by a comment directly above it, `<!-- not run: REASON -->`; then its
commands must still parse and its Python must still compile. `make docs` builds the site itself.
"""

import contextlib
import doctest
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from hashprobe.cli import app as cli
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.evaluation.perceptibility import Perceptibility
from hashprobe.workflow.comparison import Compared


ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NO_CODE_NEEDED = ("reference", "explanation", "results")
"""Folders whose pages may do without a code block."""
SHELLS = ("console", "bash", "sh")
# Looked at, not run: they fetch, move about or change the machine.
HARMLESS = {"cd", "git", "ls", "mkdir", "open", "ray", "source", "tar", "xdg-open"}
LIMIT_S = 600


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    skipped: str | None = None


def blocks(text):
    """The fenced blocks of a page that name a language which is checked here."""
    lines, found, place = text.split("\n"), [], 0
    while place < len(lines):
        fence = re.fullmatch(r"( *)(`{3,}|~{3,})\s*(\w*)[^`]*", lines[place])
        if not fence:
            place += 1
            continue
        indent, mark, language = fence.groups()
        end = place + 1
        while end < len(lines) and lines[end].strip() != mark:
            end += 1
        assert end < len(lines), f"the block in line {place + 1} is never closed"
        body = "\n".join(line.removeprefix(indent) for line in lines[place + 1 : end])
        above = lines[place - 1].strip() if place else ""
        note = re.fullmatch(r"<!-- not run: (.+?) *-->", above)
        assert note or not above.startswith("<!-- not run"), f"line {place}: say why: {above}"
        if language in ("python", *SHELLS):
            found.append(Block(language, body, place + 1, note[1] if note else None))
        place = end + 1
    return found


def commands(block):
    """The command lines of a shell block: without prompts, comments and output."""
    text = re.sub(r"\\\n\s*", "", block.code)
    lines = [line.strip() for line in text.split("\n")]
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:].strip() for line in lines if line.startswith("$ ")]
    return [line for line in lines if line and not line.startswith("#")]


def hashprobe_arguments(line):
    """The arguments of a `hashprobe` line up to a pipe or a redirection."""
    words = shlex.split(line, comments=True)[1:]
    ends = [place for place, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";")]
    return words[: ends[0]] if ends else words


def check_parses(line):
    arguments = hashprobe_arguments(line)
    if "--config" in arguments:
        place = arguments.index("--config")
        del arguments[place : place + 2]
    arguments = [word for word in arguments if word != "--debug"]
    cli.build_app().parse_args(arguments, exit_on_error=False, print_error=False)


def check_other(line):
    """A line that is not hashprobe's own: does it make sense here?"""
    words = shlex.split(line, comments=True)
    if words[:3] in (["python", "-m", "pip"], ["python3", "-m", "pip"]):
        words = words[2:]
    if words[0] == "make":
        known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        wanted = [word for word in words[1:] if "=" not in word]
        assert set(wanted) <= set(known), f"the Makefile has no such target: {line}"
    elif words[0] == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert words[1] == "install", line
        for word in words[2:]:
            if extras := re.search(r"(?:^\.|hashprobe)\[(.*)\]", word):
                named = {name.strip() for name in extras[1].split(",")}
                assert named <= set(project["optional-dependencies"]), f"no such extra: {line}"
    elif words[0] == "python" and words[1].startswith(("benchmarks/", "campaigns/")):
        source = (ROOT / words[1]).read_text()
        source += (ROOT / words[1]).with_name("common.py").read_text()
        for flag in (word for word in words[2:] if word.startswith("--")):
            named = (f'"{flag}"', f"{flag.removeprefix('--')}={{")
            assert any(name in source for name in named), f"{words[1]} has no {flag}"
    elif words[0] in ("python", "python3"):
        assert words[1:3] == ["-m", "venv"], f"only python -m venv and pip are known: {line}"
    elif words[0].startswith((".", "/")):
        assert os.access(ROOT / words[0], os.X_OK), f"no such program here: {line}"
    else:
        assert words[0] in HARMLESS, f"what is {words[0]}? {line}"


def run_shell(block, folder, hashprobe):
    for line in commands(block):
        if not re.match(r"hashprobe(\s|$)", line):
            check_other(line)
        elif block.skipped:
            check_parses(line)
        elif hashprobe_arguments(line) == shlex.split(line, comments=True)[1:]:
            # A new interpreter would say the same, seconds later.
            with contextlib.chdir(folder):
                said = hashprobe(*hashprobe_arguments(line))
            assert said.code == 0, f"{line}\n{said.out}\n{said.err}"
        else:
            in_a_shell(line, folder)


def in_a_shell(line, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def run_python(block, page, names):
    if ">>> " in block.code:
        test = doctest.DocTestParser().get_doctest(block.code, names, page, page, block.line)
        if not block.skipped:
            result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
                test, clear_globs=False
            )
            assert result.failed == 0, f"{page}, line {block.line}"
            names.update(test.globs)
        return
    # Blank lines first, so that a traceback shows the page's own line number.
    code = compile("\n" * block.line + block.code, page, "exec")
    if not block.skipped:
        exec(code, names)


def given_at_the_door():
    """What the first lines of README and site take as given: a network, pictures and labels."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pooled = (torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(3 * 64, 48))
    return {
        "net": torch.nn.Sequential(*pooled),
        "MEAN": (0.485, 0.456, 0.406),
        "STD": (0.229, 0.224, 0.225),
        "database_images": rng.integers(0, 256, size=(60, 3, 224, 224), dtype=np.uint8),
        "database_labels": np.arange(60) % 3,
        "query_images": rng.integers(0, 256, size=(4, 3, 224, 224), dtype=np.uint8),
        "query_labels": np.arange(4) % 3,
    }


def run_page(text, name, folder, hashprobe=None, given=None):
    names = {"__name__": "__main__", **(given or {})}
    found = blocks(text)
    for block in found:
        if block.language == "python":
            run_python(block, name, names)
        else:
            run_shell(block, folder, hashprobe)
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_blocks_run(path, tmp_path, monkeypatch, hashprobe):
    monkeypatch.chdir(tmp_path)
    given = given_at_the_door() if path in (ROOT / "README.md", DOCS / "index.md") else None
    found = run_page(path.read_text(), str(path), tmp_path, hashprobe, given)
    if path.parent.name not in NO_CODE_NEEDED:
        assert found, f"{path.name} has no code block: was the fence's language left out?"


def relative_links(text):
    """The links and pictures of a page that are files beside it."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def dead_links(text, folder):
    """The relative links of a page that lead nowhere."""
    return [target for target in relative_links(text) if not (folder / target).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = path.read_text()
    assert dead_links(text, path.parent) == []
    if DOCS in path.parents:
        outside = [
            t for t in relative_links(text) if DOCS not in (path.parent / t).resolve().parents
        ]
        assert outside == [], "the site holds docs/ alone"


def pages_in(nav):
    """The pages of a navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages_in(part)]


def test_the_navigation_names_every_page_once():
    named = pages_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(named) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_every_package_has_a_page_in_the_reference():
    for face in (ROOT / "src" / "hashprobe").glob("*/__init__.pyi"):
        page = DOCS / "reference" / f"{face.parent.name}.md"
        assert f"::: hashprobe.{face.parent.name}\n" in page.read_text()


def test_the_page_of_the_command_line_is_that_of_the_commands():
    spec = importlib.util.spec_from_file_location("command_line", DOCS / "tools/command_line.py")
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    assert writer.PAGE.read_text() == writer.page(), "make docs writes it"


def test_every_field_of_a_record_is_documented():
    page = (ROOT / "docs" / "reference" / "records.md").read_text()
    for name, kind in (("evaluation", Evaluation), ("visibility", Perceptibility)):
        table = page.split(f"<!-- {name} -->")[1].split("\n\n")[0]
        named = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
        assert named == [field.name for field in fields(kind)]


def test_every_field_of_a_comparison_is_documented():
    page = (ROOT / "docs" / "reference" / "records.md").read_text()
    rows = page.split("<!-- compared -->")[1].split("\n\n")[0].splitlines()[3:]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(Compared("a", "none", None, None).to_json())


def test_the_readme_needs_no_files_on_a_package_index():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text()
    assert relative_links(text)
    for rule in hook["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    assert relative_links(text) == []


# What follows proves that the checks above can fail.

PAGE = """
```python
x = 3
```
Text.
<!-- not run: it takes a day -->
```console
$ hashprobe evaluate codes.npz --top 5
$ make demo
any output
```
  ~~~bash
  # a comment
  pip install \\
     'hashprobe[lite]'
  ~~~
```json
{}
```
"""


def test_blocks_and_their_commands_are_found():
    python, console, bash = blocks(PAGE)
    assert (python.code, python.line, python.skipped) == ("x = 3", 2, None)
    assert console.skipped == "it takes a day"
    assert commands(console) == ["hashprobe evaluate codes.npz --top 5", "make demo"]
    assert commands(bash) == ["pip install 'hashprobe[lite]'"]
    assert hashprobe_arguments("hashprobe evaluate 'a b.npz' --json | head") == [
        "evaluate",
        "a b.npz",
        "--json",
    ]


@pytest.mark.parametrize(
    "page",
    [
        "```python\n1 / 0\n```",
        "```python\n>>> 1 + 1\n3\n```",
        "<!-- not run: x -->\n```python\n1 +\n```",
        "```bash\nhashprobe no-such-command\n```",
        "```bash\nhashprobe no-such-command | cat\n```",
        "<!-- not run: x -->\n```bash\nhashprobe no-such-command\n```",
        "<!-- not run: x -->\n```bash\nhashprobe evaluate a.npz --no-such-option 3\n```",
        "<!-- not run -->\n```python\nx = 1\n```",
        "```bash\nmake no-such-target\n```",
        "```bash\npip install '.[no-such-extra]'\n```",
        "```bash\nno-such-tool --now\n```",
        "```python\nx = 1",
    ],
)
def test_a_block_that_rots_is_noticed(page, tmp_path, capsys, hashprobe):
    with pytest.raises(BaseException):  # noqa: B017
        run_page(page, "page.md", tmp_path, hashprobe)


def test_a_dead_link_is_noticed(tmp_path):
    (tmp_path / "here.md").touch()
    page = "[a](here.md) [b](here.md#part) [c](https://example.org/x) [d](gone.md)"
    assert dead_links(page, tmp_path) == ["gone.md"]


def test_blocks_of_a_page_share_names_and_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = "```python\nfrom pathlib import Path\nx = 3\n```"
    page += "\n```python\nassert x == 3\nPath('a').write_text('1')\n```"
    page += "\n```python\n>>> x\n3\n>>> y = 4\n```\n```python\nassert y == 4\n```"
    assert len(run_page(page, "page.md", tmp_path)) == 4
    assert (tmp_path / "a").read_text() == "1"
