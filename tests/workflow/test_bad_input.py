"""What a user can get wrong: one line that names the thing, exit code 2, nothing lost."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks._p2p import P2pOptions
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.types import Budget
from hashprobe.victims.checkpoint import load_checkpoint, save_checkpoint
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.encode_step import encode_run
from hashprobe.workflow.network import Network
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.report_step import report_run
from hashprobe.workflow.train_step import train_run


ATTACK = "attack dhta {} --eps 64/255 --queries 2 --steps 2"
STEPS = ("encode {}", ATTACK, "report {}")


# Folders that are no run, or not far enough


@pytest.mark.parametrize("command", STEPS)
def test_a_run_that_is_not_there(hashprobe, tmp_path, command):
    assert hashprobe(command.format(tmp_path / "none")).error == f"{tmp_path}/none does not exist"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [*STEPS, "train digits --out {}"])
def test_a_file_where_a_folder_is_wanted(hashprobe, tmp_path, command):
    (tmp_path / "file").write_text("x")
    error = hashprobe(command.format(tmp_path / "file")).error
    assert f"{tmp_path}/file" in error
    assert "folder" in error
    below = hashprobe(command.format(tmp_path / "file" / "run")).error
    assert f"{tmp_path}/file" in below


@pytest.mark.parametrize("command", STEPS)
def test_a_folder_of_something_else(hashprobe, tmp_path, command):
    (tmp_path / "thesis.tex").write_text("x")
    assert "is not a run folder" in hashprobe(command.format(tmp_path)).error


def test_training_into_a_folder_of_something_else(hashprobe, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    error = hashprobe(f"train digits --out {tmp_path}").error
    assert error == f"{tmp_path} is no run folder and not empty (it holds thesis.tex): " + (
        "choose a new folder"
    )


@pytest.mark.parametrize("command", [*STEPS, "train digits --out {}"])
def test_a_run_of_another_format(hashprobe, run, command):
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "format": 7, "hashprobe": "9.1.0"}))
    error = hashprobe(command.format(run)).error
    assert f"{run} has run format 7, written by hashprobe 9.1.0" in error


@pytest.mark.parametrize("file", ["run.json", "checksums.json"])
@pytest.mark.parametrize("command", STEPS)
def test_a_damaged_record(hashprobe, run, file, command):
    (run / file).write_text((run / file).read_text()[:50])
    error = hashprobe(command.format(run)).error
    assert f"{run / file} is no JSON or was cut off" in error


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("data"),
        lambda config: config["data"].pop("name"),
        lambda config: config["data"].update(colour="blue"),
        lambda config: config.update(data=[]),
    ],
)
def test_a_run_that_does_not_say_its_data(hashprobe, run, change):
    content = json.loads((run / "run.json").read_text())
    change(content["config"])
    (run / "run.json").write_text(json.dumps(content))
    for command in (ATTACK, "report {}"):
        error = hashprobe(command.format(run)).error
        assert f"{run / 'run.json'}" in error and "data" in error


def test_steps_out_of_order(hashprobe, encoded):
    assert hashprobe(f"report {encoded}").error == (
        f"{encoded} has no finished attack to report: run hashprobe attack first"
    )
    shutil.rmtree(encoded / "codes")
    for command in (ATTACK, "report {}"):
        error = hashprobe(command.format(encoded)).error
        assert error == f"{encoded} is not encoded yet: run hashprobe encode first"
    shutil.rmtree(encoded / "model")
    error = hashprobe(f"encode {encoded}").error
    assert error == f"{encoded} is not trained yet: run hashprobe train first"


# Files of a run that were changed


@pytest.mark.parametrize(
    ("file", "commands"),
    [
        ("codes/query.npz", (ATTACK, "report {}", "encode {}")),
        ("codes/database.npz", (ATTACK, "report {}", "encode {}")),
        ("model/model.json", (ATTACK, "report {}")),
        ("model/model.safetensors", (ATTACK, "report {}")),
    ],
)
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_file_that_changed_is_named(hashprobe, run, file, commands, damage):
    whole = (run / file).read_bytes()
    half = len(whole) // 2
    changed = whole[:half] + (b"" if damage == "cut" else bytes([whole[half] ^ 1]))
    (run / file).write_bytes(changed + (b"" if damage == "cut" else whole[half + 1 :]))
    for command in commands:
        assert f"{run / file} has changed since" in hashprobe(command.format(run)).error


def test_a_checkpoint_of_another_shape(hashprobe, run):
    """Weights of a network with other bits: noticed by the run, and by the checkpoint itself."""
    other = ImageHasher("small", 24, size=8)
    card = load_checkpoint(run / "model")[1]
    save_checkpoint(run / "other", other, card)
    shutil.copy(run / "other" / "model.safetensors", run / "model")
    weights = run / "model" / "model.safetensors"
    assert f"{weights} has changed since" in hashprobe(ATTACK.format(run)).error
    Run.open(run).seal("model/model.safetensors")
    error = hashprobe(ATTACK.format(run)).error
    assert str(weights) in error
    assert "(24," in error
    assert "(16," in error


def test_a_result_that_is_damaged(hashprobe, run):
    path = run / "attacks" / "dhta-64of255-seed1" / "evaluation.json"
    whole = path.read_text()
    path.write_text(whole[:90])
    assert f"{path} is no JSON or was cut off" in hashprobe(f"report {run}").error
    path.write_text('{"achieved": {"signature": "x"}}')
    assert f"{path.parent} does not hold a finished attack" in hashprobe(f"report {run}").error
    # Attacking again finds the queries finished and measures anew.
    again = f"attack dhta {run} --eps 64/255 --queries 6 --seed 1 --steps 20"
    assert hashprobe(again).code == 0
    assert path.read_text() == whole
    assert hashprobe(f"report {run}").code == 0


def test_an_attack_without_some_queries_is_not_reported(hashprobe, run):
    folder = run / "attacks" / "dhta-64of255-seed1"
    next(folder.glob("queries/*.npz")).unlink()
    error = hashprobe(f"report {run}").error
    assert f"{folder} has finished 5 of 6 queries: run it again" in error


# Names that nobody knows


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("train digit", "unknown data 'digit'"),
        ("train digit", "digits"),
        ("train cifar-10 --root x", "cifar10"),
        ("train digits --backbone smal", "did you mean small"),
        ("train digits --backbone resnet", "resnet18"),
        ("train digits --backbone zzz", "unknown backbone 'zzz'"),
        ("train digits --bits 0", "a code must have 1 to 4096 bits; got 0"),
        ("train digits --bits -8", "a code must have 1 to 4096 bits; got -8"),
        ("train digits --bits 4097", "a code must have 1 to 4096 bits; got 4097"),
        ("train digits --weights none.pt", "no weights file none.pt"),
        ("train digits --backbone small --weights imagenet", "no ImageNet weights"),
        ("train digits --size 500", "8 to 64 pixels"),
        ("train digits --epochs 0", "epochs must be at least 1"),
        ("train folder", "needs --root"),
        ("train folder --root no/such/pictures", "no/such/pictures"),
        ("train cifar10 --root no/such/pictures", "no/such/pictures"),
        ("train listfiles --root .", "needs --lists"),
    ],
)
def test_training_of_what_is_not_known_leaves_nothing_behind(hashprobe, tmp_path, words, named):
    assert named in hashprobe(f"{words} --out {tmp_path / 'run'}").error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--queries 201", "queries must be from 1 to 200, the encoded ones; got 201"),
        ("--queries 0", "queries must be at least 1; got 0"),
        ("--seed -1", "seed must be a whole number from 0 to 2^63 - 1; got -1"),
        ("--top 0", "top must be at least 1; got 0"),
        ("--codec h264", "codec h264 is for videos: "),
        ("--codec h264 --crf 52", "crf must be from 0 (finest) to 51 (coarsest); got 52"),
        ("--crf 30", "crf 30 has no effect without codec h264"),
        ("--cache-gb -1", "cache-gb must be a number of GiB, 0 or more; got -1"),
        ("--minimum 0", "minimum must be at least 1; got 0"),
        ("--n-t 0", "n_t must be at least 1"),
        ("--n-t 500", "the most common one has 14"),
        ("--n-t 500 --target 3", "target label '3' has 133 database items"),
        ("--target 11", "unknown target label '11': choose from 0, 1, 2,"),
        ("--target three", "unknown target label 'three'"),
        ("--batch-size 0", "batch size must be at least 1; got 0"),
        ("--workers -1", "workers must be at least 0; got -1"),
        ("--steps 0", "steps must be at least 1"),
        ("--step-size 0", "step_size must be above 0"),
        ("--alpha 0", "alpha"),
    ],
)
def test_attack_options_that_do_not_fit(hashprobe, encoded, words, named):
    assert named in hashprobe(f"attack dhta {encoded} {words}").error
    assert not (encoded / "attacks").exists()


@pytest.mark.parametrize("name", ["a/b", "..", ".", "/tmp/x", ""])
def test_an_attack_stays_in_its_place(hashprobe, encoded, name):
    error = hashprobe("attack", "noise", encoded, "--queries", 2, "--name", name).error
    assert "name" in error
    assert not (encoded / "attacks").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("encode {} --batch-size 0", "batch size must be at least 1"),
        ("encode {} --workers -2", "workers must be"),
        ("encode {} --top 0", "top must be at least 1"),
        ("report {} --examples -1", "examples must be at least 0; got -1"),
        (
            "report {} --attack dhta",
            "no finished attack 'dhta': there are noise-64of255-seed1, p2p",
        ),
    ],
)
def test_other_options_that_do_not_fit(hashprobe, run, words, named):
    assert named in hashprobe(words.format(run)).error


def test_an_attack_that_python_code_misspells(audit):
    with pytest.raises(
        HashprobeError,
        match="unknown attack 'dtha': choose from bit-margin, cgat, dhta, feature, hag, ",
    ):
        attack_run(audit[0], AttackSpec("dtha", DhtaOptions()))
    with pytest.raises(HashprobeError, match="takes DhtaOptions; got P2pOptions"):
        protocol = Protocol(queries=2)
        attack_run(audit[0], AttackSpec("dhta", P2pOptions()), protocol=protocol, name="other")


# Pictures, pickles and networks


def test_an_empty_database(hashprobe, tmp_path):
    root = tmp_path / "pictures"
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(root / label / f"{number}.png")
    words = f"train folder --root {root} --queries 4 --training 1 --out {tmp_path / 'run'}"
    error = hashprobe(words).error
    assert "cat" in error or "database" in error
    assert not (tmp_path / "run").exists()


class Trap:
    """What a malicious pickle does when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {"head.weight": trap}])
