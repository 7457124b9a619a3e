"""Writes the numbers of the campaigns, from their JSON files, into docs/results/reliability.md."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from cases import FAULTS, GOOD


PAGE = Path(__file__).parents[1] / "docs" / "results" / "reliability.md"
BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
TITLES = {
    "inputs": "Malformed inputs",
    "kills": "Kills",
    "disk": "Disks and outputs",
    "pairs": "Two commands on one folder",
    "workers": "Lost workers",
}


def section(content: dict[str, Any]) -> str:
    """One campaign as Markdown."""
    rows = content["rows"]
    heads = ["kind", "cases", *GOOD, *FAULTS]
    lines = [
        f"### {TITLES[content['campaign']]}",
        "",
        f"Seed {content['seed']}, {content['seconds'] / 60:.0f} minutes with {content['jobs']} "
        f"processes on {content['machine']}.",
        "",
        f"| {' | '.join(heads)} |",
        f"|---|{'---:|' * (len(heads) - 1)}",
        *(f"| {' | '.join(str(row[head]) for head in heads)} |" for row in rows),
    ]
    lines += ["", *(f"Skipped: {text}." for text in content["skipped"])]
    faults = content["faults"]
    cells = [
        [text_cell(fault[name]) for name in ("again", "outcome", "input", "seen")]
        for fault in faults[:40]
    ]
    if cells:
        lines += ["", "| command | outcome | input | seen |", "|---|---|---|---|"]
        lines += [f"| `{again}` | {' | '.join(rest)} |" for again, *rest in cells]
        lines += ["", f"{len(faults) - 40} more faults are in the JSON file."] * (len(faults) > 40)
    return "\n".join(lines).rstrip() + "\n"


def text_cell(text: str) -> str:
    """A text as one cell of a Markdown table, without markup of its own."""
    short = " ".join(text.split())[:160]
    for mark in "\\|`*_<>[]&":
        short = short.replace(mark, f"&#{ord(mark)};")
    return short


def filled(page: str, contents: list[dict[str, Any]]) -> str:
    """A page with the numbers of some campaigns between its two marks."""
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise SystemExit(f"the page lacks the marks {BEGIN} and {END}")
    order = list(TITLES)
    contents = sorted(contents, key=lambda content: order.index(content["campaign"]))
    return f"{head}{BEGIN}\n\n{chr(10).join(map(section, contents))}\n{END}{tail}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", nargs="+", type=Path, help="files that the campaigns wrote")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that is changed")
    options = parser.parse_args()
    contents = [json.loads(path.read_text()) for path in options.json]
    options.page.write_text(filled(options.page.read_text(), contents))
    print(f"wrote {options.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
