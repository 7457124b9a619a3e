"""Numbers to pages: figures, and one HTML file that needs nothing beside it."""

from hashprobe.report.data import AttackRow, Curve, Example, Number, Picture, ReportData, Retrieved
from hashprobe.report.figures import curve_figure, curve_png, themed
from hashprobe.report.grids import Strip, Tile, tile_figure, tile_png
from hashprobe.report.markdown import markdown_table
from hashprobe.report.page import render, write_report
from hashprobe.report.verdict import headline, verdict


__all__ = [
    "AttackRow",
    "Curve",
    "Example",
    "Number",
    "Picture",
    "ReportData",
    "Retrieved",
    "Strip",
    "Tile",
    "curve_figure",
    "curve_png",
    "headline",
    "markdown_table",
    "render",
    "themed",
    "tile_figure",
    "tile_png",
    "verdict",
    "write_report",
]
