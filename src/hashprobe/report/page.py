"""The page: one HTML file with its figures, pictures, style and script inside."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from hashprobe.report.content import (
    AttackRow,
    Curve,
    Example,
    Number,
    Picture,
    ReportData,
    Retrieved,
)
from hashprobe.report.figures import curve_figure, themed
from hashprobe.report.pictures import (
    amplification,
    amplified_difference,
    crisp,
    data_address,
    frame_count,
)
from hashprobe.report.verdict import confidence, floor, headline, verdict
from hashprobe.storage.files import write_bytes


if TYPE_CHECKING:
    from jinja2 import Template

QUERY_SIDE, RESULT_SIDE = 224, 112
"""Images above this many pixels a side are reduced on the page."""
QUERY_FRAME, RESULT_FRAME = 112, 56
"""The same for each frame of a clip, of which a page holds many more."""


def render(data: ReportData) -> str:
    """The whole page as text; it asks for no other file and no network.

    Args:
        data: numbers and pictures; parts that are missing are left out of the page.

    Returns:
        HTML, the same for the same data, numbers in per cent.

    Raises:
        HashprobeError: a picture is neither (3, H, W) nor (n, 3, H, W) uint8.

    Example:
        >>> page = render(ReportData("Audit of <small>"))
        >>> "Audit of &lt;small&gt;" in page, "http:" in page
        (True, False)
    """
    factor = amplification((e.image, e.adversarial) for e in data.examples)
    most = widest(e.image for e in data.examples)
    page = template().render(
        data=data,
        headline=headline(data),
        verdict=verdict(data),
        rows=[row_view(row, data) for row in data.rows],
        columns=columns(data.rows),
        measures=[(name, text) for name, text, shown in MEASURES if shown(data)],
        confidence=confidence(data),
        signatures=signatures(data),
        figures=figures(data),
        factor=factor,
        examples=[example_view(example, factor) for example in data.examples],
        reduced=any(not crisp(example.image) for example in data.examples),
        reduced_to=f"Frames above {QUERY_FRAME}" if most else f"Pictures above {QUERY_SIDE}",
        most_frames=most,
        most_result_frames=widest(r.image for e in data.examples for r in (*e.before, *e.after)),
    )
    # XML and HTML both refuse these; a hostile file name may hold them.
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", page)


def write_report(data: ReportData, path: str | PurePath) -> int:
    """Writes the page, whole or not at all.

    Args:
        data: numbers and pictures.
        path: the HTML file to make or replace.

    Returns:
        Its size in bytes.

    Raises:
        HashprobeError: a picture is neither (3, H, W) nor (n, 3, H, W) uint8, or the disk refuses.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(ReportData("An audit"), path) == path.stat().st_size
        True
    """
    content = render(data).encode()
    write_bytes(path, content)
    return len(content)


@lru_cache
def template(package: str = "report", name: str = "report.html.jinja") -> "Template":
    """A page, to be filled in; what it lacks is an error and all text is escaped.

    Args:
        package: where the template is, a package of hashprobe; all share the report's style.css.
        name: its file.
    """
    import jinja2

    def read(file: str) -> str | None:
        places = (resources.files(f"hashprobe.{folder}") / file for folder in (package, "report"))
        return next((place.read_text("utf-8") for place in places if place.is_file()), None)

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name)


@dataclass(frozen=True)
class Column:
    """A column of the table, shown where any row has a value for it."""

    title: str
    hint: str
    text: Callable[[AttackRow], str | None]
    interval: Callable[[AttackRow], str] = lambda row: ""


def number(value: Number | None, sign: str = "") -> str | None:
    """A measure in per cent; None where there is none."""
    return None if value is None else f"{100 * value.value:{sign}.1f}"


def interval(value: Number | None, sign: str = "") -> str:
    """The interval of a measure in per cent."""
    if value is None or value.low is None or value.high is None:
        return ""
    return f"{100 * value.low:{sign}.1f} to {100 * value.high:{sign}.1f}"


def decimal(value: float | None, digits: int) -> str | None:
    """A plain number with so many digits; None where there is none."""
    if value is None:
        return None
    return "∞" if value == float("inf") else f"{value:.{digits}f}"


COLUMNS = (
    Column(
        "Ceiling",
        "t-MAP of the target codes themselves",
        lambda r: number(r.ceiling),
        lambda r: interval(r.ceiling),
    ),
    Column(
        "Lift",
        "t-MAP above that of the untouched queries",
        lambda r: number(r.lift, "+"),
        lambda r: interval(r.lift, "+"),
    ),
    Column("Float", "t-MAP before rounding to 8 bits", lambda r: number(r.tmap_float)),
    Column("Own MAP", "MAP for the queries' own labels", lambda r: number(r.own_map)),
    Column(
        "Bits wrong",
        "mean bits that differ from the target code",
        lambda r: decimal(r.bits_wrong.value if r.bits_wrong else None, 1),
    ),
    Column(
        "After H.264",
        "t-MAP after H.264",
        lambda r: number(r.tmap_codec),
        lambda r: interval(r.tmap_codec),
    ),
    Column(
        "Untouched after H.264",
        "MAP for their own labels of untouched clips after the same H.264",
        lambda r: number(r.own_map_codec),
        lambda r: interval(r.own_map_codec),
    ),
    Column("RMSE", "root mean square change, of 1", lambda r: decimal(r.rmse, 4)),
    Column(
        "RMSE, frames",
        "root mean square change of the changed frames, of 1",
        lambda r: decimal(r.rmse_frames, 4),
    ),
    Column("L∞", "largest change, of 255", lambda r: decimal(r.linf, 0)),
    Column("PSNR", "peak signal-to-noise ratio, dB", lambda r: decimal(r.psnr, 1)),
    Column("SSIM", "structural similarity, of 1", lambda r: decimal(r.ssim, 3)),
    Column(
        "Steps",
        "optimisation steps a query",
        lambda r: None if r.steps is None else f"{r.steps:,}",
    ),
)


def columns(rows: Sequence[AttackRow]) -> list[Column]:
    """The columns in which at least one row has something to show."""
    return [c for c in COLUMNS if any(c.text(row) is not None for row in rows)]


def row_view(row: AttackRow, data: ReportData) -> dict[str, Any]:
    """What the table and its little scale (0 to 100) show of a row."""
    view: dict[str, Any] = {
        "name": row.name,
        "kind": row.kind,
        "budget": row.budget,
        "cells": [(column.text(row), column.interval(row)) for column in columns(data.rows)],
        "tmap": None,
    }
    if row.tmap is not None:
        low, high = row.tmap.low, row.tmap.high
        known = low is not None and high is not None
        start = floor(row, data.rows)
        view |= {
            "tmap": number(row.tmap),
            "signature": row.tmap.signature,
            "interval": interval(row.tmap),
            "at": place(row.tmap.value),
            "low": place(low) if known else None,
            "high": place(high) if known else None,
            "ceiling": place(row.ceiling.value) if row.ceiling else None,
            "floor": place(start.value) if start else None,
        }
    return view


def place(value: float | None) -> str:
    """A value in [0, 1] on the table's scale of 100 units."""
    return f"{100 * min(1.0, max(0.0, value or 0.0)):.1f}"


