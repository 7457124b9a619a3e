"""Entries of the leaderboard in files: what is malformed is refused in one line."""

import pytest
import yaml

from hashprobe.errors import HashprobeError
from hashprobe.workflow._leaderboard import leaderboard
from hashprobe.workflow.board_entry import (
    BoardRow,
    Entry,
    Number,
    Tried,
    file_name,
    read_entry,
    write_entry,
)


@pytest.fixture
def entry():
    """An entry with one row."""
    row = BoardRow(
        "hag", "4/255", Number(0.4), 0.25, 201.0, "tuned", 10.0, tried=[Tried(10.0, 0.3)]
    )
    words = {"network": "small", "loss": "csq", "version": "0.1.0", "machine": "m"}
    sums = {"data_sha256": "0" * 64, "weights_sha256": "abcdef01" * 8}
    return Entry(
        format=1, victim="mine", data="folder a/b, 64 px", bits=32, queries=3, seed=0,
        map_clean=Number(0.5), signature="MAP", rows=[row], **words, **sums,
    )  # fmt: skip


def test_an_entry_is_read_as_it_was_written(entry, tmp_path):
    write_entry(tmp_path / "one.yaml", entry)
    assert read_entry(tmp_path / "one.yaml") == entry
    assert "tmap" not in (tmp_path / "one.yaml").read_text()
    assert file_name(entry) == "folder-a-b-64-px-mine-abcdef01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no entry of the leaderboard: it must be an object"),
        ("format: 1\n", "is no entry of the leaderboard: victim is missing"),
        ("format: 1\nformat: 2\n", "has the key 'format' twice"),
        ("[1, 2]", "is no entry of the leaderboard"),
        ("victim: [", "is not plain YAML"),
        ("a" * 20, "is no entry of the leaderboard: it must be an object"),
    ],
)
def test_a_damaged_entry_is_one_line(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(HashprobeError, match=message) as caught:
        leaderboard(tmp_path)
    assert "\n" not in str(caught.value) and "bad.yaml" in str(caught.value)


def test_fields_of_another_type_or_unknown_ones_are_refused(entry, tmp_path):
    path = tmp_path / "one.yaml"
    write_entry(path, entry)
    whole = yaml.safe_load(path.read_text())
    row = whole["rows"][0]
    for change, message in (
        ({"bits": "many"}, "bits must be a whole number; got 'many'"),
        ({"format": 7}, "format must be 1; got 7"),
        ({"colour": "red"}, "colour is unknown"),
        ({"rows": [row | {"tried": [{"step_size": 1}]}]}, r"tried\[0\].value is missing"),
        ({"rows": [row | {"map_attacked": 0.5}]}, "map_attacked must be an object; got 0.5"),
        ({"rows": "none"}, "rows must be a list"),
        ({"map_clean": {"value": "high"}}, "map_clean.value must be a number; got 'high'"),
        ({"map_clean": {"value": 1.2}}, "map_clean: value must be from 0 to 1; got 1.2"),
        ({"rows": [row | {"tmap": {"value": 0.5, "low": float("nan")}}]}, r"tmap: low must be"),
        ({"queries": 0}, "queries must be"),
    ):
        path.write_text(yaml.safe_dump(whole | change))
        with pytest.raises(HashprobeError, match=message):
            leaderboard(tmp_path)


def test_no_entry_is_refused(tmp_path, hashprobe):
    answer = hashprobe("leaderboard", "--entries", tmp_path)
    assert answer.code == 2 and "holds no entry: name a run to measure" in answer.err
