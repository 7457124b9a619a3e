"""Rows of pictures as one figure: queries, attacked queries, and what they retrieve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hashprobe.report.content import Picture
from hashprobe.report.figures import FAINT, INK, as_png, as_svg, drawing
from hashprobe.report.pictures import CRISP, crisp, frame_count, side_by_side


Mark = Literal["right", "wrong"]
MARKS = {"right": ("\u2713", "#00805e"), "wrong": ("\u2717", "#b34700")}
TILE, LABEL = 0.85, 0.32
"""Height of a tile and of the line below it, in inches on paper."""
PICTURE, GAP, QUERY_GAP = 0.92, 0.08 * TILE, 0.4 * TILE
"""Height of the picture itself, in tiles; inches between two, and more after a query."""
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
    gaps = GAP * len(wide) + gap
    tile = min(TILE, (ROOM - gaps) / (PICTURE * sum(wide)))
    starts = np.cumsum([1.1, *(PICTURE * tile * ratio + GAP for ratio in wide)])
    line = tile + LABEL
    width, height = starts[-1] + gap, line * len(strips)
    figure = Figure(figsize=(width, height))
    for row, strip in enumerate(strips):
        bottom = 1 - (row + 1) * line / height + 0.27 / height
        x, y = (starts[0] - 0.08) / width, bottom + tile / 2 / height
        figure.text(x, y, strip.label, ha="right", va="center", fontsize=8, wrap=True)
        for place, shown in enumerate(strip.tiles):
            x = starts[place] + (QUERY_GAP if strip.gap and place else 0)
            side = PICTURE * tile
            box = (x / width, bottom, side * aspect(shown) / width, side / height)
            draw_tile(figure.add_axes(box), shown, tile / TILE)
    return figure


def aspect(tile: Tile) -> float:
    """Width over height of a picture or strip."""
    height, width = tile.picture.shape[-2:]
    return float(width * (frame_count(tile.picture) or 1) / height)


def draw_tile(axes: Any, tile: Tile, scale: float) -> None:
    """One picture with its text; white lines between the frames of a strip.

    What is drawn smaller than usual is stored smaller, too, but small pictures stay exact.
    """
    from PIL import Image

    height, width = tile.picture.shape[-2:]
    frames = frame_count(tile.picture) or 1
    pixels = side_by_side(tile.picture)
    if scale < 1 and not crisp(tile.picture):
        side = max(CRISP, round(height * scale))
        shape = round(frames * width * side / height), side
        pixels = np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.LANCZOS))
    axes.imshow(pixels, interpolation="none", aspect="auto", extent=(0, frames * width, height, 0))
    for place in range(1, frames):
        axes.axvline(place * width, color="white", linewidth=1)
    axes.set_xticks([])
    axes.set_yticks([])
    sign, colour = MARKS[tile.mark] if tile.mark else ("", FAINT)
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(1.5 if tile.mark else 0.5)
    text = f"{sign} {tile.text}".strip()
    axes.set_xlabel(text[:16], fontsize=6.5, labelpad=2, color=colour if sign else INK)
