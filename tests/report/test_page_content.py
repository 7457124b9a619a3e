"""What stands on the page is what went in: cells, scales, pictures and figures."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
from PIL import Image

from hashprobe.report.content import Curve, ReportData
from hashprobe.report.markdown import markdown_table
from hashprobe.report.page import figures, render


def table(page):
    """The rows of the table of attacks by heading; the scale comes as its shapes."""
    found = re.search(r'<table class="attacks".*?</table>', page, re.DOTALL)
    root = ET.fromstring(found[0])
    titles = ["".join(th.itertext()) for th in root.find("thead/tr")]
    rows = []
    for tr in root.findall("tbody/tr"):
        row = {}
        for title, cell in zip(titles, tr, strict=True):
            svg = cell.find("svg")
            text = [t.strip() for t in cell.itertext() if t.strip()]
            row["scale" if svg is not None else title] = text if svg is None else list(svg)
        rows.append(row)
    return rows


def test_every_cell_stands_under_its_heading(data, rows, number):
    """The cells are those of Markdown, and of measures that only the page has."""
    dhta = replace(rows[3], floor=rows[0].tmap, ceiling=number(0.874, 0.01))
    row = table(render(replace(data, rows=(*rows[:3], dhta))))[3]
    scale = row.pop("scale")
    assert row.pop("attack") == ["DHTA", "8/255"]
    head, _, *lines = markdown_table((*rows[:3], dhta)).split("\n\n")[0].splitlines()
    titles, cells = ([c.strip() for c in line.strip("|").split("|")] for line in (head, lines[3]))
    for title, cell in zip(titles[2:], cells[2:], strict=True):
        assert " ".join(row.pop(title)).replace(" to ", ", ") == cell.translate({91: "", 93: ""})
    assert row == {"PSNR": ["33.2"], "SSIM": ["0.953"]}
    places = {shape.get("class").split()[0]: shape for shape in scale}
    assert (places["tick"].get("x1"), places["tick"].get("x2")) == ("5.1", "5.1")
    assert (places["cap"].get("x1"), places["cap"].get("x2")) == ("87.4", "87.4")
    assert (places["spread"].get("x1"), places["spread"].get("x2")) == ("80.3", "84.3")
    assert places["dot"].get("cx") == "82.3"


def test_the_tick_is_the_floor_of_the_row(data, rows, number):
    own = replace(rows[3], floor=number(0.2, signature="other"))
    (tick,) = [s for s in table(render(replace(data, rows=(rows[0], own))))[1]["scale"]
               if s.get("class") == "tick"]  # fmt: skip
    assert tick.get("x1") == "20.0"


def picture(address):
    raw = base64.b64decode(address.split(",", 1)[1])
    return np.array(Image.open(io.BytesIO(raw)).convert("RGB")).transpose(2, 0, 1).astype(int)


def addresses(page, alt):
    return re.findall(rf'src="(data:[^"]*)" alt="{alt}[^"]*"', page)


def test_the_pictures_are_the_query_the_attacked_one_and_the_change_times_the_factor(make_example):
    example = make_example("17", 8, step=8)
    page = render(ReportData("x", examples=(example,)))
    change = example.adversarial.astype(int) - example.image.astype(int)
    factor = 127 // np.abs(change).max()
    assert factor > 1 and f"multiplied by {factor}" in page and f"{factor}</figcaption>" in page
    (query,) = addresses(page, "Query 17, untouched")
    (attacked,) = addresses(page, "Query 17, attacked")
    (added,) = addresses(page, "Difference of query 17")
    np.testing.assert_array_equal(picture(query), example.image)
    np.testing.assert_array_equal(picture(attacked), example.adversarial)
    np.testing.assert_array_equal(picture(added), 128 + factor * change)
    results = [picture(address) for address in addresses(page, "Result")]
    for shown, item in zip(results, (*example.before, *example.after), strict=True):
        np.testing.assert_array_equal(shown, item.image)


def row_of(frames):
    """(n, 3, H, W) frames as one picture, written out."""
    return np.array([[np.hstack([f[c] for f in frames])] for c in range(3)])[:, 0].astype(int)


def test_clips_are_strips_below_each_other_that_share_one_scale(make_clip):
    """Seven frames and one; results of one frame and of three; the change is the strip's own."""
    long, short = make_clip((3, 6, 9, 12, 15, 18, 21), results=(3, 2, 1)), make_clip((2,), 15)
    page = render(ReportData("x", examples=(long, short)))
    assert page.count('<div class="reel">') == 2 and '<div class="trio">' not in page
    assert ".example { --most: 7; --most-result: 3; }" in page
    assert all(f".n{n} {{ --n: {n}; }}" in page for n in (1, 2, 3, 7))
    assert "query, frames 3, 6, 9, 12, 15, 18, 21<" in page and "query, frame 2<" in page
    shown = [int(n) for n in re.findall(r'class="film n(\d)"', page)]
    assert shown == [7, 7, 7, 3, 2, 1, 1, 2, 3, 1, 1, 1, 3, 3, 3, 3, 3, 3]
    query, other = (picture(a) for a in addresses(page, "Query 17, untouched"))
    np.testing.assert_array_equal(query, row_of(long.image))
    np.testing.assert_array_equal(other, short.image[0])
    np.testing.assert_array_equal(
        picture(addresses(page, "Query 17, attacked")[0]), row_of(long.adversarial)
    )
    change = row_of(long.adversarial) - row_of(long.image)
    factor = int(re.search(r"multiplied by (\d+)", page)[1])
    np.testing.assert_array_equal(picture(addresses(page, "Difference")[0]), 128 + factor * change)
    results = [picture(address) for address in addresses(page, "Result")][:6]
    for seen, item in zip(results, (*long.before, *long.after), strict=True):
        np.testing.assert_array_equal(seen, row_of(item.image))


def test_images_stay_three_beside_each_other(make_example):
    page = render(ReportData("x", examples=(make_example("17", 8),)))
    assert '<div class="trio">' in page and 'class="reel"' not in page
    assert 'class="film"' not in page and 'class="results"' in page


def test_long_lists_have_a_logarithmic_axis_and_short_ones_not(monkeypatch):
    seen = []

    def draw(curves, *, log_x, **settings):
        seen.append(log_x)
        return "<svg></svg>"

    monkeypatch.setattr("hashprobe.report.page.curve_figure", draw)
    for last in (1000, 20):
        curve = Curve("DHTA", np.array([1, 10, last]), np.array([1.0, 0.9, 0.5]))
        figures(ReportData("x", pr_curves=(), precision_curves=(curve,)))
    assert seen == [True, False]


def test_curves_and_bits_have_their_signatures(data):
    curve = replace(data.pr_curves[0], signature="PR|empty:zero|v:0.1")
    lists = replace(data.precision_curves[0], signature="P@N|ties:stable|v:0.1")
    page = render(replace(data, pr_curves=(curve,), precision_curves=(lists,)))
    found = dict(re.findall(r'<th scope="row">([^<]*)</th><td class="signature">([^<]*)<', page))
    named = {signature: title for title, signature in found.items()}
    assert {"PR|empty:zero|v:0.1", "P@N|ties:stable|v:0.1"} <= set(named)
    assert named["wrong bits|bits:32|v:0.1"].startswith("bits wrong")