def has(name: str) -> Callable[[ReportData], bool]:
    """A question to the data: does any row have this?"""
    return lambda data: any(getattr(row, name) is not None for row in data.rows)


MEASURES = (
    (
        "t-MAP",
        "mean average precision of the search results, counted for the label the attacker wants: "
        "100 means that results with it come before all others.",
        has("tmap"),
    ),
    (
        "Interval",
        "where the value would fall for other queries of this kind (bootstrap over queries).",
        lambda data: any(row.tmap is not None and row.tmap.low is not None for row in data.rows),
    ),
    (
        "Ceiling",
        "t-MAP of searching with the target codes themselves. The attack bends a query towards "
        "its target code, so it can hardly do better: a low ceiling is the code's doing, a gap "
        "below the ceiling that of the attack and its budget.",
        has("ceiling"),
    ),
    (
        "Lift",
        "t-MAP minus that of the same queries untouched: what the attack itself has done.",
        has("lift"),
    ),
    (
        "Float",
        "t-MAP of the queries before they were rounded to 8 bits, as papers report it; nobody "
        "can upload such pixels.",
        has("tmap_float"),
    ),
    (
        "Own MAP",
        "mean average precision for the queries' own labels: what a user of the search loses.",
        lambda data: data.clean is not None or has("own_map")(data),
    ),
    (
        "Bits wrong",
        "bits in which the query's code still differs from the target code.",
        has("bits_wrong"),
    ),
    (
        "After H.264",
        "t-MAP of the clips once they have been through a real video file, as at a site that takes "
        "uploads, and MAP for their own labels of untouched clips that went the same way: what the "
        "codec alone does. The signature says how coarse it was (crf).",
        has("tmap_codec"),
    ),
    (
        "RMSE",
        "root of the mean squared change of a query, pixels from 0 to 1; mean over queries.",
        has("rmse"),
    ),
    (
        "RMSE, frames",
        "the same over those frames of a clip that were changed at all: what a viewer sees in such "
        "a frame, however few they are.",
        has("rmse_frames"),
    ),
    ("L∞", "the largest change of any value, in 1/255.", has("linf")),
    (
        "PSNR",
        "peak signal-to-noise ratio in dB: higher is closer to the original.",
        has("psnr"),
    ),
    ("SSIM", "structural similarity: 1 is identical.", has("ssim")),
    (
        "Distance",
        "number of bits in which two codes differ (Hamming); results are sorted by it.",
        lambda data: bool(data.examples),
    ),
)


