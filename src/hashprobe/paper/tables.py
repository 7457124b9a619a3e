"""A result as Markdown, CSV and JSON, the paper's figures beside ours."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hashprobe.evaluation.measurement import TOO_FEW
from hashprobe.paper.claims import verdicts
from hashprobe.paper.result import Entry, Result
from hashprobe.paper.settings import dataset_title
from hashprobe.report.escape import in_csv
from hashprobe.storage.files import jsonable


def markdown(result: Result, figures: Sequence[str] = ()) -> str:
    """The table, the paper's figures below it, claims and signatures.

    Args:
        result: the numbers.
        figures: files of the recipe's figures, to be shown above the table.

    Returns:
        Lines joined by line feeds, the last one ended.

    Example:
        >>> from hashprobe.paper.recipe import load_recipe
        >>> from hashprobe.paper.settings import load_setting
        >>> grid = {(0, j): Entry(82.4, 80.0, 85.0, "tMAP@1000|v:0.1") for j in range(5)}
        >>> grid |= {(1, j): Entry(90.0, 88.0, 92.0, "tMAP@1000|v:0.1") for j in range(5)}
        >>> result = Result(
        ...     load_recipe("table8"), load_setting("digits", "bench"), grid, {}, ())
        >>> print(markdown(result).splitlines()[0])
        ## t-MAP of DHTA by the size of the perturbation
    """
    recipe = result.recipe
    head = ["", *(column.name for column in recipe.columns)]
    rows = [[name, *cells] for name, cells in table_rows(result)]
    published = published_rows(result)
    rows += [[f"*paper, {data}: {row}*", *figures] for data, row, figures in published]
    lines = [f"## {recipe.title}", "", f"{recipe.source}. {recipe.text}", ""]
    lines += [f"![{recipe.title}]({figure})" for figure in figures] + [""] * bool(figures)
    if recipe.show not in ("examples", "pictures"):
        lines += [*grid(head, rows), "", unit(result), ""]
    for verdict in verdicts(result):
        mark = f"**{verdict.word}**" if verdict.word == "does not hold" else verdict.word
        say = f"{verdict.say} (our expectation, not the paper's)" if verdict.ours else verdict.say
        lines.append(f"- {say}: {mark} ({verdict.numbers})")
    lines += [""] if recipe.claims else []
    lines += [f"- `{signature}`" for signature in signatures(result)]
    return "\n".join(lines) + "\n"


def table_rows(result: Result) -> list[tuple[str, list[str]]]:
    """Every row with its numbers as text."""
    columns = range(len(result.recipe.columns))
    return [
        (row.name, [str(result.grid[i, j]) for j in columns])
        for i, row in enumerate(result.recipe.rows)
    ]


def published_rows(result: Result) -> list[tuple[str, str, list[str]]]:
    """The paper's own figures: of this data set where it has them, else of the one it used."""
    known = dict(result.recipe.published or {})
    if result.setting.dataset in known:
        known = {result.setting.dataset: known[result.setting.dataset]}
    return [
        (dataset_title(data), row, [f"{figure:.2f}" for figure in figures])
        for data, rows in known.items()
        for row, figures in rows.items()
    ]


def unit(result: Result) -> str:
    """What the numbers count in."""
    few = all(entry.low is None for entry in result.grid.values())
    intervals = TOO_FEW if few else "with 95 % intervals over the queries"
    if any(entry.runs is not None for entry in result.grid.values()):
        intervals += "; after `runs` where another run of the attack would lie (95 %)"
    if any(cell.measure == "perceptibility" for cell in result.recipe.all_cells()):
        return f"In thousandths of [0, 1], {intervals}."
    return f"In per cent, {intervals}."


def signatures(result: Result) -> list[str]:
    """The signatures of the table, each once; those that differ in bits alone are one."""
    found: dict[str, list[str]] = {}
    for _, entry in sorted(result.grid.items()):
        parts = entry.signature.split("|")
        bits = next((part[5:] for part in parts if part.startswith("bits:")), "")
        folded = "|".join("bits:{}" if part == f"bits:{bits}" else part for part in parts)
        found.setdefault(folded, [])
        found[folded] += [bits] if bits not in found[folded] else []
    return [folded.replace("{}", ",".join(bits)) for folded, bits in found.items()]


def grid(head: list[str], rows: list[list[str]], *, words: int = 1) -> list[str]:
    """A Markdown table whose columns line up.

    Args:
        head: titles of the columns.
        rows: their cells.
        words: how many columns are of words, at the left; the others are numbers, at the right.

    Example:
        >>> print(*grid(["", "16 bits"], [["DHTA", "82.4"]]), sep="\\n")
        |      | 16 bits |
        |------|---------|
        | DHTA |    82.4 |
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    return [line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|"] + [
        line(row) for row in rows
    ]


def as_csv(result: Result) -> str:
    """One line a number: row, column, value, interval, the paper's figure, signature."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "column", "value", "low", "high", "paper", "signature"])
    for (i, j), entry in sorted(result.grid.items()):
        row, column = result.recipe.rows[i], result.recipe.columns[j]
        figure = paper_figure(result, i, j)
        cells = [row.name, column.name, *bounds(entry), figure, entry.signature]
        writer.writerow([in_csv(cell) if isinstance(cell, str) else cell for cell in cells])
    return stream.getvalue()


def bounds(entry: Entry) -> list[str]:
    """Value and interval as text."""
    given = (entry.value, entry.low, entry.high)
    return ["" if number is None else f"{number:.4f}" for number in given]


def paper_figure(result: Result, i: int, j: int) -> float | None:
    """The paper's figure for a number on the same data; None where there is none."""
    known = (result.recipe.published or {}).get(result.setting.dataset, {})
    figures = known.get(result.recipe.rows[i].published)
    return None if figures is None else figures[j]


def as_json(result: Result) -> dict[str, Any]:
    """Everything: setting, numbers, claims, victims."""
    numbers = [
        {
            "row": result.recipe.rows[i].name,
            "column": result.recipe.columns[j].name,
            "value": entry.value,
            "low": entry.low,
            "high": entry.high,
            "paper": paper_figure(result, i, j),
            "signature": entry.signature,
            "before_rounding": entry.before_rounding,
            "runs": None if entry.runs is None else [entry.runs.low, entry.runs.high],
            "deterministic": result.attacks[i, j].record.recipe.get("deterministic"),
            "attack": str(result.attacks[i, j].folder),
        }
        for (i, j), entry in sorted(result.grid.items())
    ]
    victims = [
        {
            **{name: getattr(victim, name) for name in ("name", "bits", "loss", "seconds")},
            "map": victim.map_all.value,
            "signature": victim.map_all.signature,
        }
        for victim in result.victims
    ]
    content: dict[str, Any] = jsonable(
        {
            "recipe": result.recipe.name,
            "title": result.recipe.title,
            "source": result.recipe.source,
            "setting": asdict(result.setting),
            "changes": result.setting.changes(),
            "numbers": numbers,
            "published": result.recipe.published,
            "claims": [{**asdict(v), "holds": v.holds} for v in verdicts(result)],
            "victims": victims,
            "seconds": sum(result.seconds().values()),
        }
    )
    return content
