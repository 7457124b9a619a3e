"""Names in Markdown and in tables of numbers stay text."""

from dataclasses import replace

import pytest

from hashprobe.report.escape import in_csv, in_markdown
from hashprobe.report.markdown import markdown_table


@pytest.mark.parametrize("name", ["=1+1", "+1+1", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "-1-1"])
def test_no_name_begins_a_formula(name):
    assert in_csv(name)[0] == "'"


@pytest.mark.parametrize("number", ["-0.5", "+1.25", "-3", "-1e-05", "0.1", "", "DHTA", "a=1"])
def test_numbers_and_plain_names_stay_as_they_are(number):
    assert in_csv(number) == number


def test_a_name_cannot_leave_its_cell(rows):
    hostile = "a|b\nc <img src=x> `d` [e](f) \x1b[2J"
    table = markdown_table([replace(rows[3], name=hostile)])
    plain = markdown_table([rows[3]])
    assert table.count("\n") == plain.count("\n")
    line = table.splitlines()[2]
    assert line.replace("\\|", "").count("|") == plain.splitlines()[2].count("|")
    assert "<img" not in table and "\x1b" not in table
    assert "\\`d\\`" in line and "\\[e\\](f)" in line
    assert in_markdown("DHTA, n_t 9 (a)") == "DHTA, n\\_t 9 (a)"
