"""The commands that a report derives from a run."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from hashprobe.defenses.trainers.registry import trainer_named
from hashprobe.storage.runs import Run
from hashprobe.workflow.commands import attack_command, commands_of, flags, made_by
from hashprobe.workflow.results import finished_attacks


@pytest.fixture
def finished(audit):
    return finished_attacks(Run.open(audit[0]))


def changed(finished, **parts):
    """The same attack with another recipe."""
    return replace(
        finished, record=replace(finished.record, recipe={**finished.record.recipe, **parts})
    )


def test_only_what_differs_from_the_defaults_is_said():
    default = {"steps": 2000, "tie": "plus", "cache": True, "top": None}
    given = {"steps": 100, "tie": "plus", "skip_bad": True, "cache": False, "top": None}
    assert flags(given, default) == ["--steps", "100", "--skip-bad", "--no-cache"]


def test_a_run_has_one_command_a_step(audit, finished):
    lines = commands_of(audit[0], Run.open(audit[0]), finished)
    assert [shlex.split(line)[1] for line in lines] == [
        "train", "encode", "attack", "attack", "attack", "report"
    ]  # fmt: skip


def test_an_attack_command_names_its_budget_options_and_queries(finished):
    noise, _, dhta = finished
    words = shlex.split(attack_command(Path("runs/a"), dhta))
    assert words[:6] == ["hashprobe", "attack", "dhta", "runs/a", "--eps", "64/255"]
    assert {"--steps", "20", "--queries", "6", "--seed", "1"} == set(words[6:])
    assert "--steps" not in attack_command(Path("runs/a"), noise)


def test_other_budgets_precisions_and_names(finished):
    budget = {"eps": 0.1, "space": "normalised"}
    line = attack_command(Path("r"), changed(finished[2], budget=budget, precision="bfloat16"))
    assert "--eps 0.1 --space normalised" in line and "--precision bfloat16" in line
    assert line.endswith(f"--name {finished[2].name}")
    clips = changed(finished[2], budget={"eps": 0.1, "frames": 3, "shared": True})
    assert "--frames 3 --shared" in attack_command(Path("r"), clips)


def test_an_attack_that_is_not_registered_names_all_its_options(finished):
    line = attack_command(Path("r"), changed(finished[2], attack="my.attack", options={"n": 3}))
    assert line.startswith("hashprobe attack my.attack r ") and "--n 3" in line


def test_the_command_of_a_training_names_no_folder_of_the_machine(audit):
    run = Run.open(audit[0])
    config = {**run.config, "data": {**run.config["data"], "root": "/home/me/pictures/cats"}}
    line = made_by(replace(run, config=config), lambda path: Path(path).name)
    assert line.startswith("hashprobe train digits --root cats") and "/home" not in line
    assert line.endswith("--out digits")


def test_a_hardened_run_is_said_to_be_hardened(audit):
    run = Run.open(audit[0])
    defence = {"name": "saat", "steps": 3, "weight": 1.0}
    config = {**run.config, "defence": defence}
    words = shlex.split(made_by(replace(run, config=config)))
    assert words[:3] == ["hashprobe", "train", "digits"]
    assert words[-4:] == ["--defence", "saat", "--defence-option", "steps=3"]
    # Of an earlier version, which knew neither of the first two.
    config["defence"] = {"name": "p2s", "steps": 3, "momentum": 0.6, "n_t": 9}
    words = shlex.split(made_by(replace(run, config=config)))
    begun = ["own=vote", "push=margin", "steps=3", "momentum=0.6"]
    assert [word for word in words if "=" in word] == begun
    # Lengths that follow eps are left out, and options that had no effect.
    for name, given, said in (
        ("saat", {"eps": 0.125}, ["eps=0.125"]),
        ("fast", {"eps": 0.125, "step_size": 0.5}, ["eps=0.125", "step_size=0.5"]),
        ("saat", {"attack_mode": "train"}, ["attack_mode=train"]),
    ):
        config["defence"] = trainer_named(name, **given).to_json()
        words = shlex.split(made_by(replace(run, config=config)))
        assert sorted(word for word in words if "=" in word) == sorted(said)
    config["defence"] = trainer_named("free").to_json() | {"steps": 5, "momentum": 0.0}
    assert not any("=" in word for word in shlex.split(made_by(replace(run, config=config))))
    config["defence"] = defence
    config |= {"hardened": {"run": "/home/me/plain", "weights": "0" * 64}}
    config["train"] = {**config["train"], "epochs": 2, "lr": 0.001}
    words = shlex.split(made_by(replace(run, config=config)))
    assert words[:3] == ["hashprobe", "harden", "plain"] and words[-2:] == ["--out", "digits"]
    assert words[words.index("--epochs") + 1] == "2" and words[words.index("--lr") + 1] == "0.001"
