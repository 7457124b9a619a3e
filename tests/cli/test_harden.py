"""hashprobe train --defence and hashprobe harden, over the digits."""

import json
import shutil
from pathlib import Path

import pytest

from hashprobe.data.datasets.registry import DataOptions
from hashprobe.defenses.trainers.registry import trainer_of_words
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_json
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.types import Runtime
from hashprobe.workflow.hardening_options import HardenOptions
from hashprobe.workflow.network import Network
from hashprobe.workflow.train_step import TrainingPlan, check_same_defence, trained


DIGITS = "train digits --size 8 --bits 16 --epochs 1 --batch-size 125 --held-out 0"


def test_a_run_is_hardened_into_a_run_of_its_own(hashprobe, encoded, tmp_path):
    before = (encoded / "model/model.safetensors").read_bytes()
    words = f"harden {encoded} --out {tmp_path / 'hard'} --epochs 1 --defence-option steps=1 --json"
    said = hashprobe(words)
    assert said.code == 0, said.err
    assert [epoch["number"] for epoch in json.loads(said.out)["epochs"]] == [1]
    card = read_json(tmp_path / "hard/model/model.json")
    assert (
        card["training"]["defence"]["name"] == "p2s" and card["training"]["defence"]["steps"] == 1
    )
    config = Run.open(tmp_path / "hard").config
    assert config["hardened"]["run"] == str(encoded)
    assert config["train"]["lr"] == 0.001  # a third of that of the run
    assert (encoded / "model/model.safetensors").read_bytes() == before
    assert (tmp_path / "hard/model/model.safetensors").read_bytes() != before
    assert hashprobe(words).code == 0  # is done already
    assert "another configuration" in hashprobe(words.replace("steps=1", "steps=2")).error
    # The name comes first, whatever options the other defence has.
    said = hashprobe(f"{words} --defence atrdh").error
    assert "another configuration (defence: p2s there, atrdh here)" in said
    assert hashprobe(f"encode {tmp_path / 'hard'}").code == 0


def test_label_free_has_a_learning_rate_of_its_own(hashprobe, encoded, tmp_path):
    out = tmp_path / "hard"
    words = f"harden {encoded} --epochs 1 --defence label-free --defence-option steps=1"
    said = hashprobe(f"{words} --out {out}")
    assert said.code == 0 and "bits of clean items changed" in said.err
    assert Run.open(out).config["train"]["lr"] == 3e-5
    assert "is trained already" in hashprobe(f"{words} --out {out}").err
    assert "train.lr" in hashprobe(f"{words} --out {out} --lr 0.001").error
    # What an earlier version began without --lr goes on with a third of the rate of the run.
    third = Run.open(encoded).config["train"]["lr"] / 3
    assert hashprobe(f"{words} --lr {third!r} --out {tmp_path / 'earlier'}").code == 0
    assert Run.open(tmp_path / "earlier").config["train"]["lr"] == third
    assert "is trained already" in hashprobe(f"{words} --out {tmp_path / 'earlier'}").err


def test_a_hardening_goes_on_from_a_moved_run(hashprobe, encoded, tmp_path):
    moved, out = tmp_path / "moved", tmp_path / "hard"
    words = f"--epochs 1 --defence-option steps=1 --out {out}"
    assert hashprobe(f"harden {encoded} {words}").code == 0
    shutil.copytree(encoded, moved)
    said = hashprobe(f"harden {moved} {words}")
    assert said.code == 0 and "is trained already" in said.err
    assert Run.open(out).config["hardened"]["run"] == str(encoded)
    config = Run.open(out).config | {"hardened": {"run": str(encoded), "weights": "0" * 64}}
    Run.open(out).saved(config)
    assert "(hardened." in hashprobe(f"harden {moved} {words}").error


def test_an_unfinished_hardening_is_to_be_hardened(hashprobe, encoded, tmp_path):
    out = tmp_path / "hard"
    shutil.copytree(encoded, out)
    shutil.rmtree(out / "model")
    run = Run.open(out)
    run.saved(run.config | {"hardened": {"run": str(encoded), "weights": "0" * 64}})
    assert "run hashprobe harden first" in hashprobe(f"encode {out}").error


