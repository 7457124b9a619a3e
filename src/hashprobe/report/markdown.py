"""The table of attacks as Markdown, for papers and READMEs."""

from collections.abc import Callable, Sequence

from hashprobe.report.content import AttackRow, Number


def markdown_table(rows: Sequence[AttackRow]) -> str:
    """The rows as a table in GitHub's Markdown, with the signatures of its columns below.

    MAP in per cent, intervals in brackets; perceptibility (the root mean squared change of DHTA,
    section 4.4) in thousandths of [0, 1]. A column without a value is left out.

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
    used = [c for c in COLUMNS if any(c[1](row) for row in rows)]
    lines = ["| eps | row | " + " | ".join(title for title, _, _ in used) + " |"]
    lines.append("|" + "---|" * (len(used) + 2))
    for row in rows:
        cells = [row.budget, row.name, *(text(row) for _, text, _ in used)]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for title, _, numbers in used:
        found = dict.fromkeys(n.signature for row in rows for n in numbers(row) if n is not None)
        lines += [f"- {title}: {', '.join(f'`{signature}`' for signature in found)}"] * bool(found)
    return "\n".join(lines) + "\n"


def percent(value: Number | None, sign: str = "") -> str:
    """A measure in per cent with its interval; nothing where there is none."""
    if value is None:
        return ""
    text = f"{100 * value.value:{sign}.1f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{100 * value.low:{sign}.1f}, {100 * value.high:{sign}.1f}]"


def pair(first: float | None, second: float | None) -> str:
    """One or two numbers, as `8 bits / float`."""
    return " / ".join(f"{value:.2f}" for value in (first, second) if value is not None)


def bits(row: AttackRow) -> str:
    """Wrong bits after rounding and before."""
    return pair(*(n.value if n else None for n in (row.bits_wrong, row.bits_wrong_float)))


def perceptibility(row: AttackRow) -> str:
    """Root mean squared change in thousandths, after rounding and before."""
    return pair(*(None if v is None else 1000 * v for v in (row.rmse, row.rmse_float)))


Text = Callable[[AttackRow], str]
Numbers = Callable[[AttackRow], Sequence[Number | None]]
COLUMNS: tuple[tuple[str, Text, Numbers], ...] = (
    ("t-MAP, 8 bits", lambda r: percent(r.tmap), lambda r: [r.tmap]),
    ("t-MAP, float", lambda r: percent(r.tmap_float), lambda r: [r.tmap_float]),
    ("t-MAP after H.264", lambda r: percent(r.tmap_codec), lambda r: [r.tmap_codec]),
    ("ceiling", lambda r: percent(r.ceiling), lambda r: [r.ceiling]),
    ("lift", lambda r: percent(r.lift, "+"), lambda r: [r.lift]),
    (
        "bits wrong, 8 bits / float",
        bits,
        lambda r: [r.bits_wrong, r.bits_wrong_float],
    ),
    ("perceptibility, 8 bits / float", perceptibility, lambda r: []),
    (
        "perceptibility, changed frames",
        lambda r: pair(None if r.rmse_frames is None else 1000 * r.rmse_frames, None),
        lambda r: [],
    ),
    ("L-inf", lambda r: "" if r.linf is None else f"{r.linf:.0f}/255", lambda r: []),
    ("MAP", lambda r: percent(r.own_map), lambda r: [r.own_map]),
    (
        "MAP untouched after H.264",
        lambda r: percent(r.own_map_codec),
        lambda r: [r.own_map_codec],
    ),
    ("steps", lambda r: "" if r.steps is None else f"{r.steps:,}", lambda r: []),
    ("seconds", lambda r: "" if r.seconds is None else f"{r.seconds:.0f}", lambda r: []),
)
