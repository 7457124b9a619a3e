"""Writes the page of the command line, `docs/reference/command-line.md`, from the commands."""

import re
import sys
from pathlib import Path
from unittest.mock import patch

from cyclopts.docs.markdown import generate_markdown_docs

from hashprobe.cli.app import build_app
from hashprobe.cli.attack import OTHERS


PAGE = Path(__file__).parents[1] / "reference" / "command-line.md"
OPENING = """# Command line

<!-- `make docs` writes this page from the commands: change their help texts instead. -->

"""
SHARED = "Every attack has these arguments and parameters, and those of its own that follow below."
ALWAYS = ("* `--config PATH`", "* `--debug`")
"""Options of every command."""


def page() -> str:
    """The page: every command with its options; what all attacks share is listed once."""
    # Commands without a name of their own are called by that of the running program.
    with patch.object(sys, "argv", ["hashprobe"]):
        text = generate_markdown_docs(build_app(), generate_toc=False)
    title, *sections = re.split(r"^(?=#+ )", text.replace("```console", "```text"), flags=re.M)[1:]
    sections = [without(section, always(section)) for section in sections]
    # Those that are no attacks of the registry have options of their own.
    attack = f"### hashprobe attack (?!({'|'.join(OTHERS)})\n)"
    attacks = [s for s in sections if re.match(attack, s)]
    shared = [item for item in items(attacks[0]) if all(item in items(a) for a in attacks)]
    parts = [OPENING, title.partition("\n\n")[2]]
    for section in sections:
        if section in attacks:
            section = without(section, shared)
        elif section.startswith("## hashprobe attack\n"):
            options = section.partition("**Arguments**")[2]
            section = without(section, [item for item in items(options) if item not in shared])
            section = section.replace("**Arguments**", f"{SHARED}\n\n**Arguments**")
        parts.append(section)
    whole = re.sub(r"^\*\*[^*\n]+\*\*:\n+(?=#|\*\*|\Z)", "", "".join(parts), flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", whole).strip() + "\n"


def items(section: str) -> list[str]:
    """The list items of a section, each with all its lines."""
    return re.findall(r"^\* .*\n(?: +\S.*\n)*", section + "\n", flags=re.M)


def always(section: str) -> list[str]:
    """The items that stand at the top of the page, and those that say nothing."""
    return [
        item for item in items(section) if item.startswith(ALWAYS) or re.fullmatch(r".*`:\s*", item)
    ]


def without(section: str, unwanted: list[str]) -> str:
    """A section without some of its items."""
    for item in unwanted:
        section = section.replace(item, "", 1)
    return section


if __name__ == "__main__":
    PAGE.write_text(page())