def test_a_pickle_that_runs_code_is_refused_unrun(hashprobe, tmp_path, wrap):
    torch.save(wrap(Trap(str(tmp_path / "sprung"))), tmp_path / "weights.pt")
    words = f"train digits --weights {tmp_path / 'weights.pt'} --out {tmp_path / 'run'}"
    error = hashprobe(words).error
    assert str(tmp_path / "weights.pt") in error
    assert "refused" in error
    assert not (tmp_path / "sprung").exists()


def test_codes_with_a_pickle_are_refused_unrun(hashprobe, run, tmp_path):
    name = "codes/query.npz"
    np.savez(run / name, codes=np.array([Trap(str(tmp_path / "sprung"))], dtype=object))
    Run.open(run).seal(name)
    error = hashprobe(ATTACK.format(run)).error
    assert f"{run / name}: 'codes' holds Python objects" in error
    assert not (tmp_path / "sprung").exists()


def test_codes_of_another_content_are_named(hashprobe, run):
    name = "codes/database.npz"
    np.savez(run / name, codes=np.zeros((3, 2), np.uint8))
    Run.open(run).seal(name)
    error = hashprobe(ATTACK.format(run)).error
    assert (
        f"{run / name} is no code file of a run: it needs codes, bits, labels and positions"
        in error
    )


