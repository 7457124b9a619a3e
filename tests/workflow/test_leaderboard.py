"""The leaderboard: what is measured, entries that are checked, and two pages of all of them."""

import pytest
import yaml

from hashprobe.errors import HashprobeError
from hashprobe.report.board_page import board_html, board_markdown
from hashprobe.storage.files import sha256_file
from hashprobe.workflow import _leaderboard as module
from hashprobe.workflow import suite, suite_flags
from hashprobe.workflow._leaderboard import leaderboard


@pytest.fixture
def short(monkeypatch):
    """Two attacks of two steps, and a short suite."""
    attacks = (("bit-margin", {"steps": 2}), ("mainstay", {"steps": 2}))
    monkeypatch.setattr(module, "ATTACKS", attacks)
    monkeypatch.setattr(suite, "MEMBERS", (("noise", {}),))
    monkeypatch.setattr(suite, "flags_of", lambda case, worst: [])
    monkeypatch.setattr(suite_flags, "SHOWN", 3)


def test_a_run_becomes_an_entry_and_the_pages_show_it(encoded, tmp_path, short):
    entries = tmp_path / "leaderboard"
    board = leaderboard(entries, [encoded], queries=3)
    (path,) = entries.glob("*.yaml")
    kept = yaml.safe_load(path.read_text())
    assert kept["weights_sha256"] == sha256_file(next((encoded / "model").glob("*.safetensors")))
    assert [row["attack"] for row in kept["rows"]] == ["bit-margin", "mainstay"]
    assert kept["rows"][0]["knowledge"] == "vote.L0" and "tmap" not in kept["rows"][1]
    assert kept["queries"] == 3 and kept["suites"][0]["eps"] == "4/255"
    text, page = ((tmp_path / name).read_text() for name in ("leaderboard.md", "sortable.html"))
    assert text == board_markdown(board) and page == board_html(board)
    for value in ("bit-margin", "vote.L0", f"{100 * kept['map_clean']['value']:.1f}"):
        assert value in text and value in page
    assert leaderboard(entries).entries == board.entries  # without a run, from the files alone


def test_the_strongest_victim_stands_first(encoded, tmp_path, short):
    entries = tmp_path / "entries"
    leaderboard(entries, [encoded], queries=3)
    (path,) = entries.glob("*.yaml")
    other = yaml.safe_load(path.read_text())
    other |= {"victim": "a<b>|c", "by": "somebody"}
    other["suites"][0]["map_worst"] = {"value": 0.99}
    (entries / "other.yaml").write_text(yaml.safe_dump(other))
    board = leaderboard(entries)
    assert board.on(other["data"])[0].victim == "a<b>|c"
    assert "a<b>" not in board_html(board) and "a&lt;b&gt;|c" in board_html(board)
    assert "99.0 |" in board_markdown(board)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no entry of the leaderboard: it must be an object"),
        ("format: 1\n", "is no entry of the leaderboard: victim is missing"),
        ("format: 1\nformat: 2\n", "has the key 'format' twice"),
        ("[1, 2]", "is no entry of the leaderboard"),
        ("victim: [", "is not plain YAML"),
    ],
)
def test_a_damaged_entry_is_one_line(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(HashprobeError, match=message) as caught:
        leaderboard(tmp_path)
    assert "\n" not in str(caught.value) and "bad.yaml" in str(caught.value)


def test_fields_of_another_type_or_unknown_ones_are_refused(encoded, tmp_path, short):
    leaderboard(tmp_path / "entries", [encoded], queries=3)
    (path,) = (tmp_path / "entries").glob("*.yaml")
    whole = yaml.safe_load(path.read_text())
    for change, message in (
        ({"bits": "many"}, "bits must be a whole number; got 'many'"),
        ({"format": 7}, "format must be 1; got 7"),
        ({"colour": "red"}, "colour is unknown"),
    ):
        path.write_text(yaml.safe_dump(whole | change))
        with pytest.raises(HashprobeError, match=message):
            leaderboard(path.parent)


def test_no_entry_is_refused(tmp_path, hashprobe):
    answer = hashprobe("leaderboard", "--entries", tmp_path)
    assert answer.code == 2 and "holds no entry: name a run to measure" in answer.err


def test_a_hardened_run_says_by_which_defence(encoded, tmp_path, short, hashprobe):
    hard = tmp_path / "hard"
    how = "--defence p2s --defence-option steps=1 --epochs 1"
    assert hashprobe(f"harden {encoded} {how} --out {hard}").code == 0
    assert hashprobe(f"encode {hard}").code == 0
    board = leaderboard(tmp_path / "board", [encoded, hard], queries=3)
    assert {entry.defence for entry in board.entries} == {"none", "p2s"}
    assert "p2s" in board_markdown(board)
