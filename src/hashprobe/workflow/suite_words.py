"""A suite's result as a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hashprobe.attacks.registry import ATTACKS
from hashprobe.report.markdown import table


if TYPE_CHECKING:
    from hashprobe.workflow.suite import SuiteResult


SHARES = (0.5, 0.25, 0.1)
"""Shares at which the worst case is counted, too: one threshold would hide the others."""


def as_text(result: SuiteResult) -> str:
    """Who felled how many queries at which cost, the worst case, and the flags."""
    head = ["attack", "queries", "felled", "MAP after it", "passes a query", "seconds"]
    rows = [
        [
            ATTACKS[each.attack].title if each.attack in ATTACKS else "Transfer",
            str(each.asked),
            str(each.felled),
            f"{each.map_attacked:.3f}",
            f"{each.passes:.0f}",
            f"{each.seconds:.1f}",
        ]
        for each in result.members
    ]
    shares = ", ".join(f"{100 * result.fallen(share):.0f} % at {share:g}" for share in SHARES)
    checks = [
        [flag.name, "**yes**" if flag.raised else "no", f"{flag.value:.3f}", f"{flag.limit:g}"]
        for flag in result.flags
    ]
    lines = [
        f"Suite at {result.budget}, {len(result.felled_by)} queries, {result.seconds:.0f} s",
        "",
        *table(head, rows),
        "",
        f"MAP untouched   {result.clean}",
        f"MAP worst case  {result.worst}",
        f"fallen          {shares} of the clean AP; {result.standing} stand",
        "",
        *table(["flag", "raised", "value", "limit"], checks),
        "",
    ]
    if result.raised:
        lines += ["Not to be called robust:"]
        lines += [f"- {flag.name}: {flag.meaning}." for flag in result.raised]
    else:
        lines += ["No flag is raised: the worst case is an upper bound of what these queries keep."]
    return "\n".join(lines)
