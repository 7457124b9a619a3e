"""The leaderboard as Markdown and as one HTML page whose tables can be sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hashprobe.report.escape import in_markdown
from hashprobe.report.markdown import table


RULES = (
    "One entry is one victim: its weights have the checksum that the entry names. One protocol a "
    "data set: queries and targets of seed 0, every attack at the same l-infinity budgets, judged "
    "after 8 bits by the hard sign.",
    "Every iterative baseline gets the same passes per query. Settings are those of the releases "
    "otherwise; nothing is tuned.",
    "t-MAP is shown with its floor (untouched queries) and its ceiling (the target code itself), "
    "and with what the adversary knows: L0 nine codes of the label, L1 a sample, L2 the whole "
    "database. Numbers of different levels are not compared.",
    "The suite's worst case decides between victims. A victim with a flag is not called robust.",
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
        """The data sets, in the order of their first entries."""
        return tuple(dict.fromkeys(entry.data for entry in self.entries))

    def on(self, data: str) -> list[Any]:
        """Entries on a data set: the highest worst case at the largest budget first."""

        def strength(entry: Any) -> float:
            return -min((suite.map_worst.value for suite in entry.suites), default=0.0)

        return sorted((entry for entry in self.entries if entry.data == data), key=strength)


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
    for data in board.data:
        entries = board.on(data)
        lines += ["", f"## {in_markdown(data)}", ""]
        lines += table(VICTIM_HEAD, victim_rows(entries, in_markdown))
        for entry in entries:
            lines += ["", f"### {in_markdown(entry.victim)}", ""]
            lines += table(ATTACK_HEAD, attack_rows(entry, in_markdown))
            lines += ["", in_markdown(source(entry))]
    return "\n".join(lines) + "\n"


def source(entry: Any) -> str:
    """Where an entry comes from."""
    made = f"Weights {entry.weights_sha256[:16]}, hashprobe {entry.version}, by {entry.by}."
    return f"{made} {entry.note}".strip()


VICTIM_HEAD = (
    "victim", "network", "loss", "defence", "bits", "queries", "MAP untouched", "eps",
    "MAP, worst case of the suite", "queries that stand", "flags",
)  # fmt: skip
ATTACK_HEAD = (
    "eps", "attack", "knows", "t-MAP", "floor", "ceiling", "MAP", "passes", "s/query", "RMS x 1000",
)  # fmt: skip


def victim_rows(entries: Sequence[Any], shown: Callable[[str], str] = str) -> list[list[str]]:
    """Cells of the table of victims: clean and worst MAP, flags; `shown` escapes words."""
    rows = []
    for entry in entries:
        first = [entry.victim, entry.network, entry.loss, entry.defence]
        names = [shown(each) for each in first]
        counts = [str(entry.bits), str(entry.queries), percent(entry.map_clean)]
        for suite in entry.suites:
            flags = shown(", ".join(suite.flags) or "none")
            worst = [shown(suite.eps), percent(suite.map_worst), str(suite.standing), flags]
            rows.append([*names, *counts, *worst])
    return rows


def attack_rows(entry: Any, shown: Callable[[str], str] = str) -> list[list[str]]:
    """Cells of the table of attacks, one row an attack and budget; `shown` escapes words."""
    return [
        [
            *map(shown, (row.eps, row.attack, row.knowledge)),
            *(percent(part) for part in (row.tmap, row.floor, row.ceiling, row.map_attacked)),
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
            "title": data,
            "victims": {"head": VICTIM_HEAD, "rows": victim_rows(board.on(data))},
            "entries": [
                {
                    "name": each.victim,
                    "head": ATTACK_HEAD,
                    "rows": attack_rows(each),
                    "source": source(each),
                }
                for each in board.on(data)
            ],
        }
        for data in board.data
    ]
    page: str = template("report", "leaderboard.html.jinja").render(tables=tables, rules=RULES)
    return page
