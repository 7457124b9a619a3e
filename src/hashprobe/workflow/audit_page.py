"""The page of an audit: one HTML file with its figures and pictures inside."""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from hashprobe.report.content import Curve
from hashprobe.report.figures import curve_figure, themed
from hashprobe.report.page import POLICY, secured, template
from hashprobe.report.pictures import amplification, amplified_difference, crisp, data_address
from hashprobe.storage.files import write_bytes
from hashprobe.workflow.audit_result import AuditResult, Sample
from hashprobe.workflow.audit_words import (
    NOUNS,
    headline,
    levels,
    noun,
    tables,
    verdict,
)


CURVES = 6
"""Most curves of a figure; tables show the others."""
SIDE = 224
"""Pixels of a picture's longer side on the page."""
NOTES = {
    "What an adversary reaches": (
        "Success counts the queries that have the goal at a budget, by the code of the 8-bit "
        "picture. A change that fits into a budget fits into every larger one."
    ),
    "How little is enough": (
        "The smallest budget at which so many of the queries have the goal, each with its own."
    ),
    "Success over searches": (
        "At the largest budget. A query that has the goal at a smaller one counts with its "
        "searches there."
    ),
    "Benign edits": "What happens to pictures that nobody attacks.",
    "What helps": (
        "Each remedy is attacked by an adversary who knows it. Clean recall is the share of "
        "untouched queries that still match their own source through it; the database stays as it "
        "is stored, except for a hardened network, which gives it new codes."
    ),
    "Other radii": "Each radius is attacked anew.",
}


def write_audit_page(result: AuditResult, path: Path) -> int:
    """Writes the page, whole or not at all; its size in bytes."""
    content = render_audit(result).encode()
    write_bytes(path, content)
    return len(content)


def render_audit(result: AuditResult) -> str:
    """The whole page as text; it asks for no other file and no network."""
    pairs = [(one.image, one.attacked) for one in result.samples]
    factor = amplification(pairs)
    page = template("report", "audit.html.jinja").render(
        title=f"Audit of {result.victim['name']}",
        facts=facts(result),
        headline=headline(result),
        verdict=verdict(result),
        figures=figures(result),
        tables=[
            (title, NOTES.get(title, ""), heads, rows) for title, heads, rows in tables(result)
        ],
        examples=[example(one, factor, result.radius) for one in result.samples],
        factor=factor,
        radius=result.radius,
        health=health(result),
        findings=() if result.health is None else result.health.findings,
        notes=result.notes,
        signatures=signatures(result),
        command=result.command,
        version=result.version,
        created=result.created,
        policy=POLICY,
    )
    return secured(page)


def facts(result: AuditResult) -> list[tuple[str, str]]:
    """What was audited, below the title."""
    rows = [
        ("Code", f"{result.victim['bits']} bits"),
        ("Queries", f"{result.queries:,}"),
        ("Database", f"{result.items:,} items"),
        ("Radius", str(result.radius)),
        ("Adversary", "query access" if result.options.access == "query" else "has the network"),
    ]
    if result.threshold is not None:
        rows[3] = ("Radius", str(result.threshold))
    return rows


def health(result: AuditResult) -> list[tuple[str, str]]:
    """What the database's bits are worth."""
    health = result.health
    if health is None:
        return []
    return [
        ("Effective bits", f"{health.effective_distance:.0f} of {health.bits}"),
        ("Share of ones", f"{100 * health.ones:.1f} %"),
        ("Constant bits", str(health.constant_bits)),
        ("Distinct codes", f"{health.distinct:,} of {health.items:,}"),
        ("Mean distance", f"{health.mean_distance:.1f} bits"),
    ]


def figures(result: AuditResult) -> list[dict[str, Any]]:
    """Success over eps with the benign edits, over searches, and over the radius."""
    makes = (success_figure, search_figure, radius_figure)
    return [made for made in (make(result) for make in makes) if made]


