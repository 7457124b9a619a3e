"""The numbers in plain words; every sentence is computed, none is fixed."""

from collections.abc import Sequence

from hashprobe.evaluation.measurement import TOO_FEW, measure_of
from hashprobe.report.content import AttackRow, Number, ReportData


DEGREES = (
    (0.9, 0.75, "almost completely"),
    (0.5, 0.4, "to a large part"),
    (0.2, 0.15, "in part"),
    (0.0, 0.0, "a little"),
)
"""Share of the possible lift, and t-MAP, from which on together the words are used."""
HARDLY, ABOVE_FLOOR = 0.25, 0.1
"""A network hardly retrieves if its MAP is below the first, or not this far above the floor."""


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
    # Rows with a t-MAP come first: what steers is worse than what only leads away.
    row = max(rows, key=lambda r: (clear(r, data.rows), r.tmap is not None, strength(r)))
    name = f"At {row.budget}, {row.name}" if row.budget else row.name
    if row.tmap is None and row.own_map is None:
        return f"{name} was measured by its codes alone, without labels."
    if not clear(row, data.rows):
        return "No attack changes the search results measurably."
    if row.tmap is None:
        return f"{name} leads the search away from the queries' own labels."
    share = reach(row, data.rows)
    if share is None or row.ceiling is None:
        return f"{name} steers the search results: t-MAP is {percent(row.tmap)} of 100."
    # A t-MAP of 29 below a ceiling of 30 is all that can be had, and yet not much.
    reached = (w for least, low, w in DEGREES if share >= least and row.tmap.value >= low)
    degree = next(reached, DEGREES[-1][-1])
    return (
        f"{name} steers the search results {degree}: t-MAP is {percent(row.tmap)} of 100, "
        f"{way(share, row.ceiling)}."
    )


def way(share: float, ceiling: Number) -> str:
    """How far it is to the ceiling, in words."""
    if share >= 1:
        return f"as high as its ceiling ({percent(ceiling)})"
    return f"{100 * share:.0f} % of the way to its ceiling ({percent(ceiling)})"


def weakness(data: ReportData) -> str:
    """What is said of a network that hardly retrieves; empty of one that does, or is not known.

    Args:
        data: what the page shows.

    Example:
        >>> from types import SimpleNamespace as N
        >>> weakness(ReportData("An audit", clean=N(value=0.8, low=0.7, high=0.9, signature="s")))
        ''
    """
    own = next((r.own_map for r in data.rows if r.kind == "untouched" and r.own_map), None)
    clean = data.clean or own
    if clean is None:
        return ""
    floors = [start for row in strongest(data.rows) if (start := floor(row, data.rows))]
    near = floors and clean.value - floors[0].value < ABOVE_FLOOR
    if clean.value >= HARDLY and not near:
        return ""
    beside = f" (for another label they find {percent(floors[0])})" if floors else ""
    return (
        f"The network itself hardly retrieves: MAP of untouched queries is {percent(clean)} of "
        f"100{beside}. What an attack does to it says little about a network that works."
    )


def verdict(data: ReportData) -> list[list[str]]:
    """What the table says, one paragraph per budget, about the strongest attack at it.

    Args:
        data: what the page shows.

    Returns:
        Paragraphs as lists of plain sentences, in the table's order of budgets; before them one
        about the network, if it hardly retrieves.

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
    weak = weakness(data)
    return [[weak]] * bool(weak) + [paragraph(row, data) for row in strongest(data.rows)]


def paragraph(row: AttackRow, data: ReportData) -> list[str]:
    """The sentences about one row; each is left out where its numbers are."""
    name = f"{row.name} at {row.budget}" if row.budget else row.name
    if sum(r.kind == "attack" and group(r) == group(row) for r in data.rows) > 1:
        name += ", the strongest attack there,"
    said = [
        *movement(row, data, name),
        *noise_beside(row, data.rows),
        *own_results(row, data.rows),
        *closeness(row, data.bits),
        *visibility(row),
        *rounding(row),
    ]
    if row.tmap is not None or not said:
        return said
    return [f"{name.removesuffix(',')}: {said[0]}", *said[1:]]


def movement(row: AttackRow, data: ReportData, name: str) -> list[str]:
    """How far t-MAP moved, and what share of what its target codes allow that is."""
    rows = data.rows
    start, end = floor(row, rows), row.tmap
    if end is None:
        return []
    if start is None:
        return [f"{name} reaches a t-MAP of {percent(end)}{interval(end, data)}."]
    if not clear(row, rows):
        return [
            f"{name} has no clear effect: its t-MAP is {percent(end)}{interval(end, data)}, that "
            f"of untouched queries {percent(start)}."
        ]
    text = f"{name} moves t-MAP from {percent(start)} to {percent(end)}{interval(end, data)}"
    share = reach(row, rows)
    if share is None or row.ceiling is None:
        return [text + "."]
    if share >= 1:
        return [text + f" and reaches its ceiling ({percent(row.ceiling)})."]
    return [text + f", {way(share, row.ceiling)}."]


def noise_beside(row: AttackRow, rows: Sequence[AttackRow]) -> list[str]:
    """What noise of the same size does."""
    same = (r for r in rows if r.kind == "noise" and group(r) == group(row))
    noise = next(same, None)
    if noise is None or noise.tmap is None or floor(row, rows) is None:
        return []
    tail = "" if clear(noise, rows) else ", no more than untouched queries"
    return [f"Random noise of the same size gives {percent(noise.tmap)}{tail}."]


def own_results(row: AttackRow, rows: Sequence[AttackRow]) -> list[str]:
    """How MAP by the queries' own labels changes."""
    before, after = own_start(row, rows), row.own_map
    if before is None or after is None:
        return []
    if percent(before) == percent(after):
        return [f"MAP for the queries' own labels stays at {percent(after)}."]
    verb = "falls" if after.value < before.value else "rises"
    return [f"MAP for the queries' own labels {verb} from {percent(before)} to {percent(after)}."]


