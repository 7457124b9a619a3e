"""The columns of the table: which are shown where, and what stands in their cells."""

from dataclasses import replace

import pytest

from hashprobe.report.columns import COLUMNS, Cell, columns_of
from hashprobe.report.content import AttackRow


def cell(title, row):
    return next(column for column in COLUMNS if column.title == title).cell(row)


def test_every_column_has_its_own_title_and_a_meaning():
    assert len({column.title for column in COLUMNS}) == len(COLUMNS)
    assert all(column.meaning.endswith(".") for column in COLUMNS)
    assert sum(column.scale for column in COLUMNS) == 1


@pytest.mark.parametrize("medium", ["page", "markdown"])
def test_a_column_is_shown_where_any_row_has_a_cell(rows, medium):
    titles = [column.title for column in columns_of(rows, medium)]
    assert "lift" in titles and "t-MAP after H.264" not in titles
    assert ("PSNR" in titles) is (medium == "page")
    codec = replace(rows[3], tmap_codec=rows[3].tmap)
    assert "t-MAP after H.264" in [c.title for c in columns_of((*rows, codec), medium)]
    assert columns_of((AttackRow("A", "attack"),), medium) == []


def test_cells(rows, number):
    dhta = replace(
        rows[3],
        bits_wrong_float=number(0.5),
        rmse_float=0.02,
        rmse_frames=0.0312,
        seconds=12.4,
        own_map_codec=number(0.7, None),
    )
    assert cell("t-MAP, 8 bits", dhta) == Cell("82.3", "80.3", "84.3")
    assert cell("lift", dhta) == Cell("+77.2", "+75.2", "+79.2")
    assert cell("MAP untouched after H.264", dhta) == Cell("70.0")
    assert cell("bits wrong, 8 bits / float", dhta) == Cell("1.25 / 0.50")
    assert cell("bits wrong, 8 bits / float", rows[3]) == Cell("1.25")
    assert cell("perceptibility, 8 bits / float", dhta) == Cell("21.50 / 20.00")
    assert cell("perceptibility, changed frames", dhta) == Cell("31.20")
    assert cell("L-inf", dhta) == Cell("8/255")
    assert cell("PSNR", replace(dhta, psnr=float("inf"))) == Cell("∞")
    assert cell("steps", dhta) == Cell("2,000")
    assert cell("seconds", dhta) == Cell("12")
    assert all(column.cell(AttackRow("A", "attack")) is None for column in COLUMNS)


def test_signatures_belong_to_measures_that_a_cell_shows(rows):
    for column in COLUMNS:
        for row in rows:
            known = [number for number in column.numbers(row) if number is not None]
            assert not known or column.cell(row) is not None
