"""Rows of pictures as one figure: queries, their twins, and what they retrieve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hashprobe.report.data import Picture
from hashprobe.report.figures import FAINT, INK, as_png, as_svg, drawing
from hashprobe.report.pictures import frame_count, side_by_side


Mark = Literal["right", "wrong"]
MARKS = {"right": ("\u2713", "#00805e"), "wrong": ("\u2717", "#b34700")}
TILE, LABEL = 0.85, 0.32
"""Height of a tile and of the line below it, in inches on paper."""
PICTURE, QUERY_GAP = 0.92, 0.4
"""Height of the picture itself, and what sets a query apart, in tiles."""
ROOM = 11.5 * TILE
"""Inches that a row may take; rows of long filmstrips are scaled down to it."""


@dataclass(frozen=True)
class Tile:
    """One picture of a grid.

    Example:
        >>> Tile(np.zeros((3, 8, 8), np.uint8), "cat", "right").mark
        'right'
    """

    picture: Picture
    """Keeps its shape: a strip of three frames is three times as wide as one."""
    text: str = ""
    """Below it."""
    mark: Mark | None = None
    """A tick or a cross beside the text."""


@dataclass(frozen=True)
class Strip:
    """One row of a grid.

    Example:
        >>> Strip("benign", (Tile(np.zeros((3, 8, 8), np.uint8)),)).label
        'benign'
    """

    label: str
    """Beside it."""
    tiles: tuple[Tile, ...]
    gap: bool = False
    """Whether the first tile stands apart, as a query before its results."""


def tile_figure(strips: Sequence[Strip], *, salt: str = "tiles") -> str:
    """Rows of pictures as SVG, single pixels kept.

    Args:
        strips: at least one row.
        salt: enters the ids within the SVG; give each figure of one page its own.

    Returns:
        A whole SVG file as text.

    Example:
        >>> strip = Strip("benign", (Tile(np.zeros((3, 8, 8), np.uint8), "cat", "right"),))
        >>> tile_figure([strip]).count("<image")
        1
    """
    with drawing(salt):
        return as_svg(draw(strips))


def tile_png(strips: Sequence[Strip]) -> bytes:
    """The same as a PNG on white.

    Args:
        strips: at least one row.

    Example:
        >>> tile_png([Strip("", (Tile(np.zeros((3, 8, 8), np.uint8)),))])[1:4]
        b'PNG'
    """
    with drawing("png"):
        return as_png(draw(strips))


def draw(strips: Sequence[Strip]) -> Any:
    """The drawn figure: a column for labels, then the pictures, each column as wide as its widest.

    Strips of fewer frames than others stand at the left of their column.
    """
    from matplotlib.figure import Figure

    gap = QUERY_GAP * any(strip.gap for strip in strips)
    columns = range(max(len(strip.tiles) for strip in strips))
    wide = [max(aspect(s.tiles[i]) for s in strips if i < len(s.tiles)) for i in columns]
    steps = PICTURE * np.array(wide) + (1 - PICTURE)
    tile = min(TILE, ROOM / (steps.sum() + gap))
    left, line = 1.1, tile + LABEL
    width, height = left + tile * (steps.sum() + gap), line * len(strips)
    figure = Figure(figsize=(width, height))
    for row, strip in enumerate(strips):
        bottom = 1 - (row + 1) * line / height + 0.27 / height
        figure.text(
            (left - 0.08) / width, bottom + tile / 2 / height, strip.label, ha="right", va="center",
            fontsize=8, wrap=True,
        )  # fmt: skip
        for place, shown in enumerate(strip.tiles):
            x = left + tile * (steps[:place].sum() + (QUERY_GAP if strip.gap and place else 0))
            side = PICTURE * tile
            box = (x / width, bottom, side * aspect(shown) / width, side / height)
            draw_tile(figure.add_axes(box), shown)
    return figure


def aspect(tile: Tile) -> float:
    """Width over height of a picture or strip."""
    height, width = tile.picture.shape[-2:]
    return float(width * (frame_count(tile.picture) or 1) / height)


def draw_tile(axes: Any, tile: Tile) -> None:
    """One picture with its text; white lines between the frames of a strip."""
    axes.imshow(side_by_side(tile.picture), interpolation="none", aspect="auto")
    for place in range(1, frame_count(tile.picture) or 1):
        axes.axvline(place * tile.picture.shape[-1] - 0.5, color="white", linewidth=1)
    axes.set_xticks([])
    axes.set_yticks([])
    sign, colour = MARKS[tile.mark] if tile.mark else ("", FAINT)
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(1.5 if tile.mark else 0.5)
    text = f"{sign} {tile.text}".strip()
    axes.set_xlabel(text[:16], fontsize=6.5, labelpad=2, color=colour if sign else INK)