def success_figure(result: AuditResult) -> dict[str, Any] | None:
    """Success of every goal over the budget."""
    curves = [
        Curve(
            noun(goal),
            [0.0, *(eps * 255 for eps, _ in goal.rates)],
            [0.0, *(rate.value for _, rate in goal.rates)],
        )
        for goal in result.goals
        if len(goal.rates) > 1 or not goal.by
    ]
    if not curves:
        return None
    # Edits that some queries bear and others do not say most.
    worst = sorted(result.edits, key=lambda edit: abs(edit.match.value - 0.7))[:3]
    lines = [
        Curve(
            f"{edit.title} (no attack)",
            [0.0, 255 * max(result.options.eps)],
            [1 - edit.match.value] * 2,
        )
        for edit in worst
    ]
    svg = curve_figure(
        [*curves, *lines][:CURVES], x_label="largest change of a pixel, in grey levels",
        y_label="share of the queries", salt="success",
    )  # fmt: skip
    note = "Level lines: queries that fail to match after a benign edit." if lines else ""
    title = "Success over the budget"
    return {"title": title, "note": note, "svg": Markup(themed(svg, "success", title))}


def search_figure(result: AuditResult) -> dict[str, Any] | None:
    """Success of every goal over the searches of a picture, with query access."""
    curves = [
        Curve(
            noun(goal),
            [0.0, *(float(most) for most, _ in goal.searches)],
            [0.0, *(rate.value for _, rate in goal.searches)],
        )
        for goal in result.goals
        if goal.searches
    ]
    if not curves:
        return None
    svg = curve_figure(
        curves[:CURVES],
        x_label="searches a picture",
        y_label="share of the queries",
        salt="searches",
    )
    title = f"Success over searches at {levels(max(result.options.eps))}"
    return {"title": title, "note": "", "svg": Markup(themed(svg, "searches", title))}


def radius_figure(result: AuditResult) -> dict[str, Any] | None:
    """What matches falsely at each radius, and what an adversary reaches at some."""
    curves = []
    top = min(result.victim["bits"], max(4 * result.radius, result.radius + 10))
    if result.false_matches is not None:
        rates = result.false_matches.curve[: top + 1]
        curves.append(Curve("false matches", np.arange(len(rates)), rates))
    for name in ("evasion", "collision", "match"):
        points = [
            (p.radius, getattr(p, name)) for p in result.radii if getattr(p, name) is not None
        ]
        if points:
            label = "clean recall" if name == "match" else name
            curves.append(Curve(label, [p for p, _ in points], [v for _, v in points]))
    if not curves:
        return None
    svg = curve_figure(curves, x_label="radius, in bits", y_label="share", salt="radius")
    at = f" at {levels(result.radii[0].eps)}" if result.radii else ""
    title = f"Over the radius{at}"
    return {"title": title, "note": "", "svg": Markup(themed(svg, "radius", title))}


def example(sample: Sample, factor: int, radius: int) -> dict[str, Any]:
    """What the page shows of an attacked picture."""
    difference = amplified_difference(sample.image, sample.attacked, factor)
    return {
        "name": sample.name,
        "goal": NOUNS.get(sample.goal, sample.goal).capitalize(),
        "eps": levels(sample.eps),
        "image": data_address(sample.image, SIDE),
        "attacked": data_address(sample.attacked, SIDE),
        "difference": data_address(difference, SIDE, smooth=False),
        "crisp": crisp(sample.image),
        "lists": [
            (
                name,
                [{"id": i, "distance": d, "own": own, "match": d <= radius} for i, d, own in items],
            )
            for name, items in (("Before", sample.before), ("After", sample.after))
        ],
    }


def signatures(result: AuditResult) -> list[tuple[str, str]]:
    """Every signature on the page, once."""
    found = [] if result.match is None else [("match", result.match.signature)]
    if result.false_match is not None:
        found.append(("false matches", result.false_match.signature))
    for goal in result.goals:
        found += [(noun(goal), rate.signature) for _, rate in goal.rates[-1:]]
        found += [(f"smallest eps, {noun(goal)}", one.signature) for one in goal.needed]
    found += [("benign edits", edit.match.signature) for edit in result.edits[:1]]
    return list(dict.fromkeys(found))
