"""Help, recipes, mistakes of typing, and one-line errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hashprobe as package
from hashprobe.attacks.registry import ATTACKS
from hashprobe.cli.app import COMMANDS
from hashprobe.cli.signals import Stopped, stopping_signals


# Help


@pytest.mark.parametrize("command", [*COMMANDS, *(f"attack {name}" for name in ATTACKS)])
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


def test_version(hashprobe):
    assert hashprobe("--version").out.strip() == package.__version__


def test_the_package_is_a_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "hashprobe", "--version"], capture_output=True, text=True
    )
    assert done.stdout.strip() == package.__version__


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", ["--help", "--version", "encode --help", "evaluate {codes}"])
def test_an_output_that_is_full_or_closed_is_no_traceback(codes, words):
    command = [sys.executable, "-c", "from hashprobe.cli import main; main()"]
    command += words.format(codes=codes()).split()
    with open("/dev/full", "w") as full:
        said = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert said.returncode == 2
    assert said.stderr.startswith("error: no space left")
    assert said.stderr.count("\n") == 1
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (said.returncode, said.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_error_that_cannot_be_shown_keeps_its_exit_code():
    command = [sys.executable, "-c", "from hashprobe.cli import main; main()", "tain"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stderr=full, check=False).returncode == 2


# Recipes


def test_a_recipe_gives_options_and_the_command_line_overrides_them(
    hashprobe, chosen, encoded, tmp_path
):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(
        "attack:\n  dhta: {eps: 16/255, queries: 3, steps: 2, step-size: 0.5, n_t: 3}\n"
        "encode: {top: 5}\n"
    )
    said = hashprobe("--config", recipe, "attack", "dhta", encoded, "--steps", "3")
    assert said.code == 0, said.err
    asked = chosen(encoded, "dhta-16of255-seed0")
    assert asked["protocol"]["queries"] == 3
    assert asked["options"] == {
        "n_t": 3, "steps": 3, "step_size": 0.5, "alpha": None, "tie": "plus"
    }  # fmt: skip
    assert "MAP@5|" in hashprobe("encode", encoded, "--config", recipe).out
    # A recipe is for one call only.
    assert "MAP@all|" in hashprobe("encode", encoded).out


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
        ("train: [1", "is not plain YAML"),
        ("- 1", "must hold options by command"),
        ("train: 3", "must be a mapping"),
        ("!!python/object/apply:os.system ['touch pwned']", "is not plain YAML"),
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


# Mistakes of typing, and errors of every kind


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("atack dhta x", 'Did you mean "attack"'),
        ("tain", "hashprobe --help"),
        ("attack dta x", 'Did you mean "dhta"'),
        ("attack dhtaa", 'Did you mean "dhta"'),
        ("attack dta x --n-t 3", 'Did you mean "dhta"'),
        ("attack nonsense x", "Attacks are noise, "),
        ("attack no/such/run", "no/such/run does not exist"),
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
        (KeyboardInterrupt(), 130, "interrupted: run the same command again"),
        (Stopped(signal.SIGTERM), 143, "interrupted: run the same command again"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated."),
            143,
            "interrup",
        ),
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

    monkeypatch.setattr("hashprobe.evaluation.codefile.load_code_file", fail)
    said = hashprobe("evaluate", codes())
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
    said = hashprobe("evaluate", codes(), "--debug")
    assert said.code == code
    assert "Traceback" in said.err


# Pipes


@pytest.mark.parametrize("words", ["evaluate {codes}", "attack --help"])
def test_output_that_nobody_reads_ends_a_command_silently(codes, words):
    script = Path(sys.executable).with_name("hashprobe")
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [script, *words.format(codes=codes()).split()],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Stopped):
                os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_word_that_nobody_takes_is_named_with_where_to_look(hashprobe, tmp_path):
    said = hashprobe(f"train digits more --out {tmp_path}")
    assert said.code == 2
    assert "unexpected 'more'" in said.err and "--help" in said.err


@pytest.mark.parametrize(
    ("words", "missing"), [("train digits", "--out"), ("train --out x", "DATA"), ("encode", "RUN")]
)
def test_what_a_command_needs_is_named_with_the_command(hashprobe, words, missing):
    said = hashprobe(words)
    assert said.code == 2
    assert f"{words.split()[0]} needs {missing}: " in said.err
