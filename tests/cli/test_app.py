"""What a person types and reads: options, recipes, presets, codes in a file, one-line errors."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from hashprobe.audit.train_step import TRAIN_PRESETS, Network
from hashprobe.cli import app as cli
from hashprobe.cli import train as train_module


def settings(run, name):
    return json.loads((run / "attacks" / name / "settings.json").read_text())


# Help


@pytest.mark.parametrize("command", [*cli.COMMANDS, "attack dhta", "attack p2p", "attack noise"])
def test_help_names_every_option_and_its_meaning(hashprobe, command):
    said = hashprobe(f"{command} --help")
    assert said.code == 0
    assert f"Usage: hashprobe {command}" in said.out
    assert "--debug" in said.out
    assert "--config" in said.out
    for twin in ("--no-json", "--no-debug", "--no-overwrite", "--no-skip-bad", "--no-download"):
        assert twin not in said.out


def test_help_of_an_attack_comes_from_its_options(hashprobe):
    dhta, p2p, noise = (hashprobe(f"attack {name} --help").out for name in ("dhta", "p2p", "noise"))
    for flag in ("--eps", "--preset", "--queries", "--pool", "--top", "--overwrite"):
        assert flag in dhta
        assert flag in p2p
        assert flag in noise
    assert "--n-t" in dhta
    assert "--n-t" not in p2p
    assert "--steps" in p2p
    assert "--steps" not in noise
    assert "[default: 8/255]" in " ".join(dhta.split())


def test_help_without_options_of_networks_loads_none():
    code = """
import sys
from hashprobe.cli import main
for command in ("demo", "encode", "evaluate", "report"):
    main([command, "--help"])
