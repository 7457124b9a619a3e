"""The figures of a result, as SVG and PNG."""

from dataclasses import dataclass
from typing import Any

from hashprobe.paper.result import Result
from hashprobe.paper.retrieval_curves import row_codes
from hashprobe.paper.running import Runner
from hashprobe.report.content import Curve, Example, Picture
from hashprobe.report.figures import curve_figure, curve_png
from hashprobe.report.grids import Mark, Strip, Tile, tile_figure, tile_png
from hashprobe.report.pictures import amplification, amplified_difference
from hashprobe.report.rows import curves_of
from hashprobe.workflow.examples import make_examples
from hashprobe.workflow.run_io import EncodedRun


EXAMPLES, PICTURES, CLIPS = 4, 8, 3
"""Queries shown with their results, and images or clips shown beside the attacked ones."""


@dataclass(frozen=True)
class Drawing:
    """One figure in both forms."""

    name: str
    """Of its files."""
    caption: str
    svg: str
    png: bytes


def draw(result: Result, runner: Runner) -> list[Drawing]:
    """The figures of a recipe; a table has none.

    Args:
        result: its numbers.
        runner: opens the victims, for curves and pictures.
    """
    kind = result.recipe.show
    if kind == "table":
        return []
    if kind == "lines":
        return [lines(result)]
    victim = runner.victim(result.recipe.all_cells()[0])
    if kind == "curves":
        return curves(result, victim)
    return [examples(result, victim) if kind == "examples" else pictures(result, victim)]


def lines(result: Result) -> Drawing:
    """One line a column over the rows that have the axis; the others are levels."""
    recipe, axis = result.recipe, result.recipe.axis
    on = [i for i, row in enumerate(recipe.rows) if axis in row.shared]
    off = [i for i, row in enumerate(recipe.rows) if axis not in row.shared]
    x = [float(recipe.rows[i].shared[axis]) for i in on]
    found, levels = [], []
    for j, column in enumerate(recipe.columns):
        entries = [result.grid[i, j] for i in on]
        y = [entry.value / 100 for entry in entries]
        found.append(Curve(column.name, x, y, entries[0].signature))
        levels += [result.grid[i, j].value / 100 for i in off]
    cell = recipe.cell(recipe.rows[on[0]], recipe.columns[0])
    labels: dict[str, Any] = {"x_label": axis, "y_label": cell.measure}
    caption = f"{cell.measure} by {axis}"
    if off:
        caption += "; dotted: " + "; ".join(level(result, i) for i in off)
    return Drawing(
        recipe.name,
        caption,
        curve_figure(found, **labels, levels=levels, salt=recipe.name),
        curve_png(found, **labels, levels=levels),
    )


def level(result: Result, row: int) -> str:
    """A row that is a level of its own, in words: its name and its numbers."""
    values = [result.grid[row, j].value for j in range(len(result.recipe.columns))]
    return f"{result.recipe.rows[row].name} {', '.join(f'{value:.1f}' for value in values)}"


def curves(result: Result, victim: EncodedRun) -> list[Drawing]:
    """Precision over recall, and precision at N; `original` by own labels, as in the paper."""
    recipe, database, sets = result.recipe, victim.database, []
    for i, row in enumerate(recipe.rows):
        sets.append((row.name, *row_codes(recipe, i, result.attacks[i, 0], victim)))
    pr, precision = curves_of(sets, database.codes, database.labels)
    drawn = []
    for name, caption, found, x_label, log_x in (
        ("precision-recall", "Precision over recall", pr, "Recall", False),
        ("precision", "Precision at N", precision, "N", True),
    ):
        whole = f"{recipe.name}-{name}"
        svg = curve_figure(found, x_label=x_label, y_label="Precision", log_x=log_x, salt=whole)
        png = curve_png(found, x_label=x_label, y_label="Precision", log_x=log_x)
        drawn.append(Drawing(whole, f"{caption}. {found[0].signature}", svg, png))
    return drawn


def shown(result: Result, victim: EncodedRun, count: int) -> tuple[Example, ...]:
    """The first attacked queries with their results."""
    done = result.attacks[0, 0]
    return make_examples(done, count, victim.data, victim.hasher, victim.database)


def examples(result: Result, victim: EncodedRun) -> Drawing:
    """Two rows a query: what it retrieves untouched, and what it retrieves attacked."""
    strips = []
    for example in shown(result, victim, EXAMPLES):
        own, target = ", ".join(example.labels), ", ".join(example.targets)
        benign = Tile(few(example.image), own)
        before = (Tile(r.image, ", ".join(r.labels), mark(r.own)) for r in example.before)
        strips.append(Strip("benign query", (benign, *before), gap=True))
        twin = Tile(few(example.adversarial), f"to {target}")
        after = (Tile(r.image, ", ".join(r.labels), mark(r.target)) for r in example.after)
        strips.append(Strip("adversarial", (twin, *after), gap=True))
    caption = (
        "The first queries of the experiment, none picked by its result. A tick is the query's own "
        "label above, the target label below."
    )
    name = result.recipe.name
    return Drawing(name, caption, tile_figure(strips, salt=name), tile_png(strips))


def few(picture: Picture) -> Picture:
    """Of a strip its first, middle and last frame, as wide as the results beside it."""
    if picture.ndim == 3:
        return picture
    return picture[sorted({0, (len(picture) - 1) // 2, len(picture) - 1})]


def mark(right: bool) -> Mark:
    """The mark of a result."""
    return "right" if right else "wrong"


def pictures(result: Result, victim: EncodedRun) -> Drawing:
    """Three rows: queries, attacked ones, differences; for clips three a query (figure 9)."""
    clips = victim.data.query.video
    found = shown(result, victim, CLIPS if clips else PICTURES)
    factor = amplification((e.image, e.adversarial) for e in found)
    added = f"difference, {factor} times"
    strips = []
    for together in [(e,) for e in found] if clips else [found]:
        strips += [
            Strip("benign", tuple(Tile(e.image, ", ".join(e.labels)) for e in together)),
            Strip(
                "adversarial",
                tuple(Tile(e.adversarial, "to " + ", ".join(e.targets)) for e in together),
            ),
            Strip(
                added,
                tuple(Tile(amplified_difference(e.image, e.adversarial, factor)) for e in together),
            ),
        ]
    name = result.recipe.name
    caption = "The first queries of the experiment, none picked by its result."
    if clips:
        numbers = ", ".join(str(n) for n in sorted({n for e in found for n in e.frames}))
        caption += f" Frames {numbers}; of each clip the usual ones or those that changed."
    return Drawing(name, caption, tile_figure(strips, salt=name), tile_png(strips))
