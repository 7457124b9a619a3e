"""Every code block of the documentation runs, in order, in one folder per file.

A block is left out only by a comment directly above it, `<!-- not run: REASON -->`; then its
commands must still parse and its Python must still compile.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from hashprobe.cli import app as cli


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELLS = ("console", "bash", "sh")
# Looked at, not run: they fetch, move about or change the machine.
HARMLESS = {"cd", "git", "ls", "mkdir", "open", "source", "tar", "xdg-open"}
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
    cli.app.parse_args(arguments, exit_on_error=False, print_error=False)


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
    elif words[0] == "python" and words[1].startswith("benchmarks/"):
        source = (ROOT / words[1]).read_text() + (ROOT / "benchmarks/common.py").read_text()
        for flag in (word for word in words[2:] if word.startswith("--")):
            named = (f'"{flag}"', f"{flag.removeprefix('--')}={{")
            assert any(name in source for name in named), f"{words[1]} has no {flag}"
    elif words[0] in ("python", "python3"):
        assert words[1:3] == ["-m", "venv"], f"only python -m venv and pip are known: {line}"
    elif words[0].startswith((".", "/")):
        assert os.access(ROOT / words[0], os.X_OK), f"no such program here: {line}"
    else:
        assert words[0] in HARMLESS, f"what is {words[0]}? {line}"


def run_shell(block, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for line in commands(block):
        if not re.match(r"hashprobe(\s|$)", line):
            check_other(line)
        elif block.skipped:
            check_parses(line)
        else:
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


def run_page(text, name, folder):
    names = {"__name__": "__main__"}
    found = blocks(text)
    for block in found:
        if block.language == "python":
            run_python(block, name, names)
        else:
            run_shell(block, folder)
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_page(path.read_text(), str(path), tmp_path)
    if "decisions" not in path.parts:
        assert found, f"{path.name} has no code block: was the fence's language left out?"


def dead_links(text, folder):
    """The relative links of a page that lead nowhere."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [target for target in local if not (folder / target).exists()]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert dead_links(path.read_text(), path.parent) == []


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
        "<!-- not run: x -->\n```bash\nhashprobe no-such-command\n```",
        "<!-- not run: x -->\n```bash\nhashprobe evaluate a.npz --no-such-option 3\n```",
        "<!-- not run -->\n```python\nx = 1\n```",
        "```bash\nmake no-such-target\n```",
        "```bash\npip install '.[no-such-extra]'\n```",
        "```bash\nno-such-tool --now\n```",
        "```python\nx = 1",
    ],
)
def test_a_block_that_rots_is_noticed(page, tmp_path, capsys):
    with pytest.raises(BaseException):  # noqa: B017
        run_page(page, "page.md", tmp_path)


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
