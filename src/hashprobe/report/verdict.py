"""The numbers in plain words; every sentence is computed, none is fixed."""

from collections.abc import Sequence

from hashprobe.report.content import AttackRow, Number, ReportData


DEGREES = ((0.9, "almost wholly"), (0.5, "in large part"), (0.2, "in part"), (0.0, "a little"))
"""Share of the possible lift from which on the words are used."""


def headline(data: ReportData) -> str:
    """The one sentence to read if only one is read, about the strongest attack of all.

    Args:
        data: what the page shows.

    Returns:
        A sentence; it says so where no attack was measured or none has a clear effect.

    Example:
        >>> headline(ReportData("An audit"))
        'No attack was measured.'
    """
    rows = strongest(data.rows)
    if not rows:
        return "No attack was measured."
    row = max(rows, key=lambda r: (clear(r, data.rows), r.tmap.value if r.tmap else 0.0))
    if not clear(row, data.rows):
        return "No attack that was tried moves the search results measurably."
    share = reach(row, data.rows)
    if share is None:
        return f"At {row.budget}, {row.name} steers the search results."
    degree = next((words for least, words in DEGREES if share >= least), DEGREES[-1][1])
    return f"At {row.budget}, {row.name} steers the search results {degree}."


def verdict(data: ReportData) -> list[list[str]]:
    """What the table says, one paragraph per budget, about the strongest attack at it.

    Args:
        data: what the page shows.

    Returns:
        Paragraphs as lists of plain sentences, in the table's order of budgets.

    Example:
        >>> from types import SimpleNamespace as N
        >>> low = N(value=0.051, low=0.04, high=0.06, signature="s")
        >>> high = N(value=0.823, low=0.80, high=0.84, signature="s")
        >>> rows = (
        ...     AttackRow("Original", "untouched", tmap=low),
        ...     AttackRow("DHTA", "attack", "8/255", tmap=high),
        ... )
        >>> print(verdict(ReportData("An audit", rows=rows))[0][0])
        DHTA at 8/255 moves t-MAP from 5.1 to 82.3 (95 % interval 80.0 to 84.0).
    """
    return [paragraph(row, data) for row in strongest(data.rows)]


def paragraph(row: AttackRow, data: ReportData) -> list[str]:
    """The sentences about one row; each is left out where its numbers are."""
    return [
        *movement(row, data),
        *noise_beside(row, data.rows),
        *own_results(row, untouched_of(row, data.rows)),
        *closeness(row, data.bits),
        *visibility(row),
        *rounding(row),
    ]


def movement(row: AttackRow, data: ReportData) -> list[str]:
    """How far t-MAP moved, and what share of what its target codes allow that is."""
    rows = data.rows
    start, end = floor(row, rows), row.tmap
    if end is None:
        return []
    name = f"{row.name} at {row.budget}" if row.budget else row.name
    if start is None:
        return [f"{name} reaches a t-MAP of {percent(end)}{interval(end, data)}."]
    if not clear(row, rows):
        return [
            f"{name}, the strongest attack there, gives a t-MAP of {percent(end)}"
            f"{interval(end, data)}; untouched queries give {percent(start)}: no clear effect."
        ]
    text = f"{name} moves t-MAP from {percent(start)} to {percent(end)}{interval(end, data)}"
    share = reach(row, rows)
    if share is None or row.ceiling is None:
        return [text + "."]
    if share >= 1:
        return [text + f": as far as its target codes themselves ({percent(row.ceiling)})."]
    return [
        text + f", {100 * share:.0f} % of the lift that its target codes allow "
        f"(ceiling {percent(row.ceiling)})."
    ]


def noise_beside(row: AttackRow, rows: Sequence[AttackRow]) -> list[str]:
    """What noise of the same size does."""
    same = (r for r in rows if r.kind == "noise" and group(r) == group(row))
    noise = next(same, None)
    if noise is None or noise.tmap is None or floor(row, rows) is None:
        return []
    tail = "" if clear(noise, rows) else ", no more than untouched queries"
    return [f"Random noise of that size gives {percent(noise.tmap)}{tail}."]


