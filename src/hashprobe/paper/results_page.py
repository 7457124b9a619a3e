"""All results of a setting as one HTML page that needs no other file."""

from collections.abc import Sequence
from typing import Any

from hashprobe.paper.claims import verdicts
from hashprobe.paper.plots import Drawing
from hashprobe.paper.result import Entry, Result
from hashprobe.paper.tables import published_rows, signatures, unit
from hashprobe.report.figures import themed
from hashprobe.report.page import POLICY, secured, template
from hashprobe.storage.environment import environment, hashprobe_version


def page(results: Sequence[tuple[Result, Sequence[Drawing]]], command: str) -> str:
    """The page.

    Args:
        results: each with its figures, in the order of the page; at least one.
        command: what to type to get it again.

    Returns:
        HTML that asks for no network.
    """
    setting = results[0][0].setting
    victims = {victim.name: victim for result, _ in results for victim in result.victims}
    seconds = {name: s for result, _ in results for name, s in result.seconds().items()}
    facts = [
        ("Data", setting.title),
        ("Scale", setting.scale),
        ("Attacks", setting.preset),
        ("Queries", str(setting.queries)),
        ("Runs of each attack", str(setting.repeats)),
        ("Attacks computed", computed(results[0][0])),
        ("List length T", "whole database" if setting.top is None else f"{setting.top:,}"),
        ("Training and attacks", f"{sum(seconds.values()) / 60:.0f} min in all"),
    ]
    filled = template("paper", "results_page.html.jinja").render(
        policy=POLICY,
        title=f"The experiments of DHTA on {setting.title}",
        facts=facts,
        changes=setting.changes(),
        parts=[part(result, drawings) for result, drawings in results],
        victims=sorted(victims.values(), key=lambda v: (v.loss, v.name.count("without"), v.bits)),
        command=command,
        version=hashprobe_version(),
        machine=f"{environment()['cpus']} cores, {environment()['platform']}",
    )
    return secured(filled)


def computed(result: Result) -> str:
    """In which mode the attacks were computed, by their records."""
    modes = [done.record.recipe.get("deterministic") for done in result.attacks.values()]
    known = {f"in batches of {m['batch_size']} by {m['threads']} threads" for m in modes if m}
    return "; ".join(sorted(known)) or "in batches as the memory allowed"


def part(result: Result, drawings: Sequence[Drawing]) -> dict[str, Any]:
    """One recipe as the template takes it; figures of pictures show no table."""
    from markupsafe import Markup

    recipe, said = result.recipe, verdicts(result)
    number = recipe.source.split(",", 1)[-1].split("(")[0].strip()
    pictures = recipe.show in ("examples", "pictures")
    rows = [
        (row.name, [cell(result.grid[i, j]) for j in range(len(recipe.columns))])
        for i, row in enumerate(recipe.rows)
    ]
    return {
        "name": recipe.name,
        "title": f"{number}: {recipe.title}" if number[:1].isupper() else recipe.title,
        "source": recipe.source,
        "text": recipe.text,
        "figures": [
            {"svg": Markup(themed(d.svg, d.name, d.caption)), "caption": d.caption}
            for d in drawings
        ],
        "columns": [column.name for column in recipe.columns],
        "rows": [] if pictures else rows,
        "published": published_rows(result),
        "unit": unit(result),
        "claims": said,
        "held": sum(verdict.holds for verdict in said),
        "signatures": signatures(result),
    }


def cell(entry: Entry) -> tuple[str, str]:
    """Value and interval as text."""
    value, _, interval = str(entry).partition(" ")
    return value, interval
