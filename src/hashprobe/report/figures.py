"""Curves as SVG: text stays text, and equal numbers give equal bytes."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hashprobe.report.content import Curve
from hashprobe.text import visible


COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, told apart by colour-blind readers; `themed` turns it to variables."""
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)))
INK = "#1b1f24"
FAINT = "#d0d4d9"


def curve_figure(
    curves: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    levels: Sequence[float] = (),
    salt: str = "fig",
) -> str:
    """Draws curves whose y lies in [0, 1].

    Args:
        curves: at least one; told apart by colour and by dash.
        x_label: text below the x axis.
        y_label: text beside the y axis.
        log_x: a logarithmic x axis, for N.
        levels: for each curve a height in [0, 1] that is drawn across in its colour.
        salt: enters the ids within the SVG; give each figure of one page its own.

    Returns:
        A whole SVG file as text, the same for the same arguments.

    Example:
        >>> svg = curve_figure([Curve("DHTA", [0, 1], [1, 0.5])], x_label="Recall", y_label="P")
        >>> svg.count("<svg"), "DHTA" in svg
        (1, True)
    """
    with drawing(salt):
        return as_svg(curve_axes(curves, x_label, y_label, log_x, levels))


def curve_png(
    curves: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    levels: Sequence[float] = (),
) -> bytes:
    """The same as a PNG on white, for slides and papers.

    Args:
        curves: as for `curve_figure`, as is the rest.
        x_label: text below the x axis.
        y_label: text beside the y axis.
        log_x: a logarithmic x axis.
        levels: heights across.

    Example:
        >>> curve_png([Curve("DHTA", [0, 1], [1, 0.5])], x_label="Recall", y_label="P")[1:4]
        b'PNG'
    """
    with drawing("png"):
        return as_png(curve_axes(curves, x_label, y_label, log_x, levels))


@contextmanager
def drawing(salt: str) -> Iterator[None]:
    """Matplotlib as figures here want it: text stays text, ids follow the salt."""
    import matplotlib

    style: dict[Any, Any] = {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # The browser brings the fonts: a letter that matplotlib's own lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def curve_axes(
    curves: Sequence[Curve], x_label: str, y_label: str, log_x: bool, levels: Sequence[float]
) -> Any:
    """The drawn figure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(5.0, 3.9), layout="constrained")
    axes = figure.add_subplot()
    lines = []
    for place, curve in enumerate(curves):
        dash, colour = DASHES[place % len(DASHES)], COLOURS[place % len(COLOURS)]
        marker = "o" if levels else None
        lines += axes.plot(
            curve.x, curve.y, color=colour, linestyle=dash, linewidth=2, marker=marker
        )
    for place, level in enumerate(levels):
        axes.axhline(level, color=COLOURS[place % len(COLOURS)], linestyle=":", linewidth=1.2)
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    # A label that starts with an underscore would be left out of the legend.
    labels = [re.sub("^_", "\u200b_", visible(curve.label)) for curve in curves]
    columns = 2 if max(map(len, labels)) <= 24 else 1
    figure.legend(
        lines, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3
    )
    return figure


def as_svg(figure: Any) -> str:
    """A figure as SVG text."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    stream = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=metadata)
    return stream.getvalue()


def as_png(figure: Any) -> bytes:
    """A figure as a PNG of 200 dots an inch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def attributes(style: re.Match[str]) -> str:
    """The properties of a style as attributes: the policy of a page forbids such styles."""
    pairs = [part.split(":", 1) for part in style[1].split(";") if ":" in part]
    # Where a property is given twice, the last one counts.
    known = {name.strip(): value.strip() for name, value in pairs}
    return "".join(f' {name}="{value}"' for name, value in known.items())


def themed(svg: str, name: str, title: str) -> str:
    """An SVG as part of a page: colours follow the page's theme and no address is left in it.

    Args:
        svg: from `curve_figure`.
        name: goes before every id, so that two figures of a page do not clash.
        title: what the figure shows, read out instead of it.

    Returns:
        One `<svg>` element.

    Example:
        >>> svg = curve_figure([Curve("A", [0, 1], [1, 0.5])], x_label="x", y_label="y")
        >>> "http" in themed(svg, "pr", "Precision & recall")
        False
    """
    from markupsafe import escape

    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sid="', f' id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    view = re.search(r'viewBox="[^"]*"', body)
    # What matplotlib states for all in a style of its own.
    joints = 'stroke-linejoin="round" stroke-linecap="butt"'
    opening = (
        f'<svg {view[0] if view else ""} class="figure" {joints} role="img" '
        f'aria-label="{escape(title)}">'
    )
    body = re.sub(r"\s*<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sstyle="([^"]*)"', attributes, body)
    body = opening + body[body.index(">") + 1 :]
    for place, colour in enumerate(COLOURS):
        body = body.replace(colour, f"var(--line-{place})")
    return body.replace(INK, "var(--ink)").replace(FAINT, "var(--rule)")
