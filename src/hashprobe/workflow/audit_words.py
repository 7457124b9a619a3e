"""An audit in words and tables: the verdict, plain text, Markdown."""

from collections.abc import Sequence

import numpy as np

from hashprobe.evaluation.measurement import Measurement
from hashprobe.report.escape import in_markdown
from hashprobe.workflow.audit_findings import GATE
from hashprobe.workflow.audit_result import AuditResult, GoalResult


ENDS = {
    "evade": "no longer match it",
    "collide": "match it",
    "enter": "match it",
}
BEFORE = {
    "evade": "that match their own source today",
    "collide": "that do not match a chosen item today",
    "enter": "that do not match the block list today",
}
NOUNS = {"evade": "evasion", "collide": "collision", "enter": "hit on the list"}
"""The measure of a goal."""
HIGH, LOW = 0.5, 0.05
"""Shares from which a goal counts as reached by most, and by hardly any."""


def levels(eps: float) -> str:
    """A budget in grey levels.

    Example:
        >>> levels(4 / 255), levels(0.1)
        ('4/255', '25.50/255')
    """
    n = eps * 255
    return f"{n:.0f}/255" if abs(n - round(n)) < 1e-6 else f"{n:.2f}/255"


def percent(value: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.784), percent(0.0004)
        ('78 %', '0.04 %')
    """
    share = 100 * value
    return f"{share:.0f} %" if share >= 10 or not share else f"{share:.2g} %"


def percents(value: float | None) -> str:
    """A share with one decimal; empty where there is none."""
    return "" if value is None else f"{100 * value:.1f} %"


def share(measured: Measurement | None) -> str:
    """The value of a measurement with one decimal; empty where there is none."""
    return percents(None if measured is None else measured.value)


def noun(goal: GoalResult) -> str:
    """What a goal is called in tables, with the surrogate that pictures were crafted on."""
    by = f", crafted on {goal.by}" if goal.by else ""
    return f"{NOUNS.get(goal.name, goal.name)}{by}"


def headline(result: AuditResult) -> str:
    """What an adversary can do, in one sentence."""
    worst = worst_of(result)
    if worst is None:
        known = result.labels is not None
        return label_sentence(result) if known else "No goal of an adversary could be attacked."
    goal, eps, share = worst
    who = "With query access alone: " if result.options.access == "query" else ""
    if share <= LOW:
        return (
            f"{who}The attacks reach their goals for {percent(share)} of the pictures at most, up "
            f"to {levels(max(result.options.eps))}."
        )
    return who + sentence(goal, eps, share)


def worst_of(result: AuditResult) -> tuple[GoalResult, float, float] | None:
    """The goal that most queries reach, at the smallest budget at which most do, and the share."""
    found = [(goal, eps, rate.value) for goal in result.goals for eps, rate in goal.rates]
    if not found:
        return None
    most = [each for each in found if each[2] >= HIGH]
    if most:
        return min(most, key=lambda each: (each[1], -each[2]))
    return max(found, key=lambda each: each[2])


def sentence(goal: GoalResult, eps: float, share: float) -> str:
    """How many queries reach a goal at a budget, in absolute numbers."""
    count = round(share * goal.queries)
    before = BEFORE.get(goal.name, "")
    by = f", crafted on {goal.by}" if goal.by else ""
    return (
        f"Of {goal.queries} pictures {before}, {count} {ENDS.get(goal.name, 'reach the goal')} "
        f"after a change of at most {levels(eps)} a pixel{by}."
    )


def label_sentence(result: AuditResult) -> str:
    """How far the results of another label come up."""
    labels = result.labels
    if labels is None or labels.achieved is None or labels.floor is None:
        return ""
    return (
        f"Steered to another label, its items fill {percent(labels.achieved.value)} of the results "
        f"(t-MAP; {percent(labels.floor.value)} untouched) at {levels(max(result.options.eps))}."
    )


def verdict(result: AuditResult) -> list[str]:
    """What was found, a sentence each."""
    said = [sentence(goal, *at) for goal in result.goals if (at := telling(goal)) is not None]
    said = [text for text in said if not headline(result).endswith(text)]
    if (text := label_sentence(result)) and text != headline(result):
        said.append(text)
    if result.match is None:
        said.append("The database holds no item of any query's source.")
    else:
        known = int(np.isfinite(result.match.per_query).sum())
        said.append(
            f"{percent(result.match.value)} of {known} untouched queries match their own source "
            f"within radius {result.radius}."
        )
    if result.false_matches is not None and (rate := result.false_match) is not None:
        high = "" if rate.high is None else f" (at most {percent(rate.high)} with 95 % confidence)"
        said.append(
            f"Of {result.false_matches.pairs:,} pairs of different pictures {percent(rate.value)} "
            f"match falsely{high}."
        )
    weak = [edit for edit in result.edits if edit.match.value < HIGH]
    if weak:
        names = ", ".join(edit.title for edit in weak)
        said.append(f"Fewer than half of the queries still match after benign edits: {names}.")
    if (remedy := best_remedy(result)) is not None:
        said.append(remedy)
    found = () if result.health is None else result.health.findings
    said += [f"{text[:1].upper()}{text[1:]}." for text in found]
    return said


def best_remedy(result: AuditResult) -> str | None:
    """Which remedy leaves most of all queries matching after an attack; None without any."""
    left = [
        (one.match.value * (1 - one.evasion.value), one)
        for one in result.remedies
        if one.match is not None and one.evasion is not None
    ]
    own = result.goal("evade")
    if not left or own is None or result.match is None:
        return None
    most, best = max(left, key=lambda each: each[0])
    rate = dict(own.rates)[best.eps]
    without = result.match.value * (1 - rate.value)
    at = f"after an attack of {levels(best.eps)}"
    if most <= without:
        return f"No remedy helps: {percent(without)} of the queries match {at} without any."
    return (
        f"Of the remedies, {best.title} helps most: {percent(most)} of all queries still match "
        f"{at} through it, {percent(without)} without any; untouched, {share(best.match)} do."
    )


def telling(goal: GoalResult) -> tuple[float, float] | None:
    """The smallest budget at which most queries reach a goal, or else the largest."""
    if not goal.rates:
        return None
    for eps, rate in goal.rates:
        if rate.value >= HIGH:
            return eps, rate.value
    return goal.rates[-1][0], goal.rates[-1][1].value


def interval(value: object) -> str:
    """The bounds of a measurement in per cent."""
    low, high = getattr(value, "low", None), getattr(value, "high", None)
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def goal_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a goal and a budget each."""
    heads = ["goal", "queries", "eps", "success %", "95 % interval", "bits moved"]
    rows = [
        [
            noun(goal),
            str(goal.queries),
            levels(eps),
            f"{100 * rate.value:.1f}",
            interval(rate),
            f"{moved:.1f}",
        ]
        for goal in result.goals
        for (eps, rate), moved in zip(goal.rates, goal.moved, strict=True)
    ]
    return heads, rows


