"""The record of an attack on disk: both formats, what it refuses, and what it leaves."""

import json
from dataclasses import replace

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import fingerprint, read_json, write_bytes, write_json
from hashprobe.storage.schema import AttackRecord, Cost
from hashprobe.types import Budget


RECIPE = {
    "version": "0.1.0",
    "attack": "dhta",
    "options": {"n_t": 9, "steps": 20, "alpha": None},
    "budget": {"eps": 0.25098039215686274, "space": "pixel", "frames": 2},
    "seed": 1,
    "precision": "bfloat16",
}
PROTOCOL = {"queries": 2, "seed": 1, "top": None}
COST = {"seconds": 0.25, "forwards": 20.5, "backwards": 20.0}
RECORD = AttackRecord(RECIPE, (6, 28), protocol=PROTOCOL, cost=Cost(**COST))


def write_old(folder, *, measured=True):
    """The two files of format 1."""
    write_json(folder / "attack.json", {"format": 1, "recipe": RECIPE, "query_ids": [6, 28]})
    if measured:
        names = ("attack", "budget", "options", "precision")
        settings = {name: RECIPE[name] for name in names}
        write_json(folder / "settings.json", {**settings, "protocol": PROTOCOL, **COST})


@pytest.mark.parametrize("measured", [True, False])
def test_what_is_written_is_read(tmp_path, measured):
    record = RECORD if measured else replace(RECORD, protocol=None, cost=None)
    record.write(tmp_path)
    again = AttackRecord.read(tmp_path)
    assert again == record
    assert again.measured is measured
    assert fingerprint(again.recipe) == fingerprint(RECIPE)
    assert [path.name for path in tmp_path.iterdir()] == ["attack.json"]
    wanted = {"format", "recipe", "query_ids"}
    assert set(read_json(tmp_path / "attack.json")) == wanted | (
        {"protocol", "cost"} if measured else set()
    )


def test_what_it_answers():
    assert (RECORD.attack, RECORD.seed, RECORD.precision) == ("dhta", 1, "bfloat16")
    assert RECORD.budget == Budget(0.25098039215686274, frames=2)
    assert RECORD.options["steps"] == 20
    bare = AttackRecord({"attack": "noise", "budget": {"eps": 0.1}, "seed": 0}, (0,))
    assert (bare.precision, bare.options, bare.measured) == ("float32", {}, False)


@pytest.mark.parametrize("measured", [True, False])
def test_format_1_gives_the_same_record(tmp_path, measured):
    write_old(tmp_path, measured=measured)
    assert AttackRecord.read(tmp_path) == (
        RECORD if measured else replace(RECORD, protocol=None, cost=None)
    )


def test_a_record_replaces_both_old_files(tmp_path):
    write_old(tmp_path)
    AttackRecord.read(tmp_path).write(tmp_path)
    assert AttackRecord.read(tmp_path) == RECORD
    assert not (tmp_path / "settings.json").exists()


def test_a_new_record_does_not_ask_settings_that_a_kill_left_behind(tmp_path):
    write_old(tmp_path)
    unmeasured = replace(RECORD, protocol=None, cost=None)
    write_json(tmp_path / "attack.json", unmeasured.to_json())
    assert AttackRecord.read(tmp_path) == unmeasured


def test_no_file_is_no_record(tmp_path):
    assert AttackRecord.read(tmp_path) is None


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("format", 3, "format 3"),
        ("recipe", None, "recipe"),
        ("recipe", [], "recipe"),
        ("recipe", {**RECIPE, "attack": None}, "recipe.attack"),
        ("recipe", {**RECIPE, "options": [1]}, "recipe.options"),
        ("recipe", {**RECIPE, "budget": None}, "recipe.budget"),
        ("recipe", {**RECIPE, "budget": {"eps": -1}}, "recipe.budget"),
        ("recipe", {**RECIPE, "budget": {"size": 1}}, "recipe.budget"),
        ("recipe", {**RECIPE, "seed": "x"}, "recipe.seed"),
        ("query_ids", None, "query_ids"),
        ("query_ids", [], "query_ids"),
        ("query_ids", [1, "2"], "query_ids"),
        ("query_ids", [True], "query_ids"),
        ("protocol", 7, "protocol"),
        ("cost", [], "cost"),
        ("cost", {"seconds": 1.0, "forwards": None, "backwards": 1}, "cost.forwards"),
    ],
)
def test_a_damaged_field_is_named_with_its_file(tmp_path, part, value, named, as_for_users):
    content = {**RECORD.to_json(), part: value}
    (tmp_path / "attack.json").write_text(json.dumps(content))
    with pytest.raises(HashprobeError) as caught:
        AttackRecord.read(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "attack.json") in message and named in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("attack.json", b'{"format": 1, "rec'),
        ("attack.json", b"[]"),
        ("attack.json", b"{}"),
        ("settings.json", b'{"attack": "dh'),
        ("settings.json", b"{}"),
        ("settings.json", b'{"protocol": {}, "seconds": "long"}'),
    ],
)
def test_a_file_of_the_old_format_that_is_damaged_is_named(tmp_path, file, content):
    write_old(tmp_path)
    write_bytes(tmp_path / file, content)
    with pytest.raises(HashprobeError) as caught:
        AttackRecord.read(tmp_path)
    assert str(tmp_path / file) in str(caught.value)