def signatures(data: ReportData) -> list[tuple[str, str]]:
    """Every signature on the page, once, with the measures it belongs to."""
    named: dict[str, list[str]] = {}
    pairs: list[tuple[str, Number | None]] = [("MAP", data.clean)]
    for row in data.rows:
        pairs += [
            ("t-MAP", row.tmap),
            ("Float", row.tmap_float),
            ("Ceiling", row.ceiling),
            ("Lift", row.lift),
            ("Own MAP", row.own_map),
            ("Bits wrong", row.bits_wrong),
            ("After H.264", row.tmap_codec),
            ("Untouched after H.264", row.own_map_codec),
        ]
    for name, value in pairs:
        if value is not None and name not in named.setdefault(value.signature, []):
            named[value.signature].append(name)
    figures = {"Precision and recall": data.pr_curves, "Precision of N": data.precision_curves}
    for name, curves in figures.items():
        for signature in dict.fromkeys(curve.signature for curve in curves if curve.signature):
            named.setdefault(signature, []).append(name)
    return [(", ".join(names), signature) for signature, names in named.items()]


def figures(data: ReportData) -> list[dict[str, Any]]:
    """The figures that have curves, as inline SVG with their captions."""
    from markupsafe import Markup

    result = []
    plans: tuple[tuple[str, Sequence[Curve], str, bool, str], ...] = (
        ("pr", data.pr_curves, "Recall", False, "Precision against recall"),
        (
            "pn",
            data.precision_curves,
            "N, length of the result list",
            any(max(curve.x) > 50 and min(curve.x) > 0 for curve in data.precision_curves),
            "Precision of the first N results",
        ),
    )
    for name, curves, x_label, log_x, title in plans:
        if curves:
            svg = curve_figure(curves, x_label=x_label, y_label="Precision", log_x=log_x, salt=name)
            label = f"{title}, for {', '.join(curve.label for curve in curves)}"
            result.append({"title": title, "svg": Markup(themed(svg, name, label))})
    return result


def widest(pictures: Iterable[Picture]) -> int:
    """The frames of the longest strip, to which all are scaled alike; 0 where there are images."""
    return max((frame_count(picture) or 0 for picture in pictures), default=0)


def picture_view(picture: Picture, side: int, frame: int, *, smooth: bool = True) -> dict[str, Any]:
    """What the page needs to show an image, or a strip of frames."""
    frames = frame_count(picture)
    return {
        "src": data_address(picture, frame if frames else side, smooth=smooth),
        "crisp": crisp(picture),
        "frames": frames,
    }


def example_view(example: Example, factor: int) -> dict[str, Any]:
    """Pictures as addresses, and what the lists hold in numbers."""
    difference = amplified_difference(example.image, example.adversarial, factor)
    sides = QUERY_SIDE, QUERY_FRAME
    return {
        "query": example.query,
        "labels": ", ".join(example.labels) or "no label",
        "targets": ", ".join(example.targets) or "no label",
        "note": example.note,
        "frames": ", ".join(str(number) for number in example.frames),
        "image": picture_view(example.image, *sides),
        "twin": picture_view(example.adversarial, *sides),
        "difference": picture_view(difference, *sides, smooth=False),
        "lists": [
            list_view("Before", example.before),
            list_view("After", example.after),
        ],
    }


def list_view(title: str, items: Sequence[Retrieved]) -> dict[str, Any]:
    """A list of search results, as the page shows it."""
    return {
        "title": title,
        "count": len(items),
        "own": sum(item.own for item in items),
        "target": sum(item.target for item in items),
        "items": [
            {
                "image": picture_view(item.image, RESULT_SIDE, RESULT_FRAME),
                "labels": ", ".join(item.labels) or "no label",
                "distance": item.distance,
                "own": item.own,
                "target": item.target,
            }
            for item in items
        ],
    }
