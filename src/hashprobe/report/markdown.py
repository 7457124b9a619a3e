"""The table of attacks as Markdown, for papers and READMEs."""

from collections.abc import Iterable, Sequence

from hashprobe.report.columns import Cell, columns_of
from hashprobe.report.content import AttackRow
from hashprobe.report.escape import in_markdown


def markdown_table(rows: Sequence[AttackRow]) -> str:
    """The rows as a table in GitHub's Markdown, with the signatures of its columns below.

    MAP is in per cent with intervals in brackets; perceptibility (the root mean squared change of
    DHTA, section 4.4) is in thousandths of [0, 1]. A column without a value is left out.

    Args:
        rows: in the order of the table.

    Returns:
        Lines joined by line feeds, the last one ended.

    Example:
        >>> from types import SimpleNamespace
        >>> tmap = SimpleNamespace(value=0.824, low=0.8, high=0.85, signature="tMAP@1000|v:0.1")
        >>> print(markdown_table([AttackRow("DHTA", "attack", "8/255", tmap=tmap, linf=8.0)]))
        | eps | row | t-MAP, 8 bits | L-inf |
        |---|---|---|---|
        | 8/255 | DHTA | 82.4 [80.0, 85.0] | 8/255 |
        <BLANKLINE>
        - t-MAP, 8 bits: `tMAP@1000|v:0.1`
        <BLANKLINE>
    """
    columns = columns_of(rows, "markdown")
    lines = table(
        ["eps", "row", *(column.title for column in columns)],
        (
            [in_markdown(row.budget), in_markdown(row.name), *(text(c.cell(row)) for c in columns)]
            for row in rows
        ),
    )
    lines.append("")
    for column in columns:
        numbers = (n for row in rows for n in column.numbers(row) if n is not None)
        signatures = ", ".join(f"`{s}`" for s in dict.fromkeys(n.signature for n in numbers))
        lines += [f"- {column.title}: {signatures}"] * bool(signatures)
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [line(head), "|" + "---|" * len(head), *map(line, rows)]


def line(cells: Sequence[str]) -> str:
    """One line of the table."""
    return "| " + " | ".join(cells) + " |"


def text(cell: Cell | None) -> str:
    """A cell with its interval in brackets; nothing where there is none."""
    if cell is None:
        return ""
    return f"{cell.text} [{cell.low}, {cell.high}]" if cell.low else cell.text