def closeness(row: AttackRow, bits: int | None) -> list[str]:
    """How many bits are still wrong."""
    if row.bits_wrong is None:
        return []
    of = f" of {bits}" if bits else ""
    return [f"On average {row.bits_wrong.value:.1f}{of} bits differ from the target code."]


def visibility(row: AttackRow) -> list[str]:
    """How much the pictures or clips change, and of clips how much their changed frames do."""
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
    """How many points rounding to 8 bits takes from the attack, if it takes any."""
    if row.tmap is None or row.tmap_float is None:
        return []
    cost = 100 * (row.tmap_float.value - row.tmap.value)
    if cost < 0.5:
        return []
    return [f"Rounding to 8 bits lowers t-MAP by {cost:.1f} points."]


def strongest(rows: Sequence[AttackRow]) -> list[AttackRow]:
    """The strongest attack of each group, in the order of the table."""
    best: dict[tuple[str, str], AttackRow] = {}
    for row in rows:
        if row.kind != "attack" or not (row.tmap or row.own_map or row.bits_wrong):
            continue
        rival = best.get(group(row))
        if rival is None or strength(row) > strength(rival):
            best[group(row)] = row
    return list(best.values())


def strength(row: AttackRow) -> float:
    """What attacks of one group are compared by: t-MAP, else a low MAP, else few wrong bits."""
    if row.tmap is not None:
        return row.tmap.value
    worse = row.own_map or row.bits_wrong
    return -worse.value if worse else 0.0


def group(row: AttackRow) -> tuple[str, str]:
    """Budget and measure: rows that differ in one of them are not compared."""
    measure = row.tmap or row.own_map or row.bits_wrong
    return row.budget, measure_of(measure.signature) if measure else ""


def untouched_of(row: AttackRow, rows: Sequence[AttackRow]) -> AttackRow | None:
    """The untouched queries by the measures of a row; the first ones where it names no measure."""
    untouched = [r for r in rows if r.kind == "untouched"]
    if row.floor is not None:
        wanted = measure_of(row.floor.signature)
        untouched = [r for r in untouched if r.tmap and measure_of(r.tmap.signature) == wanted]
    elif row.tmap is None and row.own_map is not None:
        wanted = unrounded(row.own_map)
        untouched = [r for r in untouched if r.own_map and unrounded(r.own_map) == wanted]
    return next(iter(untouched), None)


def unrounded(number: Number) -> str:
    """A signature without what it says of rounding, in which untouched and attacked differ."""
    parts = measure_of(number.signature).split("|")
    return "|".join(part for part in parts if not part.startswith("round:"))


def floor(row: AttackRow, rows: Sequence[AttackRow]) -> Number | None:
    """t-MAP of the untouched queries."""
    untouched = untouched_of(row, rows)
    return row.floor or (untouched.tmap if untouched else None)


def own_start(row: AttackRow, rows: Sequence[AttackRow]) -> Number | None:
    """MAP of the untouched queries by their own labels."""
    untouched = untouched_of(row, rows)
    return untouched.own_map if untouched else None


def reach(row: AttackRow, rows: Sequence[AttackRow]) -> float | None:
    """How much of the way from floor to ceiling t-MAP went; None where there is next to none."""
    start = floor(row, rows)
    if start is None or row.tmap is None or row.ceiling is None:
        return None
    possible = row.ceiling.value - start.value
    return (row.tmap.value - start.value) / possible if possible > 0.005 else None


def clear(row: AttackRow, rows: Sequence[AttackRow]) -> bool:
    """Whether the effect of a row is larger than the intervals explain.

    The lift is paired by query, so its interval decides where there is one. Without a t-MAP a fall
    of MAP decides.
    """
    if row.tmap is None:
        return below(row.own_map, own_start(row, rows))
    if row.lift is not None and row.lift.low is not None:
        return row.lift.low > 0
    start = floor(row, rows)
    if start is None:
        return True
    low = row.tmap.low if row.tmap.low is not None else row.tmap.value
    return low > (start.high if start.high is not None else start.value)


def below(after: Number | None, before: Number | None) -> bool:
    """Whether a number lies below another by more than their intervals explain."""
    if after is None or before is None:
        return False
    high = after.high if after.high is not None else after.value
    return high < (before.low if before.low is not None else before.value)


def percent(number: Number) -> str:
    """A measure in per cent."""
    return f"{100 * number.value:.1f}"


def confidence(data: ReportData) -> str:
    """The level of the intervals."""
    return f"{100 * data.confidence:.4g} %"


def interval(number: Number, data: ReportData) -> str:
    """The interval of a measure in words."""
    if number.low is None or number.high is None:
        return f" ({TOO_FEW})"
    return f" ({confidence(data)} interval {100 * number.low:.1f} to {100 * number.high:.1f})"
