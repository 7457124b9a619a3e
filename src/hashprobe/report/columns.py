"""The columns of the table of attacks, one list for the HTML page and for Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from hashprobe.report.content import AttackRow, Number


Medium: TypeAlias = Literal["page", "markdown"]
"""Where a table is shown."""
BOTH: tuple[Medium, ...] = ("page", "markdown")


@dataclass(frozen=True)
class Cell:
    """A value as text, with its interval where it has one.

    Example:
        >>> Cell("82.4", "80.0", "85.0").high
        '85.0'
    """

    text: str
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class Column:
    """One column; it is left out where no row has a cell for it.

    Example:
        >>> [column.title for column in COLUMNS][:2]
        ['t-MAP, 8 bits', 't-MAP between runs']
    """

    title: str
    """Its heading, the same in every medium."""
    meaning: str
    """What it shows, in one or two sentences for a reader who is new to it."""
    cell: Callable[[AttackRow], Cell | None]
    """Its text for one row; None where the row has no such value."""
    numbers: Callable[[AttackRow], Sequence[Number | None]] = lambda row: ()
    """The measures behind the cell, whose signatures are listed below the table."""
    _: KW_ONLY
    align: Literal["left", "right"] = "right"
    """How its cells are set on the page."""
    scale: bool = False
    """Whether the page draws it on a scale from 0 to 100, too."""
    media: tuple[Medium, ...] = BOTH
    """Where it is shown."""

    def shown(self, rows: Sequence[AttackRow], medium: Medium) -> bool:
        """Whether it belongs into a table of these rows."""
        return medium in self.media and any(self.cell(row) is not None for row in rows)


def columns_of(rows: Sequence[AttackRow], medium: Medium) -> list[Column]:
    """The columns that a table of some rows has, in order.

    Args:
        rows: of the table.
        medium: `page` or `markdown`.

    Example:
        >>> [column.title for column in columns_of([AttackRow("A", "attack", steps=3)], "page")]
        ['steps']
    """
    return [column for column in COLUMNS if column.shown(rows, medium)]


def percent(value: Number | None, sign: str = "") -> Cell | None:
    """A measure in per cent with its interval; None where there is none."""
    if value is None:
        return None
    text = f"{100 * value.value:{sign}.1f}"
    if value.low is None or value.high is None:
        return Cell(text)
    return Cell(text, f"{100 * value.low:{sign}.1f}", f"{100 * value.high:{sign}.1f}")


def pair(first: float | None, second: float | None) -> Cell | None:
    """One or two numbers, as `8 bits / float`."""
    known = [f"{value:.2f}" for value in (first, second) if value is not None]
    return Cell(" / ".join(known)) if known else None


def plain(value: float | None, form: str) -> Cell | None:
    """A number in a form such as `{:.1f}`; infinity as its sign."""
    if value is None:
        return None
    return Cell("∞" if value == float("inf") else form.format(value))


def bits(row: AttackRow) -> Cell | None:
    """Wrong bits after rounding and before."""
    return pair(*(n.value if n else None for n in (row.bits_wrong, row.bits_wrong_float)))


def perceptibility(row: AttackRow) -> Cell | None:
    """Root mean squared change in thousandths, after rounding and before."""
    return pair(*(None if v is None else 1000 * v for v in (row.rmse, row.rmse_float)))


def frames(row: AttackRow) -> Cell | None:
    """The same over the changed frames alone."""
    return pair(None if row.rmse_frames is None else 1000 * row.rmse_frames, None)


COLUMNS: tuple[Column, ...] = (
    Column(
        "t-MAP, 8 bits",
        "Mean average precision of the search results, counted for the label that the attacker "
        "wants. 100 means that all results with this label come first. The attacked queries are "
        "rounded to 8 bits, as every picture file is.",
        lambda r: percent(r.tmap),
        lambda r: [r.tmap],
        scale=True,
    ),
    Column(
        "t-MAP between runs",
        "Mean t-MAP over repeated runs of the attack on the same queries, and the interval in "
        "which another run would lie. The other intervals are about other queries.",
        lambda r: percent(r.tmap_runs),
        lambda r: [r.tmap_runs],
    ),
    Column(
        "t-MAP, float",
        "The same before the queries are rounded to 8 bits, as papers report it. No picture file "
        "holds such pixels.",
        lambda r: percent(r.tmap_float),
        lambda r: [r.tmap_float],
    ),
    Column(
        "t-MAP after H.264",
        "t-MAP of the attacked clips after they were saved as an H.264 video and read again. The "
        "signature names the quality of the video (crf).",
        lambda r: percent(r.tmap_codec),
        lambda r: [r.tmap_codec],
    ),
    Column(
        "ceiling",
        "t-MAP of the target codes themselves. The attack moves a query towards its target code, "
        "so it can hardly get above this. The database limits the ceiling; the attack and its "
        "budget decide how far below it the t-MAP stays.",
        lambda r: percent(r.ceiling),
        lambda r: [r.ceiling],
    ),
    Column(
        "lift",
        "t-MAP minus the t-MAP of the same queries untouched: the effect of the attack alone.",
        lambda r: percent(r.lift, "+"),
        lambda r: [r.lift],
    ),
    Column(
        "bits wrong, 8 bits / float",
        "Mean number of bits in which a query's code differs from its target code, after and "
        "before rounding to 8 bits.",
        bits,
        lambda r: [r.bits_wrong, r.bits_wrong_float],
    ),
    Column(
        "perceptibility, 8 bits / float",
        "Root of the mean squared change of a query in thousandths of [0, 1], after and before "
        "rounding to 8 bits; the mean over queries.",
        perceptibility,
    ),
    Column(
        "perceptibility, changed frames",
        "The same over the changed frames of a clip alone: what a viewer sees in such a frame.",
        frames,
    ),
    Column("L-inf", "The largest change of any value.", lambda r: plain(r.linf, "{:.0f}/255")),
    Column(
        "PSNR",
        "Peak signal-to-noise ratio in dB. Higher is closer to the original.",
        lambda r: plain(r.psnr, "{:.1f}"),
        media=("page",),
    ),
    Column(
        "SSIM",
        "Structural similarity. 1 means identical.",
        lambda r: plain(r.ssim, "{:.3f}"),
        media=("page",),
    ),
    Column(
        "MAP",
        "Mean average precision for the queries' own labels: how good the search still is for its "
        "users.",
        lambda r: percent(r.own_map),
        lambda r: [r.own_map],
    ),
    Column(
        "MAP untouched after H.264",
        "MAP of untouched clips after the same H.264 video: the effect of the codec alone.",
        lambda r: percent(r.own_map_codec),
        lambda r: [r.own_map_codec],
    ),
    Column(
        "steps",
        "Optimisation steps of a query, the mean over queries.",
        lambda r: plain(r.steps, "{:,}"),
    ),
    Column(
        "seconds",
        "Time spent in the attack itself, over all queries.",
        lambda r: plain(r.seconds, "{:.0f}"),
    ),
)
