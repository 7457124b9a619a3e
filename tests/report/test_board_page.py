"""The pages of the leaderboard, from entries that were measured before."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hashprobe.report.board_page import Board, as_code, board_html, board_markdown
from hashprobe.workflow.board_entry import BoardRow, BoardSuite, Entry, Number, read_entries


KEPT = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture
def entry():
    """An entry with a targeted attack, two settings of an untargeted one, and the suite."""
    share = Number(0.5, 0.4, 0.6)
    rows = [
        BoardRow(
            "dhta", "4/255", Number(0.31), 0.5, 200.0, "tuned", 0.3, knowledge="vote.L0",
            tmap=Number(0.61, 0.52, 0.73), ceiling=Number(0.9), floor=Number(0.1), rmse=0.0123,
        ),
        BoardRow("hag", "4/255", Number(0.42), 0.25, 201.0, "released", 100.0),
        BoardRow("hag", "4/255", Number(0.2), 0.25, 201.0, "tuned", 10.0),
    ]  # fmt: skip
    return Entry(
        format=1, victim="one", data="digits, 8 px", data_sha256="0" * 64, bits=32,
        network="small", loss="csq", weights_sha256="abcdef" * 11, version="0.1.0",
        machine="a machine", queries=7, seed=0, map_clean=share, signature="MAP", rows=rows,
        suites=[BoardSuite("4/255", Number(0.123), 3, ["unreachable"])], tuning=5,
        trained="hashprobe train digits", measured="hashprobe leaderboard one",
    )  # fmt: skip


def lines_of(entry, first):
    """The cells of the lines of a page's tables that begin with a word."""
    lines = board_markdown(Board((entry,))).splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith(f"| {first} |")
    ]


def test_both_pages_show_every_number(entry):
    board = Board((entry,))
    text, page = board_markdown(board), board_html(board)
    for value in (
        "50.0 [40.0, 60.0]", "61.0 [52.0, 73.0]", "12.3", "unreachable", "vote.L0", "0.500",
        "200", "hashprobe train digits", "7 queries, step sizes chosen on 5 others",
    ):  # fmt: skip
        assert value in text and value in page
    assert "abcdef" * 2 in text


def test_a_victim_is_shown_with_the_attacks_that_moved_it_most(entry):
    assert lines_of(entry, "one")[0][6:8] == ["61.0 dhta", "20.0 hag"]
    untargeted = replace(entry, rows=entry.rows[1:2])
    assert lines_of(untargeted, "one")[0][6:8] == ["", "42.0 hag"]


def test_an_attack_row_says_setting_and_step(entry):
    rows = [[line[2], line[8]] for line in lines_of(entry, "hag")]
    assert rows == [["released", "100"], ["tuned", "10"]]


def test_the_strongest_victim_stands_first_and_words_stay_text(entry):
    other = replace(
        entry,
        victim="a<b>|c",
        trained="a `b` <i>",
        suites=[replace(entry.suites[0], map_worst=Number(0.99))],
    )
    board = Board((entry, other))
    assert [each.victim for each in board.on(board.data[0])] == ["a<b>|c", "one"]
    page, text = board_html(board), board_markdown(board)
    assert "a<b>" not in page and "a&lt;b&gt;|c" in page and "<i>" not in page
    assert "| a&lt;b&gt;\\|c |" in text and "- trained: `` a `b` <i> ``" in text


def test_code_holds_any_command():
    shown = [as_code(line) for line in ("a b", "a `b`", "``", "a\nb")]
    assert shown == ["`a b`", "`` a `b` ``", "``` `` ```", "`a b`"]


def test_data_of_one_name_and_other_content_stand_apart(entry):
    board = Board((entry, replace(entry, data_sha256="f" * 64)))
    titles = [f"digits, 8 px, data {digit * 8}" for digit in "0f"]
    assert list(board.data) == titles and [len(board.on(title)) for title in titles] == [1, 1]
    assert board_markdown(board).count("\n## ") == 2


def test_another_seed_is_said(entry):
    assert "7 queries, step" in board_markdown(Board((entry,)))
    assert "7 queries of seed 4, step" in board_markdown(Board((replace(entry, seed=4),)))


def test_the_committed_pages_are_what_the_entries_give():
    board = Board(tuple(read_entries(KEPT / "leaderboard")))
    assert (KEPT / "leaderboard.md").read_text() == board_markdown(board)
    assert (KEPT / "sortable.html").read_text() == board_html(board)
    assert not re.search(r"/(tmp|home|root)/", board_markdown(board))