def test_a_bound_on_the_loss_is_kept_in_the_card(hashprobe, encoded, tmp_path):
    out = tmp_path / "hard"
    words = f"harden {encoded} --epochs 1 --defence-option steps=1 --defence-option most_loss=5"
    said = hashprobe(f"{words} --seed 9 --out {out}").error
    seed = Run.open(encoded).config["train"]["seed"]
    assert said.endswith(f"give --seed {seed}") and not out.exists()
    assert hashprobe(f"{words} --seed {seed} --out {out}").code == 0
    kept = read_json(out / "model/model.json")["training"]["kept"]
    assert kept["kept"] >= kept["start"] - 0.05 and 0 <= kept["share"] <= 1
    said = hashprobe(f"{DIGITS} --defence p2s --defence-option most_loss=5 --out {tmp_path / 'no'}")
    assert "compares with the network at the start" in said.error


def test_a_training_with_a_defence(hashprobe, tmp_path):
    run = tmp_path / "run"
    said = hashprobe(f"{DIGITS} --out {run} --defence fast --defence-option eps=4/255")
    assert said.code == 0, said.err
    assert Run.open(run).config["defence"]["eps"] == 4 / 255
    other = hashprobe(f"{DIGITS} --out {run} --defence fast --defence-option eps=5/255").error
    assert "defence.eps: 0.01568627450980392 there" in other


@pytest.mark.parametrize(
    ("begun", "asked", "said"),
    [
        ({}, {"defence": {"name": "saat"}}, "(defence: none there, saat here)"),
        ({"defence": {"name": "p2s"}}, {}, "(defence: p2s there, none here)"),
        (
            {"defence": {"name": "atrdh", "hidden": 64}},
            {"defence": {"name": "p2s"}},
            "(defence: atrdh there, p2s here)",
        ),
        ({"hardened": {"run": "/runs/a"}}, {}, "(hardened: /runs/a there, none here)"),
    ],
)
def test_a_run_keeps_its_defence(begun, asked, said):
    with pytest.raises(HashprobeError) as error:
        check_same_defence(Path("run"), asked, {"train": {}, **begun})
    assert f"run holds a run with another configuration {said}" in str(error.value)
    check_same_defence(Path("run"), begun, {"train": {}, **begun})
    check_same_defence(Path("run"), asked, {"data": {}})  # nothing is trained there


def test_an_undefended_run_is_not_taken_for_a_defended_one(encoded):
    before = (encoded / "run.json").read_bytes()
    network = Run.open(encoded)
    plan = TrainingPlan(
        Network(**network.config["network"]),
        TrainOptions(**network.config["train"]),
        trainer_of_words("p2s"),
    )
    source = DataOptions(**network.config["data"])
    with pytest.raises(HashprobeError, match="defence: none there, p2s here"):
        trained(encoded, source, plan, Runtime())
    assert (encoded / "run.json").read_bytes() == before


def test_what_does_not_fit_is_one_line(hashprobe, encoded, tmp_path):
    out = tmp_path / "x"
    for words, said in (
        (f"{DIGITS} --out {out} --defence label-free", "hashprobe harden RUN --defence label-free"),
        (f"{DIGITS} --out {out} --defence p2p", "p2p"),
        (f"{DIGITS} --out {out} --defence-option eps=1/255", "--defence-option needs --defence"),
        (f"{DIGITS} --out {out} --defence p2s --defence-option ep=1", "p2s has no option 'ep'"),
        (f"harden {encoded} --out {encoded}", "is the run that is hardened"),
        (f"harden {tmp_path / 'none'} --out {out}", "none"),
        (f"harden {encoded} --out {out} --epochs 0", "epochs must be at least 1"),
    ):
        assert said in hashprobe(words).error
        assert not out.exists()


def test_what_is_not_given_is_as_in_the_run():
    known = TrainOptions(lr=0.6, batch_size=7, precision="bfloat16", loss="dph")
    made = HardenOptions(epochs=3, augment="none").over(known)
    assert (made.lr, made.batch_size, made.precision, made.loss) == (0.6 / 3, 7, "bfloat16", "dph")
    assert (made.epochs, made.augment) == (3, "none")
