"""The attacks of a run: which are found, in which order, under which titles."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hashprobe.attacks.registry import ATTACKS, register, unregister
from hashprobe.errors import HashprobeError
from hashprobe.storage.runs import Run
from hashprobe.storage.schema import AttackRecord
from hashprobe.workflow.results import (
    finished_attack,
    finished_attacks,
    kind_of,
    place_of,
    title_of,
)


@dataclass(frozen=True)
class ToyOptions:
    """Nothing to choose."""


@pytest.fixture
def toy():
    """An attack that is registered while a test lasts."""
    known = replace(ATTACKS["dhta"], name="toy", title="Toy attack", options=ToyOptions)
    yield register(known)
    unregister("toy")


def again_as(run: Path, source: str, name: str, attack: str) -> Path:
    """A copy of one of a run's attacks that says that it is another."""
    folder = shutil.copytree(run / "attacks" / source, run / "attacks" / name)
    record = AttackRecord.read(folder)
    replace(record, recipe={**record.recipe, "attack": attack, "options": {}}).write(folder)
    return folder


def test_titles_and_kinds_come_from_the_registry(toy):
    for name, attack in ATTACKS.items():
        assert title_of(name) == attack.title
    assert [name for name in ATTACKS if kind_of(name) == "noise"] == ["noise"]
    assert (title_of("toy"), kind_of("toy")) == ("Toy attack", "attack")
    assert (title_of("my.attack"), kind_of("my.attack")) == ("my.attack", "attack")


def test_the_order_is_that_of_the_registry_and_unknown_names_come_last(toy):
    places = [place_of(name) for name in (*ATTACKS, "my.attack")]
    assert places == sorted(places) and len(set(places)) == len(places)
    assert list(ATTACKS)[:4] == ["noise", "p2p", "dhta", "bit-margin"]


def test_attacks_of_one_budget_come_in_the_order_of_the_registry(run, toy):
    again_as(run, "dhta-64of255-seed1", "a", "my.attack")
    again_as(run, "dhta-64of255-seed1", "b", "toy")
    again_as(run, "dhta-64of255-seed1", "c", "hag")
    found = [finished.attack for finished in finished_attacks(Run.open(run))]
    assert found == ["noise", "p2p", "dhta", "hag", "toy", "my.attack"]


def test_smaller_budgets_come_first(run):
    folder = again_as(run, "dhta-64of255-seed1", "small", "hag")
    record = AttackRecord.read(folder)
    replace(record, recipe={**record.recipe, "budget": {"eps": 0.1}}).write(folder)
    assert finished_attacks(Run.open(run))[0].name == "small"


def test_what_has_no_result_is_not_finished(run):
    folder = run / "attacks" / "dhta-64of255-seed1"
    assert finished_attack(folder).title == "DHTA"
    (folder / "evaluation.json").unlink()
    assert finished_attack(folder) is None


@pytest.mark.parametrize("damage", ["no record", "not measured", "no evaluation"])
def test_a_result_that_is_damaged_names_its_folder(run, damage):
    folder = run / "attacks" / "dhta-64of255-seed1"
    record = AttackRecord.read(folder)
    if damage == "no record":
        (folder / "attack.json").unlink()
    elif damage == "not measured":
        replace(record, protocol=None, cost=None).write(folder)
    else:
        (folder / "evaluation.json").write_text(json.dumps([1]))
    with pytest.raises(HashprobeError, match="attack again") as caught:
        finished_attack(folder)
    assert str(folder) in str(caught.value)
