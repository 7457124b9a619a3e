"""Rows of pictures as one figure: queries, their twins, and what they retrieve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hashprobe.report.data import Picture
from hashprobe.report.figures import FAINT, INK, as_png, as_svg, drawing


Mark = Literal["right", "wrong"]
MARKS = {"right": ("\u2713", "#00805e"), "wrong": ("\u2717", "#b34700")}
TILE = 0.85
"""Inches of a picture on paper."""


@dataclass(frozen=True)
class Tile:
    """One picture of a grid.

    Example:
        >>> Tile(np.zeros((3, 8, 8), np.uint8), "cat", "right").mark
        'right'
    """

    picture: Picture
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
    """The drawn figure: a column for labels, then the pictures."""
    from matplotlib.figure import Figure

    count = max(len(strip.tiles) + strip.gap * 0.4 for strip in strips)
    left = 1.1
    width, height = left + TILE * count, (TILE + 0.32) * len(strips)
    figure = Figure(figsize=(width, height))
    for row, strip in enumerate(strips):
        bottom = 1 - (row + 1) * (TILE + 0.32) / height + 0.27 / height
        figure.text(
            (left - 0.08) / width, bottom + TILE / 2 / height, strip.label, ha="right", va="center",
            fontsize=8, wrap=True,
        )  # fmt: skip
        for place, tile in enumerate(strip.tiles):
            x = left + TILE * (place + (0.4 if strip.gap and place else 0))
            side = 0.92 * TILE
            axes = figure.add_axes((x / width, bottom, side / width, side / height))
            axes.imshow(np.ascontiguousarray(tile.picture.transpose(1, 2, 0)), interpolation="none")
            axes.set_xticks([])
            axes.set_yticks([])
            sign, colour = MARKS[tile.mark] if tile.mark else ("", FAINT)
            for spine in axes.spines.values():
                spine.set_color(colour)
                spine.set_linewidth(1.5 if tile.mark else 0.5)
            text = f"{sign} {tile.text}".strip()
            axes.set_xlabel(text[:16], fontsize=6.5, labelpad=2, color=colour if sign else INK)
    return figure
