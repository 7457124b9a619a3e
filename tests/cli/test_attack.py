"""hashprobe attack: budgets and presets."""

from types import SimpleNamespace

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract


# Budgets


@pytest.mark.parametrize(
    ("text", "eps", "folder"),
    [
        ("8/255", 8 / 255, "noise-8of255-seed0"),
        ("0.032", 0.032, "noise-0.032-seed0"),
        ("1e-1", 0.1, "noise-0.1-seed0"),
        ("1", 1.0, "noise-255of255-seed0"),
    ],
)
def test_eps_as_fraction_or_number(hashprobe, chosen, encoded, text, eps, folder):
    assert hashprobe("attack", "noise", encoded, "--eps", text, "--queries", 2).code == 0
    assert chosen(encoded, folder)["budget"] == {"eps": eps, "space": "pixel"}


@pytest.mark.parametrize("text", ["x", "8/0", "8/255/3", "nan", "inf", "", "8/x", "0", "2", "-0.1"])
def test_eps_that_is_nonsense_is_one_line(hashprobe, encoded, text):
    said = hashprobe("attack", "noise", encoded, f"--eps={text}", "--queries", 2)
    assert "eps" in said.error
    assert not (encoded / "attacks").exists()


def test_eps_without_an_end_is_nonsense_in_every_space(hashprobe, encoded):
    words = ("--eps", "inf", "--space", "normalised", "--queries", 2)
    error = hashprobe("attack", "noise", encoded, *words).error
    assert "--eps" in error
    assert "8/255 or 0.032; got 'inf'" in error


def test_eps_counts_in_normalised_units_when_asked(hashprobe, encoded):
    words = ("--eps", "0.5", "--space", "normalised", "--queries", 2)
    said = hashprobe("attack", "noise", encoded, *words)
    # Backbone small divides by 0.25, so half a normalised unit is an eighth of the pixel range.
    assert "largest change 31/255" in said.out
    assert (encoded / "attacks" / "noise-0.5-normalised-seed0").is_dir()


# Presets


FEW = ("--queries", "2", "--name", "x")


@pytest.mark.parametrize("preset", ["paper", "official-code", "scaled"])
@pytest.mark.parametrize("attack", ["dhta", "p2p", "noise"])
def test_every_attack_runs_with_every_preset(hashprobe, chosen, encoded, attack, preset):
    steps = () if attack == "noise" else ("--steps", "2")
    said = hashprobe("attack", attack, encoded, "--preset", preset, *steps, *FEW)
    assert said.code == 0, said.err
    asked = chosen(encoded, "x")
    released = preset == "official-code"
    assert asked["budget"] == {"eps": 0.032, "space": "normalised" if released else "pixel"}
    assert asked["protocol"]["minimum"] == (10 if released else 9)
    assert asked["protocol"]["empty"] == ("skip" if released else "zero")
    if attack != "noise":
        assert asked["options"].get("step") == ("scaled" if preset == "scaled" else None)
    if attack == "dhta":
        assert asked["options"]["tie"] == ("zero" if released else "plus")
        assert asked["options"]["n_t"] == 9


@pytest.fixture
def of_clips(monkeypatch):
    """What attacks of a run of clips are told; they stop before they begin."""
    told = []

    def stop(run, spec, **more):
        told.append(spec)
        raise HashprobeError("stopped")

    run = SimpleNamespace(hasher=SimpleNamespace(contract=InputContract(frames=4)))
    monkeypatch.setattr("hashprobe.workflow.run_io.open_run", lambda path: run)
    monkeypatch.setattr("hashprobe.workflow.attack_step.attack_run", stop)
    return told


@pytest.mark.parametrize(
    ("attack", "steps"), [(None, None), ("dhta", 500), ("p2p", 500), ("hag", 500), ("feature", 20)]
)
def test_the_steps_of_a_preset_are_for_the_attacks_that_it_is_of(
    hashprobe, of_clips, attack, steps
):
    words = ("attack", *([attack] if attack else []), "run", "--preset", "paper-videos", *FEW)
    assert "stopped" in hashprobe(*words).error
    options = of_clips[0].options
    assert options.steps == steps
    assert getattr(options, "alpha", None) == (0.1 if steps == 500 else None)


@pytest.mark.parametrize("attack", [None, "dhta", "noise"])
def test_the_preset_of_clips_is_refused_for_pictures(hashprobe, encoded, attack):
    words = ("attack", *([attack] if attack else []), encoded, "--preset", "paper-videos", *FEW)
    error = hashprobe(*words).error
    assert "paper-videos is for clips" in error and str(encoded) in error
    assert not (encoded / "attacks").exists()


def test_what_is_said_wins_over_the_preset_even_where_it_is_the_default(hashprobe, chosen, encoded):
    words = "--preset official-code --eps 8/255 --space pixel --tie plus --empty zero --minimum 9"
    said = hashprobe("attack", "dhta", encoded, *words.split(), "--steps", "2", *FEW)
    assert said.code == 0, said.err
    asked = chosen(encoded, "x")
    assert asked["budget"] == {"eps": 8 / 255, "space": "pixel"}
    assert asked["options"]["tie"] == "plus"
    assert (asked["protocol"]["empty"], asked["protocol"]["minimum"]) == ("zero", 9)


def test_the_unit_of_the_step_is_an_option(hashprobe, chosen, encoded):
    words = "--preset paper --alpha 0.1 --steps 2 --step scaled --step-size 0.5"
    said = hashprobe("attack", "p2p", encoded, *words.split(), *FEW)
    assert said.code == 0, said.err
    options = chosen(encoded, "x")["options"]
    assert (options["step"], options["step_size"], options["alpha"]) == ("scaled", 0.5, 0.1)
    said = hashprobe("attack", "feature", encoded, "--step", "scaled", "--queries", "2")
    assert said.code == 2 and "step scaled is for rule pgd" in said.err


def test_a_recipe_may_name_the_preset_and_wins_over_it(hashprobe, chosen, encoded, tmp_path):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(
        "attack:\n  dhta: {preset: official-code, minimum: 12, steps: 2, queries: 2, name: x}\n"
    )
    assert hashprobe("--config", recipe, "attack", "dhta", encoded, "--eps", "0.1").code == 0
    asked = chosen(encoded, "x")
    assert asked["budget"] == {"eps": 0.1, "space": "normalised"}
    assert asked["options"]["tie"] == "zero"
    assert (asked["protocol"]["minimum"], asked["protocol"]["empty"]) == (12, "skip")