def own_results(row: AttackRow, untouched: AttackRow | None) -> list[str]:
    """What becomes of MAP by the queries' own labels."""
    if untouched is None or untouched.own_map is None or row.own_map is None:
        return []
    before, after = untouched.own_map, row.own_map
    verb = "falls" if after.value < before.value else "goes"
    return [f"MAP for the queries' own labels {verb} from {percent(before)} to {percent(after)}."]


def closeness(row: AttackRow, bits: int | None) -> list[str]:
    """How many bits are still wrong."""
    if row.bits_wrong is None:
        return []
    of = f" of {bits}" if bits else ""
    return [f"On average {row.bits_wrong.value:.1f}{of} bits still differ from the target code."]


def visibility(row: AttackRow) -> list[str]:
    """How much the pictures or clips change; of clips, too, what is seen of the changed frames."""
    if row.rmse is None:
        return []
    most = f", no value by more than {row.linf:.0f}/255" if row.linf is not None else ""
    change = f"changes by {255 * row.rmse:.1f}/255 (root mean square)"
    if row.rmse_frames is None:
        return [f"A picture {change}{most}."]
    if row.rmse_frames <= 1.01 * row.rmse:
        return [f"A clip {change}{most}."]
    return [f"A clip {change}, its changed frames by {255 * row.rmse_frames:.1f}/255{most}."]


def rounding(row: AttackRow) -> list[str]:
    """What saving with 8 bits costs, where it costs something."""
    if row.tmap is None or row.tmap_float is None:
        return []
    cost = 100 * (row.tmap_float.value - row.tmap.value)
    if cost < 0.5:
        return []
    return [f"Saving with 8 bits costs the attack {cost:.1f} points."]


def strongest(rows: Sequence[AttackRow]) -> list[AttackRow]:
    """The attack with the highest t-MAP of each group, in the order of the table."""
    best: dict[tuple[str, str], AttackRow] = {}
    for row in rows:
        if row.kind != "attack" or row.tmap is None:
            continue
        rival = best.get(group(row))
        if rival is None or rival.tmap is None or row.tmap.value > rival.tmap.value:
            best[group(row)] = row
    return list(best.values())


def group(row: AttackRow) -> tuple[str, str]:
    """Budget and signature: rows that differ in one of them are not compared."""
    return row.budget, row.tmap.signature if row.tmap else ""


def untouched_of(row: AttackRow, rows: Sequence[AttackRow]) -> AttackRow | None:
    """The untouched queries by the measures of a row; the only ones, where it does not say."""
    untouched = [r for r in rows if r.kind == "untouched"]
    if row.floor is not None:
        wanted = row.floor.signature
        untouched = [r for r in untouched if r.tmap and r.tmap.signature == wanted]
    return next(iter(untouched), None)


def floor(row: AttackRow, rows: Sequence[AttackRow]) -> Number | None:
    """t-MAP of the untouched queries."""
    untouched = untouched_of(row, rows)
    return row.floor or (untouched.tmap if untouched else None)


def reach(row: AttackRow, rows: Sequence[AttackRow]) -> float | None:
    """Share of the lift that the target codes allow; None where they allow next to none."""
    start = floor(row, rows)
    if start is None or row.tmap is None or row.ceiling is None:
        return None
    possible = row.ceiling.value - start.value
    return (row.tmap.value - start.value) / possible if possible > 0.005 else None


def clear(row: AttackRow, rows: Sequence[AttackRow]) -> bool:
    """Whether the row lies above the untouched queries by more than the intervals explain.

    The lift is paired by query, so its interval decides where there is one.
    """
    if row.tmap is None:
        return False
    if row.lift is not None and row.lift.low is not None:
        return row.lift.low > 0
    start = floor(row, rows)
    if start is None:
        return True
    low = row.tmap.low if row.tmap.low is not None else row.tmap.value
    return low > (start.high if start.high is not None else start.value)


def percent(number: Number) -> str:
    """A measure in per cent."""
    return f"{100 * number.value:.1f}"


def confidence(data: ReportData) -> str:
    """The level of the intervals."""
    return f"{100 * data.confidence:.4g} %"


def interval(number: Number, data: ReportData) -> str:
    """The interval of a measure in words."""
    if number.low is None or number.high is None:
        return ""
    return f" ({confidence(data)} interval {100 * number.low:.1f} to {100 * number.high:.1f})"
