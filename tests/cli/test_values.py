"""Values of options, by words and by recipes: paths, whole numbers, finite numbers, budgets."""

import os
from pathlib import Path

import pytest


def by_recipe(tmp_path, section, **options):
    path = tmp_path / "recipe.yaml"
    body = "".join(f"  {key}: {value}\n" for key, value in options.items())
    path.write_text(f"{section}:\n{body}")
    return f"--config {path}"


WHOLE = [
    ("train digits --out OUT", "seed", "1.5"),
    ("train digits --out OUT", "bits", "8.9"),
    ("train digits --out OUT", "split-seed", "0.5"),
    ("train digits --out OUT", "epochs", "1e1"),
    ("train digits --out OUT", "devices", "1.0000000001"),
    ("attack dhta RUN", "queries", "2.9"),
    ("attack dhta RUN", "top", "2.5"),
    ("attack dhta RUN", "steps", "inf"),
    ("attack dhta RUN", "batch-size", "nan"),
    ("encode RUN", "workers", ".5"),
    ("evaluate FILE", "top", "2.5"),
    ("report RUN", "examples", "1.5"),
    ("demo", "steps", "10.5"),
    ("reproduce table1", "bits", "16.5"),
]


@pytest.mark.parametrize("way", ["words", "recipe"])
@pytest.mark.parametrize(("command", "option", "value"), WHOLE)
def test_fractions_in_whole_numbers_are_refused(hashprobe, tmp_path, command, option, value, way):
    command = command.replace("OUT", str(tmp_path / "out"))
    if way == "words":
        said = hashprobe(f"{command} --{option} {value}")
    else:
        given = f"[{value}]" if command.startswith("reproduce") else value
        section = command.split()[0]
        if section == "attack":
            recipe = tmp_path / "recipe.yaml"
            recipe.write_text(f"attack:\n  dhta: {{{option}: {value}}}\n")
            said = hashprobe(f"--config {recipe} {command}")
        else:
            said = hashprobe(f"{by_recipe(tmp_path, section, **{option: given})} {command}")
    assert "must be a whole number; got " in said.error
    assert option.replace("-", "_") in said.error.replace("-", "_")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("train digits --out OUT", "epochs", 10**23),
        ("train digits --out OUT", "epochs", 10**10),
        ("train digits --out OUT", "devices", 10**9),
        ("train digits --out OUT", "devices", 1000),
        ("train digits --out OUT", "workers", 10**9),
        ("train digits --out OUT", "stride", 10**23),
        ("encode RUN", "workers", 10**9),
        ("encode RUN", "batch-size", 10**10),
        ("encode RUN", "top", 10**23),
        ("attack bit-margin RUN", "restarts", 10**10),
        ("attack dhta RUN", "steps", 10**10),
        ("attack dhta RUN", "n-t", 10**10),
        ("attack dhta RUN", "frames", 10**10),
        ("attack dhta RUN", "queries", 10**10),
        ("attack dhta RUN", "repeats", 10**10),
        ("attack noise RUN", "workers", 10**23),
        ("report RUN", "examples", 10**10),
    ],
)
def test_numbers_of_things_have_a_bound(hashprobe, audit, tmp_path, command, option, value):
    run, out = audit[0], tmp_path / "out"
    before = sorted(run.rglob("*"))
    line = command.replace("OUT", str(out)).replace("RUN", str(run))
    said = hashprobe(f"{line} --{option} {value}")
    assert "must be at most" in said.error and option.split("-")[0] in said.error
    assert not out.exists()
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
@pytest.mark.parametrize("option", ["lr", "minutes", "queries", "training", "warmup"])
def test_numbers_are_finite(hashprobe, tmp_path, option, value):
    error = hashprobe(f"train digits --out {tmp_path / 'out'} --{option}={value}").error
    assert f"--{option} must be a finite number; got {value}" in error
    assert not (tmp_path / "out").exists()


EMPTY = [
    ("train", "folder", "--out", "OUT", "--root", ""),
    ("train", "folder", "--out", "OUT", "--root", "  "),
    ("train", "digits", "--out", ""),
    ("train", "digits", "--out", "OUT", "--cache", ""),
    ("train", "listfiles", "--out", "OUT", "--root", ".", "--lists", ""),
    ("encode", ""),
    ("attack", "dhta", ""),
    ("evaluate", ""),
    ("report", ""),
    ("report", "OUT", "--out", ""),
    ("demo", "--out", ""),
    ("reproduce", "table1", "--root", ""),
]


@pytest.mark.parametrize("words", EMPTY)
def test_an_empty_path_is_an_error(hashprobe, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert "is an empty path" in hashprobe(*(w.replace("OUT", "out") for w in words)).error
    assert not list(tmp_path.iterdir())


def test_paths_of_recipes_and_of_words_begin_at_home(hashprobe, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "hashprobe.workflow.train_step.train_run",
        lambda path, source, *rest, **more: seen.append((path, source)),
    )
    recipe = by_recipe(tmp_path, "train", out="~/runs/one", root="~/pictures", cache="null")
    assert hashprobe(f"{recipe} train folder").code == 0
    assert hashprobe("train", "folder", "--out", "~/runs/one", "--root", "~/pictures").code == 0
    for path, source in seen:
        assert path == tmp_path / "runs" / "one"
        assert source.root == (tmp_path / "pictures").resolve()
    assert len(seen) == 2
    said = hashprobe("evaluate", "~/codes.npz")
    assert said.error == f"{tmp_path}/codes.npz does not exist"


def test_a_nul_byte_in_a_path_of_a_recipe(hashprobe, tmp_path):
    recipe = by_recipe(tmp_path, "train", out='"a\\0b"')
    assert "--out" in (error := hashprobe(f"{recipe} train digits").error) or "out" in error
    assert "NUL" in error


@pytest.mark.parametrize(
    "eps",
    ["1/", "/255", "1//2", "8/255/2", "1/0", "a/b", "0x8/255", "1/-", "inf", "nan", "8/inf", "1_0"],
)
def test_budgets_that_are_no_number_are_refused(hashprobe, encoded, eps):
    error = hashprobe("attack", "dhta", encoded, f"--eps={eps}").error
    assert "must be a number such as 8/255 or 0.032" in error
    assert not (encoded / "attacks").exists()


@pytest.mark.parametrize(
    "command",
    [
        "train digits --out OUT --seed",
        "train digits --out OUT --split-seed",
        "attack dhta RUN --seed",
        "reproduce table1 --list --seed",
    ],
)
@pytest.mark.parametrize("seed", ["-1", str(2**63), str(2**70), str(10**60)])
def test_seeds_out_of_range_are_refused_and_leave_nothing(
    hashprobe, audit, tmp_path, command, seed
):
    run = audit[0]
    before = sorted(os.listdir(run / "attacks"))
    line = command.replace("OUT", str(tmp_path / "out")).replace("RUN", str(run))
    assert "seed must be a whole number from 0 to 2^63 - 1" in hashprobe(f"{line}={seed}").error
    assert not (tmp_path / "out").exists()
    assert sorted(os.listdir(run / "attacks")) == before


@pytest.mark.parametrize(
    "command", ["evaluate {}", "--config {} encode x", "train digits --out {}"]
)
def test_pipes_and_devices_are_refused_at_once(hashprobe, tmp_path, command):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        error = hashprobe(command.format(path)).error
        assert str(path) in error
