"""The leaderboard as Markdown and as one HTML page whose tables can be sorted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hashprobe.report.escape import in_markdown
from hashprobe.report.markdown import table
from hashprobe.text import visible


RULES = (
    "One entry is one victim: its weights have the checksum that the entry names. One protocol a "
    "data set: queries and targets of seed 0 where nothing else is said, every attack at the same "
    "l-infinity budgets, judged after 8 bits by the hard sign.",
    "Every iterative attack gets at most 100 steps a query, a forward and a backward pass each. "
    "Published attacks have two rows: *released* are the settings of the release, cut to that "
    "length; *tuned* has the step size that is the best of four on other queries of the same "
    "victim; *both* where these are the same. hashprobe's own attacks keep their default "
    "step size. Step sizes are in each attack's own unit.",
    "RMS is the root mean squared change of a pixel value of [0, 1]; passes and seconds are those "
    "of one query.",
    "t-MAP is shown with its floor (untouched queries) and its ceiling (the target code itself), "
    "and with what the adversary knows: L0 one or nine codes of the label, L1 a sample, L2 the "
    "whole database. Compare attacks of one level only; the highest t-MAP of a victim is over all "
    "levels.",
    "The suite's worst case decides between victims. A victim with a flag is not called robust. "
    "The suite leaves a query alone once it has fallen: a single attack can bring MAP below it.",
)


@dataclass(frozen=True)
class Board:
    """All entries of the leaderboard.

    Example:
        >>> Board(()).data
        ()
    """

    entries: tuple[Any, ...]

    @property
    def data(self) -> tuple[str, ...]:
        """The titles of the data sets, in the order of their first entries.

        Entries whose data have one name and other content stand apart, with a checksum.
        """
        return tuple(dict.fromkeys(map(self.title, self.entries)))

    def title(self, entry: Any) -> str:
        """What the data of an entry are called on the page."""
        same = {each.data_sha256 for each in self.entries if each.data == entry.data}
        own = f", data {entry.data_sha256[:8]}" if len(same) > 1 else ""
        return f"{entry.data}{own}"

    def on(self, title: str) -> list[Any]:
        """Entries under a title: the highest worst case of the suite first."""

        def strength(entry: Any) -> float:
            return -min((suite.map_worst.value for suite in entry.suites), default=0.0)

        return sorted((each for each in self.entries if self.title(each) == title), key=strength)


def board_markdown(board: Board) -> str:
    """The page in Markdown.

    Args:
        board: at least one entry.

    Returns:
        Lines joined by line feeds, the last one ended.

    Example:
        >>> board_markdown(Board(())).splitlines()[0]
        '# Leaderboard'
    """
    lines = [
        "# Leaderboard",
        "",
        "How far an adversary moves the results of trained victims, each by the same protocol "
        "([how to enter](../how-to/leaderboard.md)).",
        "Percent, with 95 % intervals; [a page that sorts](sortable.html).",
        "",
        *(f"- {rule}" for rule in RULES),
    ]
    for title in board.data:
        entries = board.on(title)
        lines += ["", f"## {in_markdown(title)}", ""]
        lines += table(VICTIM_HEAD, victim_rows(entries, in_markdown))
        for entry in entries:
            lines += ["", f"### {in_markdown(entry.victim)}", ""]
            lines += table(ATTACK_HEAD, attack_rows(entry, in_markdown))
            lines += ["", in_markdown(source(entry))]
            lines += [""] * bool(commands(entry))
            lines += [f"- {word}: {as_code(line)}" for word, line in commands(entry)]
    return "\n".join(lines) + "\n"


def as_code(line: str) -> str:
    """A line as code in Markdown, whatever it holds."""
    flat = " ".join(visible(line).split())
    mark = "`" * (1 + max(map(len, re.findall("`+", flat)), default=0))
    space = " " * (len(mark) > 1)
    return f"{mark}{space}{flat}{space}{mark}"


def source(entry: Any) -> str:
    """Where an entry comes from."""
    asked = f"{entry.queries} queries" + f" of seed {entry.seed}" * (entry.seed != 0)
    made = (
        f"Weights {entry.weights_sha256[:16]}, hashprobe {entry.version}, by {entry.by}; "
        f"{asked}, step sizes chosen on {entry.tuning} others, gradients in "
        f"{entry.precision}; {entry.machine}."
    )
    return f"{made} {entry.note}".strip()


def commands(entry: Any) -> list[tuple[str, str]]:
    """The commands behind an entry, each with a word for what it did."""
    both = (("trained", entry.trained), ("measured", entry.measured))
    return [(word, line) for word, line in both if line]


VICTIM_HEAD = (
    "victim", "eps", "MAP, worst case of the suite", "queries that stand", "flags", "MAP untouched",
    "highest t-MAP", "lowest MAP", "defence", "loss", "network", "bits", "queries",
)  # fmt: skip
ATTACK_HEAD = (
    "attack", "eps", "setting", "t-MAP", "MAP", "floor", "ceiling", "knows", "step size", "passes",
    "s/query", "RMS x 1000",
)  # fmt: skip


def victim_rows(entries: Sequence[Any], shown: Callable[[str], str] = str) -> list[list[str]]:
    """Cells of the table of victims, one row a victim and budget; `shown` escapes words."""
    rows = []
    for entry in entries:
        about = [*map(shown, (entry.defence, entry.loss, entry.network))]
        about += [str(entry.bits), str(entry.queries)]
        for suite in entry.suites:
            first = [shown(entry.victim), shown(suite.eps), percent(suite.map_worst)]
            first += [str(suite.standing), shown(", ".join(suite.flags) or "none")]
            there = [row for row in entry.rows if row.eps == suite.eps]
            moved = strongest_attacks(there, shown)
            rows.append([*first, percent(entry.map_clean), *moved, *about])
    return rows


def strongest_attacks(rows: Sequence[Any], shown: Callable[[str], str]) -> list[str]:
    """Cells of the attack with the highest t-MAP and of that with the lowest MAP of some rows."""
    values = [(row.tmap.value, row.attack) for row in rows if row.tmap is not None]
    highest = max(values, key=lambda each: each[0], default=None)
    lowest = min(
        ((row.map_attacked.value, row.attack) for row in rows),
        key=lambda each: each[0],
        default=None,
    )
    ends = (highest, lowest)
    return ["" if end is None else f"{100 * end[0]:.1f} {shown(end[1])}" for end in ends]


def attack_rows(entry: Any, shown: Callable[[str], str] = str) -> list[list[str]]:
    """Cells of the table of attacks, one row a setting and budget; `shown` escapes words."""
    return [
        [
            *map(shown, (row.attack, row.eps, row.setting)),
            *(percent(part) for part in (row.tmap, row.map_attacked, row.floor, row.ceiling)),
            shown(row.knowledge),
            "" if row.step_size is None else f"{row.step_size:.3g}",
            f"{row.passes:g}",
            f"{row.seconds:.3f}",
            "" if row.rmse is None else f"{1000 * row.rmse:.1f}",
        ]
        for row in entry.rows
    ]


def percent(number: Any) -> str:
    """A share in per cent with its interval; nothing where there is none."""
    if number is None:
        return ""
    text = f"{100 * number.value:.1f}"
    if number.low is None or number.high is None:
        return text
    return f"{text} [{100 * number.low:.1f}, {100 * number.high:.1f}]"


def board_html(board: Board) -> str:
    """The page in HTML; a click on the head of a column sorts its table.

    Args:
        board: the entries.

    Example:
        >>> board_html(Board(())).startswith("<!doctype html>")
        True
    """
    from hashprobe.report.page import template

    tables = [
        {
            "title": title,
            "victims": {"head": VICTIM_HEAD, "rows": victim_rows(board.on(title))},
            "entries": [
                {
                    "name": each.victim,
                    "head": ATTACK_HEAD,
                    "rows": attack_rows(each),
                    "source": source(each),
                    "commands": commands(each),
                }
                for each in board.on(title)
            ],
        }
        for title in board.data
    ]
    plain = [rule.replace("*", "") for rule in RULES]
    page: str = template("report", "leaderboard.html.jinja").render(tables=tables, rules=plain)
    return page