print([m for m in ("torch", "faiss", "matplotlib") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("Usage: hashprobe") == 4
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(hashprobe):
    import hashprobe as package

    assert hashprobe("--version").out.strip() == package.__version__


# What a budget may look like


@pytest.mark.parametrize(
    ("text", "eps", "folder"),
    [
        ("8/255", 8 / 255, "noise-8of255-seed0"),
        ("0.032", 0.032, "noise-0.032-seed0"),
        ("1e-1", 0.1, "noise-0.1-seed0"),
        ("1", 1.0, "noise-255of255-seed0"),
    ],
)
def test_eps_as_fraction_or_number(hashprobe, encoded, text, eps, folder):
    assert hashprobe("attack", "noise", encoded, "--eps", text, "--queries", 2).code == 0
    assert settings(encoded, folder)["budget"] == {"eps": eps, "space": "pixel"}


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


@pytest.mark.parametrize("preset", ["paper", "official-code"])
@pytest.mark.parametrize("attack", ["dhta", "p2p", "noise"])
def test_every_attack_runs_with_every_preset(hashprobe, encoded, attack, preset):
    steps = () if attack == "noise" else ("--steps", "2")
    said = hashprobe("attack", attack, encoded, "--preset", preset, *steps, *FEW)
    assert said.code == 0, said.err
    chosen = settings(encoded, "x")
    space = {"paper": "pixel", "official-code": "normalised"}[preset]
    assert chosen["budget"] == {"eps": 0.032, "space": space}
    assert chosen["protocol"]["minimum"] == {"paper": 9, "official-code": 10}[preset]
    assert chosen["protocol"]["empty"] == {"paper": "zero", "official-code": "skip"}[preset]
    if attack == "dhta":
        assert chosen["options"]["tie"] == {"paper": "plus", "official-code": "zero"}[preset]
        assert chosen["options"]["n_t"] == 9


@pytest.mark.parametrize(
    ("attack", "steps"), [(None, 50), ("dhta", 500), ("p2p", 500), ("hag", 500), ("feature", 20)]
)
def test_the_steps_of_a_preset_are_for_the_attacks_that_it_is_of(hashprobe, encoded, attack, steps):
    words = ("attack", *([attack] if attack else []), encoded, "--preset", "paper-videos", *FEW)
    said = hashprobe(*words)
    assert said.code == 0, said.err
    options = settings(encoded, "x")["options"]
    assert options["steps"] == steps
    assert options.get("alpha") == (0.1 if steps == 500 else None)


def test_what_is_said_wins_over_the_preset_even_where_it_is_the_default(hashprobe, encoded):
    words = "--preset official-code --eps 8/255 --space pixel --tie plus --empty zero --minimum 9"
    said = hashprobe("attack", "dhta", encoded, *words.split(), "--steps", "2", *FEW)
    assert said.code == 0, said.err
    chosen = settings(encoded, "x")
    assert chosen["budget"] == {"eps": 8 / 255, "space": "pixel"}
    assert chosen["options"]["tie"] == "plus"
    assert (chosen["protocol"]["empty"], chosen["protocol"]["minimum"]) == ("zero", 9)


def test_a_recipe_may_name_the_preset_and_wins_over_it(hashprobe, encoded, tmp_path):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(
        "attack:\n  dhta: {preset: official-code, minimum: 12, steps: 2, queries: 2, name: x}\n"
    )
    assert hashprobe("--config", recipe, "attack", "dhta", encoded, "--eps", "0.1").code == 0
    chosen = settings(encoded, "x")
    assert chosen["budget"] == {"eps": 0.1, "space": "normalised"}
    assert chosen["options"]["tie"] == "zero"
    assert (chosen["protocol"]["minimum"], chosen["protocol"]["empty"]) == (12, "skip")


def planned(hashprobe, monkeypatch, *words):
    """Network and options that a training is asked for."""
    seen = {}

    def keep(path, source, network, options, **_):
        seen.update(network=network, options=options)

    monkeypatch.setattr(train_module, "train_run", keep)
    said = hashprobe(*words)
    assert said.code == 0, said.err
    return seen["network"], seen["options"]


def test_presets_of_a_training_are_the_papers(hashprobe, monkeypatch):
    """Numbers of DHTA, appendix B."""
    words = ("train", "ucf101", "--out", "x", "--preset", "paper-videos")
    network, options = planned(hashprobe, monkeypatch, *words)
    assert (network, options) == TRAIN_PRESETS["paper-videos"]
    assert network == Network("alexnet", 32, "imagenet", batch_norm=False, frames=40)
    assert (options.loss, options.optimiser, options.batch_size) == ("dvh", "sgd", 100)
    assert (options.lr, options.momentum, options.weight_decay) == (0.05, 0.9, 1e-4)
    words = ("train", "cifar10", "--out", "x", "--preset", "paper-images")
    network, options = planned(hashprobe, monkeypatch, *words)
    assert (network, options) == TRAIN_PRESETS["paper-images"]
    assert network == Network("vgg11", 32, "imagenet", batch_norm=False)
    assert (options.loss, options.optimiser, options.batch_size) == ("dph", "sgd", 24)
    assert (options.lr, options.momentum, options.weight_decay) == (0.01, 0.9, 5e-4)


def test_what_is_said_wins_over_the_preset_of_a_training(hashprobe, monkeypatch, tmp_path):
    recipe = tmp_path / "a.yaml"
    recipe.write_text("train: {preset: paper-videos, bits: 48, momentum: 0.8}\n")
    words = "--lr 0.01 --batch-norm --weights none --frames 16 --batch-size 24"
    said = f"--config {recipe} train ucf101 --out x {words}"
    network, options = planned(hashprobe, monkeypatch, said)
    assert network == Network("alexnet", 48, frames=16)
    assert options == replace(
        TRAIN_PRESETS["paper-videos"][1], lr=0.01, momentum=0.8, batch_size=24
    )


def test_a_preset_that_does_not_exist(hashprobe):
    assert "paper-images" in hashprobe("train digits --out x --preset paper").error


# Recipes


def test_a_recipe_gives_options_and_the_command_line_overrides_them(hashprobe, encoded, tmp_path):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(
        "attack:\n  dhta: {eps: 16/255, queries: 3, steps: 2, step-size: 0.5, n_t: 3}\n"
        "encode: {top: 5}\n"
    )
    said = hashprobe("--config", recipe, "attack", "dhta", encoded, "--steps", "3")
    assert said.code == 0, said.err
    chosen = settings(encoded, "dhta-16of255-seed0")
    assert chosen["protocol"]["queries"] == 3
    assert chosen["options"] == {
        "n_t": 3, "steps": 3, "step_size": 0.5, "alpha": None, "tie": "plus"
    }  # fmt: skip
    assert "MAP@5|" in hashprobe("encode", encoded, "--config", recipe).out
    # A recipe is for one call: the next knows nothing of it.
    assert "MAP@all|" in hashprobe("encode", encoded).out
    assert cli.app.config == ()


def test_a_recipe_trains(hashprobe, tmp_path):
    recipe = tmp_path / "a.yaml"
    recipe.write_text("train: {size: 8, bits: 8, epochs: 1, batch_size: 125, batch_norm: false}\n")
    said = hashprobe("--config", recipe, "train", "digits", "--bits", 16, "--out", tmp_path / "r")
    assert said.code == 0, said.err
    config = json.loads((tmp_path / "r" / "run.json").read_text())["config"]
    assert config["network"]["bits"] == 16
    assert config["network"]["batch_norm"] is False
    assert config["train"]["batch_size"] == 125


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {bitz: 8}", "bitz"),
        ("trian: {bits: 8}", "section 'trian'"),
        ("train: {bits: many}", '"many"'),
        ("train: {loss: dhp}", '"dhp"'),
        ("train: [1", "is no plain YAML"),
        ("- 1", "must hold options by command"),
        ("train: 3", "must be a mapping"),
        ("!!python/object/apply:os.system ['touch pwned']", "is no plain YAML"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_names_key_and_file(hashprobe, tmp_path, text, words):
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text(text)
    error = hashprobe("--config", recipe, "train", "digits", "--out", tmp_path / "r").error
    assert words in error
    assert "wrong.yaml" in error
    assert not (tmp_path / "r").exists()


def test_a_recipe_that_is_not_there(hashprobe, tmp_path):
    said = hashprobe("--config", tmp_path / "none.yaml", "encode", tmp_path)
    assert said.error == f"no such recipe: {tmp_path / 'none.yaml'}"


# Scoring a file


@pytest.fixture
def codes(tmp_path):
    """Writes a code file; what is not given is a small problem with targets."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    signs = rng.choice([-1, 1], size=(3, 16))[labels] * rng.choice([1, 1, 1, -1], size=(60, 16))
    arrays = {
        "database_codes": signs[10:],
        "query_codes": signs[:10],
        "database_labels": labels[10:],
        "query_labels": labels[:10],
        "target_labels": (labels[:10] + 1) % 3,
    }

    def write(change=lambda arrays: {}, name="codes.npz"):
        kept = {k: v for k, v in {**arrays, **change(arrays)}.items() if v is not None}
        np.savez(tmp_path / name, **kept)
        return tmp_path / name

    return write


def both(turn):
    return lambda a: {key: turn(a[key]) for key in ("database_codes", "query_codes")}


def packed(a):
    return {**both(lambda s: np.packbits(s > 0, axis=1))(a), "bits": np.array(16)}


def multi_hot(a):
    return {k: np.eye(3, dtype=np.uint8)[a[k]] for k in a if k.endswith("labels")}


FORMS = {
    "zero-one": both(lambda s: (s > 0).astype(np.int64)),
    "bool": both(lambda s: s > 0),
    "floats": both(lambda s: s.astype(np.float32)),
    "packed": packed,
    "multi-hot": multi_hot,
    "packed and multi-hot": lambda a: {**packed(a), **multi_hot(a)},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_codes_in_every_form_give_the_same_json(hashprobe, codes, form):
    plain = hashprobe("evaluate", codes(), "--json")
    other = hashprobe("evaluate", codes(form, "other.npz"), "--json")
    assert (other.code, other.err) == (0, "")
    assert other.out == plain.out


def test_json_is_one_object_and_nothing_else(hashprobe, codes):
    said = hashprobe("evaluate", codes(), "--json")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n") == 1
    scores = json.loads(said.out)
    assert list(scores) == ["map", "precision", "tmap"]
    for name, sign in (("map", "MAP@all|"), ("precision", "P@50|"), ("tmap", "tMAP@all|")):
        assert list(scores[name]) == ["value", "low", "high", "signature"]
        assert scores[name]["signature"].startswith(sign)
        assert 0 <= scores[name]["low"] <= scores[name]["value"] <= scores[name]["high"] <= 1
    assert scores["map"]["value"] > 0.6 > scores["tmap"]["value"]
    without = hashprobe("evaluate", codes(lambda a: {"target_labels": None}), "--json")
    assert list(json.loads(without.out)) == ["map", "precision"]


def test_options_of_evaluate_go_into_the_signature(hashprobe, codes):
    words = "--top 7 --normaliser min --ties worst --empty skip --json"
    said = hashprobe("evaluate", codes(), *words.split())
    scores = json.loads(said.out)
    assert scores["map"]["signature"].startswith("MAP@7|norm:min|ties:worst|empty:skip|")
    assert scores["precision"]["signature"].startswith("P@7|ties:worst|")


def test_without_json_a_line_each_with_interval_and_signature(hashprobe, codes):
    said = hashprobe("evaluate", codes(), "--top", "5")
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == ["MAP", "precision", "t-MAP"]
    assert all("|v:" in line and "[" in line for line in lines)


def test_evaluate_loads_no_torch(codes):
    code = f"""
import sys
from hashprobe.cli import main
main(["evaluate", {str(codes())!r}, "--json"])
print([m for m in ("torch", "faiss", "matplotlib") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, last = done.stdout.splitlines()
    assert json.loads(first)["map"]
    assert last == "[]"


BAD_FILES = {
    "K that does not fit": (both(lambda s: s[:, :12]), "12"),
    "bits that do not agree": (lambda a: {**packed(a), "bits": np.array(24)}, "24"),
    "codes of two lengths": (lambda a: {"query_codes": a["query_codes"][:, :8]}, "8 and 16 bits"),
    "an empty database": (
        lambda a: {k: a[k][:0] for k in ("database_codes", "database_labels")},
        "database holds no codes",
    ),
    "no queries": (
        lambda a: {k: a[k][:0] for k in ("query_codes", "query_labels", "target_labels")},
        "query holds no codes",
    ),
    "too few database labels": (
        lambda a: {"database_labels": a["database_labels"][:9]},
        "9 database labels for 50 database codes",
    ),
    "too few query labels": (
        lambda a: {"query_labels": a["query_labels"][:9]},
        "9 query labels for 10 query codes",
    ),
    "too few targets": (lambda a: {"target_labels": a["target_labels"][:9]}, "9 target labels"),
    "an unknown target": (lambda a: {"target_labels": a["target_labels"] + 40}, "target label 4"),
    "NaN": (lambda a: {"query_codes": np.full((10, 16), np.nan)}, "nan"),
    "numbers that are no bits": (lambda a: {"query_codes": a["query_codes"] * 3}, "3"),
    "one code, not a list": (lambda a: {"query_codes": a["query_codes"][0]}, "(16,)"),
    "no labels": (lambda a: {"query_labels": None}, "lacks query_labels"),
}


@pytest.mark.parametrize(("change", "words"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_a_wrong_code_file_is_one_line(hashprobe, codes, change, words, json_too):
    said = hashprobe("evaluate", codes(change), *json_too)
    assert words in said.error
    assert "codes.npz" in said.error
    assert said.out == ""


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_truncated_code_file_is_one_line(hashprobe, codes, share):
    path = codes()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "codes.npz is no npz file or was cut off" in hashprobe("evaluate", path).error


def test_a_pickle_in_a_code_file_is_not_run(hashprobe, codes, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    path = codes(lambda a: {"query_labels": np.array([Trap()] * 10, dtype=object)})
    assert "holds Python objects (a pickle)" in hashprobe("evaluate", path).error
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--top 0", "top must be at least 1"),
        ("--top many", "--top"),
        ("--ties best-of", "--ties"),
        ("--normaliser mim", 'Did you mean "min"'),
        ("--josn", "--json"),
    ],
)
def test_wrong_options_of_evaluate(hashprobe, codes, words, named):
    assert named in hashprobe("evaluate", codes(), *words.split()).error


# Mistakes of typing, and what is said of everything else


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("atack dhta x", 'Did you mean "attack"'),
        ("attack dta x", 'Did you mean "dhta"'),
        ("attack dhta x --stepss 3", "Did you mean --steps"),
        ("attack dhta x --preset offical-code", 'Did you mean "official-code"'),
        ("attack dhta x --steps few", "--steps"),
        ("attack dhta", "RUN"),
        ("train digits", "--out"),
        ("train", "DATA"),
        ("evaluate", "FILE"),
        ("encode x y", "y"),
        ("--config", "--config"),
    ],
)
def test_mistakes_of_typing_are_one_line(hashprobe, line, named):
    assert named in hashprobe(line).error


@pytest.mark.parametrize("words", [("--debug", "encode"), ("encode", "--debug")])
def test_debug_shows_the_traceback_and_then_the_line(hashprobe, tmp_path, words):
    said = hashprobe(*words, tmp_path / "none")
    assert said.code == 2
    assert said.err.startswith("Traceback")
    assert "in encode_run" in said.err
    assert said.err.splitlines()[-1] == f"error: {tmp_path / 'none'} does not exist"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted: what was finished is kept, the same command"),
        (RuntimeError("of\nours"), 1, "error: RuntimeError: of ours (--debug shows where)"),
        (MemoryError(), 2, "error: out of memory"),
        (OSError(28, "No space left on device", "a/b"), 2, "error: no space left on the disk for"),
        (PermissionError(13, "Permission denied", "a/b"), 2, "error: no permission for a/b"),
    ],
)
def test_whatever_happens_is_one_line_without_a_traceback(
    hashprobe, monkeypatch, codes, error, code, line
):
    def fail(path):
        raise error

    monkeypatch.setattr("hashprobe.cli.evaluate.load_code_file", fail)
    said = hashprobe("evaluate", codes())
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
    said = hashprobe("evaluate", codes(), "--debug")
    assert said.code == code
    assert "Traceback" in said.err


def test_off_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):
    from hashprobe.cli import terminal as screen

    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    terminal = screen.Terminal()
    terminal.say("[bold] stands as it is")
    with terminal.bar("steps") as tick:
        # 40 of 100 were finished before; 10 more take 31 s.
        tick(40, 100)
        for done, seconds in ((41, 3), (50, 28), (51, 3), (60, 28)):
            now[0] += seconds
            tick(done, 100)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "[bold] stands as it is",
        "steps: 50/100, 155 s left",
        "steps: 60/100, 124 s left",
    ]