def needed_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: the budget that a share of the queries needs."""
    shares = [f"{100 * one.share:g} %" for one in result.goals[0].needed] if result.goals else []
    rows = []
    for goal in result.goals:
        cells = ["not reached" if one.value is None else levels(one.value) for one in goal.needed]
        rows.append([noun(goal), *cells])
    return ["smallest eps for", *shares], rows


def search_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: success within so many searches, for an adversary with query access."""
    rows = [
        [noun(goal), f"{most:,}", f"{100 * rate.value:.1f}", interval(rate)]
        for goal in result.goals
        for most, rate in goal.searches
    ]
    return ["goal", "searches", "success %", "95 % interval"], rows


def edit_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a benign edit each."""
    rows = [
        [edit.title, f"{100 * edit.match.value:.1f}", interval(edit.match), f"{edit.moved:.1f}"]
        for edit in result.edits
    ]
    return ["benign edit", "still match %", "95 % interval", "bits moved"], rows


def remedy_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a remedy each."""
    rows = []
    for one in result.remedies:
        false = "" if one.false_match is None else f"{one.false_match:.2g}"
        clean, evasion, collision = (share(m) for m in (one.match, one.evasion, one.collision))
        rows.append([one.title, clean, false, evasion, collision, levels(one.eps)])
    heads = ["remedy", "clean recall", "false matches", "evasion", "collision", "eps"]
    return heads, rows


