"""Tables of several audits side by side, from their audit.json.

python benchmarks/audit_table.py audits/pdq audits/phash
"""

import argparse
import json
from pathlib import Path
from typing import Any


def cell(rate: dict[str, Any] | None) -> str:
    """A share in per cent with its interval."""
    if rate is None:
        return ""
    value = f"{100 * rate['value']:.0f}"
    if rate["low"] is None:
        return value
    return f"{value} [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"


def goal(record: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A goal of an audit, attacked through its own victim."""
    return next((g for g in record["goals"] if g["goal"] == name and not g["by"]), None)


def success(records: dict[str, dict[str, Any]], name: str) -> list[list[str]]:
    """Rows of the success of a goal over the budget."""
    levels = sorted(
        {r["eps"] for one in records.values() for g in one["goals"] for r in g["rates"]}
    )
    rows = [["victim", "radius", *(f"{eps * 255:.0f}/255" for eps in levels)]]
    for title, record in records.items():
        found = goal(record, name)
        rates = {} if found is None else {rate["eps"]: rate for rate in found["rates"]}
        rows.append([title, str(record["radius"]), *(cell(rates.get(eps)) for eps in levels)])
    return rows


def clean(records: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of what holds without an attack."""
    rows = [
        ["victim", "queries", "items", "match", "false matches", "effective bits", "eps for 50 %"]
    ]
    for title, record in records.items():
        false, evade = record["false_match"], goal(record, "evade")
        half = None if evade is None else evade["needed"][0]["value"]
        rows.append(
            [
                title,
                str(record["queries"]),
                str(record["items"]),
                cell(record["match"]),
                "" if false is None else f"{false['value']:.2g} (to {false['high']:.1g})",
                f"{record['health']['effective_distance']:.0f} of {record['health']['bits']}",
                "" if half is None else f"{half * 255:.0f}/255",
            ]
        )
    return rows


def edits(records: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of benign edits: the share that still matches."""
    names = [one["edit"] for one in next(iter(records.values()))["edits"]]
    rows = [["edit", *records]]
    for place, name in enumerate(names):
        cells = [
            f"{100 * r['edits'][place]['match']['value']:.0f}" if r["edits"] else ""
            for r in records.values()
        ]
        rows.append([name, *cells])
    return rows


def remedies(records: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of remedies, attacked by an adversary who knows them."""
    rows = [["victim", "remedy", "eps", "clean recall", "false matches", "evasion", "collision"]]
    for title, record in records.items():
        for one in record["remedies"]:
            false = "" if one["false_match"] is None else f"{one['false_match']:.2g}"
            eps = f"{255 * one['eps']:.0f}/255"
            cells = (cell(one[name]) for name in ("match", "evasion", "collision"))
            match, evasion, collision = cells
            rows.append([title, one["title"], eps, match, false, evasion, collision])
    return rows


def show(title: str, rows: list[list[str]]) -> None:
    """Prints a table in Markdown, where it has rows."""
    if len(rows) < 2:
        return
    print(f"\n{title}\n")
    for place, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if not place:
            print("|" + "---|" * len(row))


def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    given: list[Path] = parser.parse_args().folders
    records = {one.name: json.loads((one / "audit.json").read_text()) for one in given}
    show("Without an attack", clean(records))
    show("Evasion, % of the queries that match", success(records, "evade"))
    show("Collision with a random item, %", success(records, "collide"))
    show("Still match after an edit, %", edits(records))
    show("Remedies, attacked adaptively, %", remedies(records))


if __name__ == "__main__":
    main()