def test_a_network_that_gives_nan(hashprobe, encoded):
    hasher, card = load_checkpoint(encoded / "model")
    with torch.no_grad():
        next(hasher.parameters()).fill_(float("nan"))
    save_checkpoint(encoded / "model", hasher, card)
    Run.open(encoded).seal("model/model.safetensors")
    shutil.rmtree(encoded / "codes")
    assert "NaN" in hashprobe(f"encode {encoded}").error
    assert not (encoded / "codes").exists()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.full((1, 3, 8, 8), 2.64), "2.64"),
        (torch.full((1, 3, 8, 8), -0.5), "-0.5"),
        (torch.full((1, 3, 8, 8), float("nan")), "(?i)nan"),
        (torch.zeros(1, 3, 9, 9), "8x8 pixels; got 9x9"),
        (torch.zeros(0, 3, 8, 8), "no images"),
    ],
)
def test_pixels_that_no_attack_takes(audit, images, words):
    hasher, _ = load_checkpoint(audit[0] / "model")
    goal = Goal.targeted(torch.ones(len(images), 16))
    with pytest.raises(HashprobeError, match=words) as caught:
        dhta(hasher, Queries(images), goal, budget=Budget(), options=DhtaOptions(steps=1))
    assert "\n" not in str(caught.value)


# Through Python as through the command line


def test_the_steps_raise_what_the_command_line_prints(tmp_path):
    for step in (encode_run, report_run):
        with pytest.raises(HashprobeError, match="does not exist"):
            step(tmp_path / "none")
    with pytest.raises(HashprobeError, match="a code must have 1 to 4096 bits; got 0"):
        train_run(tmp_path / "run", DataOptions("digits"), Network(bits=0), TrainOptions())


@pytest.mark.parametrize("command", ["encode {}", ATTACK])
@pytest.mark.parametrize("device", ["cuda:7", "nonsense", "meta:x", "meta"])
def test_a_device_that_is_not_there(hashprobe, audit, command, device):
    error = hashprobe(f"{command.format(audit[0])} --device {device}").error
    assert error.startswith(f"device '{device}' is not available here: choose auto or cpu")