def radius_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: another radius each."""

    rows = [
        [
            str(point.radius),
            percents(point.match),
            "" if point.false_match is None else f"{point.false_match:.2g}",
            percents(point.evasion),
            percents(point.collision),
            levels(point.eps),
        ]
        for point in result.radii
    ]
    heads = ["radius", "clean recall", "false matches", "evasion", "collision", "eps"]
    return heads, rows


def list_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: the measures of result lists."""
    titles = {
        "recall": "recall of the source",
        "recall_attacked": "recall after evasion",
        "rank": "mean place of the source",
        "rank_attacked": "mean place after evasion",
        "overlap": "list kept after evasion",
        "two_stage_recall": "two-stage: recall of the source",
        "two_stage_recall_bits": "two-stage: recall after an attack on all bits",
        "two_stage_recall_joint": "two-stage: recall after one on bits and cosine",
        "two_stage_hit": "two-stage: chosen item in the list",
        "two_stage_hit_bits": "two-stage: chosen item after an attack on all bits",
        "two_stage_hit_joint": "two-stage: chosen item after one on bits and cosine",
    }
    rows = [
        [titles.get(name, name), f"{value.value:.3f}", value.signature]
        for name, value in result.lists.items()
    ]
    return [f"lists of {result.options.top}", "value", "signature"], rows


def label_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: what steering to another label does to the results."""
    titles = {
        "map_clean": "MAP, untouched",
        "map_attacked": "MAP, attacked",
        "floor": "t-MAP, untouched",
        "achieved": "t-MAP, attacked",
        "ceiling": "t-MAP of the target codes",
    }
    found = {name: getattr(result.labels, name, None) for name in titles}
    rows = [
        [titles[name], f"{100 * value.value:.1f}", interval(value), value.signature]
        for name, value in found.items()
        if value is not None
    ]
    return ["results of another label", "%", "95 % interval", "signature"], rows


def quality_table(result: AuditResult) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: pictures that fall below PDQ's quality gate."""
    rows = [
        [NOUNS.get(name, "untouched"), f"{100 * share:.1f}"]
        for name, share in result.quality.items()
        if name != "gate"
    ]
    return ["pictures", f"of quality {GATE} and below %"], rows


def tables(result: AuditResult) -> list[tuple[str, list[str], list[list[str]]]]:
    """Every table that has rows: title, headings, rows."""
    every = [
        ("What an adversary reaches", *goal_table(result)),
        ("How little is enough", *needed_table(result)),
        ("Success over searches", *search_table(result)),
        ("Benign edits", *edit_table(result)),
        ("What helps", *remedy_table(result)),
        ("Other radii", *radius_table(result)),
        ("Results of another label", *label_table(result)),
        ("Dropped by the quality gate", *quality_table(result)),
        ("Result lists", *list_table(result)),
    ]
    return [each for each in every if each[2]]


def markdown(result: AuditResult) -> str:
    """The verdict and the tables as Markdown."""
    lines = [f"# Audit of {in_markdown(str(result.victim['name']))}", "", headline(result), ""]
    lines += [f"- {text}" for text in verdict(result)]
    for title, heads, rows in tables(result):
        lines += ["", f"## {title}", "", *table_lines(heads, rows)]
    if result.notes:
        lines += ["", "## Notes", "", *[f"- {in_markdown(note)}" for note in result.notes]]
    if result.command:
        lines += ["", "```", result.command, "```"]
    return "\n".join(lines) + "\n"


def table_lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(map(in_markdown, heads)) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(map(in_markdown, row)) + " |" for row in rows),
    ]


def plain(result: AuditResult) -> str:
    """The verdict and the table of goals, for a terminal."""
    lines = [headline(result), *verdict(result)]
    heads, rows = goal_table(result)
    if rows:
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines.append("")
        for row in (heads, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join(cells).rstrip())
    if result.notes:
        lines += ["", *(f"note: {note}" for note in result.notes)]
    return "\n".join(lines)
