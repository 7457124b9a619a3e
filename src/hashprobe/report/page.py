"""The page: one HTML file with its figures, pictures, style and script inside."""

import base64
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from hashprobe.report.columns import COLUMNS, Cell, Column, columns_of
from hashprobe.report.content import (
    AttackRow,
    Curve,
    Example,
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
from hashprobe.text import visible


if TYPE_CHECKING:
    from jinja2 import Template

UNSAFE_IN_PAGES = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
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
    columns = columns_of(data.rows, "page")
    factor = amplification((e.image, e.adversarial) for e in data.examples)
    most = widest(e.image for e in data.examples)
    page = template().render(
        data=data,
        headline=headline(data),
        verdict=verdict(data),
        rows=[row_view(row, columns, data.rows) for row in data.rows],
        columns=columns,
        measures=measures(data, columns),
        confidence=confidence(data),
        signatures=signatures(data),
        figures=figures(data),
        intervals=any(cell and cell.low for row in data.rows for cell in cells(row, columns)),
        scaled=any(row.tmap is not None for row in data.rows),
        factor=factor,
        examples=[example_view(example, factor) for example in data.examples],
        lists=any(example.before or example.after for example in data.examples),
        marked={
            "own": any(example.labels or example.targets for example in data.examples),
            "target": any(example.targets for example in data.examples),
        },
        reduced=any(not crisp(example.image) for example in data.examples),
        reduced_to=f"Frames above {QUERY_FRAME}" if most else f"Pictures above {QUERY_SIDE}",
        policy=POLICY,
        film_sizes=sorted(film_sizes(data.examples)),
        most_frames=most,
        most_result_frames=widest(r.image for e in data.examples for r in (*e.before, *e.after)),
    )
    return secured(page)


POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"


def secured(page: str) -> str:
    """A page that runs its own script, has its own style, and loads nothing; see `POLICY`.

    Args:
        page: HTML with `POLICY` where its policy belongs, and at most one script.

    Returns:
        The page; characters that HTML refuses or a terminal would obey are spelt out.

    Example:
        >>> print(secured(f'<meta content="{POLICY}"><style>p {{ margin: 0 }}</style>'))
        <meta content="default-src 'none'; ... style-src 'sha256-..."><style>p { margin: 0 }</style>
    """
    # A hostile file name may hold them. What a reader sees must be in the order of the text.
    safe = visible(page)
    policy = POLICY
    for kind in ("style", "script"):
        # All text is escaped, so these are the page's own.
        found = re.findall(f"<{kind}>(.*?)</{kind}>", safe, flags=re.DOTALL)
        digests = [base64.b64encode(sha256(text.encode()).digest()).decode() for text in found]
        sources = " ".join(f"'sha256-{digest}'" for digest in digests)
        policy += f"; {kind}-src {sources or chr(39) + 'none' + chr(39)}"
    return safe.replace(POLICY, policy, 1)


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


def row_view(
    row: AttackRow, columns: Sequence[Column], rows: Sequence[AttackRow]
) -> dict[str, Any]:
    """What the table shows of a row."""
    return {
        "name": row.name,
        "kind": row.kind,
        "budget": row.budget,
        "cells": cells(row, columns),
        "scale": scale_view(row, rows),
        "signature": row.tmap.signature if row.tmap else "",
    }


def scale_view(row: AttackRow, rows: Sequence[AttackRow]) -> dict[str, str | None] | None:
    """The marks of a row on the scale from 0 to 100; None where it has no t-MAP."""
    if row.tmap is None:
        return None
    low, high, start = row.tmap.low, row.tmap.high, floor(row, rows)
    known = low is not None and high is not None
    return {
        "at": place(row.tmap.value),
        "low": place(low) if known else None,
        "high": place(high) if known else None,
        "ceiling": place(row.ceiling.value) if row.ceiling else None,
        "floor": place(start.value) if start else None,
    }


def place(value: float | None) -> str:
    """A value in [0, 1] on the table's scale of 100 units."""
    return f"{100 * min(1.0, max(0.0, value or 0.0)):.1f}"


INTERVAL = (
    "Where the value would lie for all queries of this kind. The signature names the method (ci); "
    "there is no interval for fewer than 10 queries."
)
DISTANCE = "Number of bits in which two codes differ (Hamming). Results are sorted by it."


def measures(data: ReportData, columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Every measure on the page with its meaning."""
    found = [(column.title, column.meaning) for column in columns]
    if any(cell is not None and cell.low for row in data.rows for cell in cells(row, columns)):
        found.append((f"{confidence(data)} interval", INTERVAL))
    if any(example.before or example.after for example in data.examples):
        found.append(("distance", DISTANCE))
    return found


def cells(row: AttackRow, columns: Sequence[Column]) -> list[Cell | None]:
    """The cells of a row."""
    return [column.cell(row) for column in columns]


def signatures(data: ReportData) -> list[tuple[str, str]]:
    """Every signature on the page, once, with the measures it belongs to."""
    named: dict[str, list[str]] = {}

    def add(title: str, signature: str) -> None:
        titles = named.setdefault(signature, [])
        if title not in titles:
            titles.append(title)

    if data.clean is not None:
        add("MAP", data.clean.signature)
    for column in COLUMNS:
        for number in (n for row in data.rows for n in column.numbers(row) if n is not None):
            add(column.title, number.signature)
    for title, curves in (
        ("precision and recall", data.pr_curves),
        ("precision of the first N", data.precision_curves),
    ):
        for curve in curves:
            if curve.signature:
                add(title, curve.signature)
    return [(", ".join(titles), signature) for signature, titles in named.items()]


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


def film_sizes(examples: Iterable[Example]) -> set[int]:
    """The lengths of all strips of frames on the page."""
    shown = (
        picture
        for example in examples
        for picture in (example.image, *(r.image for r in (*example.before, *example.after)))
    )
    return {frames for picture in shown if (frames := frame_count(picture))}


def picture_view(picture: Picture, side: int, frame: int, *, smooth: bool = True) -> dict[str, Any]:
    """What the page needs to show an image, or a strip of frames."""
    frames = frame_count(picture)
    return {
        "src": data_address(picture, frame if frames else side, smooth=smooth),
        "crisp": crisp(picture),
        "frames": frames,
    }


def example_view(example: Example, factor: int) -> dict[str, Any]:
    """What the page shows of an example; without labels it marks no result."""
    difference = amplified_difference(example.image, example.adversarial, factor)
    sides = QUERY_SIDE, QUERY_FRAME
    return {
        "query": example.query,
        "labels": ", ".join(example.labels) or ("no label" if example.targets else ""),
        "targets": ", ".join(example.targets),
        "note": example.note,
        "frames": ", ".join(str(number) for number in example.frames),
        "image": picture_view(example.image, *sides),
        "attacked": picture_view(example.adversarial, *sides),
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
                "labels": ", ".join(item.labels),
                "distance": item.distance,
                "own": item.own,
                "target": item.target,
            }
            for item in items
        ],
    }
