"""Training into a run folder."""

from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v3_small

from hashprobe.data.datasets.registry import DataOptions
from hashprobe.defenses.trainers._free import Free
from hashprobe.defenses.trainers._p2s import P2s
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_json, write_json
from hashprobe.storage.runs import Run
from hashprobe.training.losses.csq import csq_centres
from hashprobe.training.options import PAPER_IMAGES, TrainOptions
from hashprobe.types import Runtime
from hashprobe.workflow import train_step as training
from hashprobe.workflow.network import Network
from hashprobe.workflow.train_step import (
    as_begun,
    as_kept,
    centres_of,
    held_out_map,
    passes_of,
    section,
    train_run,
)


DIGITS = DataOptions("digits")
NETWORK = Network("small", 8, size=8)
OPTIONS = TrainOptions(epochs=2, batch_size=125, held_out=25)


class Lines:
    """Keeps every line and the title of every bar."""

    def __init__(self):
        self.lines, self.bars = [], []

    def log(self, text):
        self.lines.append(text)

    @contextmanager
    def bar(self, title):
        self.bars.append(title)
        yield lambda done, total: None


def test_a_training_tells_what_it_does_and_is_not_repeated(tmp_path):
    told = Lines()
    run = train_run(tmp_path / "run", DIGITS, NETWORK, OPTIONS, Runtime(progress=told))
    assert told.bars == ["decoding training images", "training"]
    assert told.lines[0] == "digits: 200 query, 250 training, 1347 database"
    assert [line.split(":")[0] for line in told.lines[1:]] == ["epoch 1/2", "epoch 2/2", "trained"]
    assert ", held-out MAP 0." in told.lines[1]
    events = run.events("epoch")
    assert [event["number"] for event in events] == [1, 2]
    card = read_json(run.path / "model/model.json")
    assert card["training"]["seconds"] == events[-1]["seconds"]
    assert sorted(p.name for p in run.path.iterdir()) == [
        "checksums.json", "data.json", "environment.json", "metrics.jsonl", "model", "run.json",
    ]  # fmt: skip
    again = Lines()
    train_run(tmp_path / "run", DIGITS, NETWORK, OPTIONS, Runtime(progress=again))
    assert again.lines == [f"{run.path} is trained already"] and again.bars == []


def test_a_typo_leaves_no_folder_behind(tmp_path):
    for source, network in (
        (DataOptions("digit"), NETWORK),
        (DIGITS, replace(NETWORK, backbone="smal")),
    ):
        with pytest.raises(HashprobeError, match=r"smal|digit"):
            train_run(tmp_path / "run", source, network, OPTIONS)
    assert not list(tmp_path.iterdir())


def test_the_seed_decides_on_the_weights(tmp_path):
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(99)
        options = TrainOptions(epochs=1, batch_size=125, seed=seed)
        run = train_run(tmp_path / name, DIGITS, NETWORK, options)
        weights.append((run.path / "model/model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_features_of_a_backbone_that_is_not_trained_are_computed_once(tmp_path):
    torch.manual_seed(0)
    source = tmp_path / "weights.pt"
    network = Network("mobilenet_v3_small", 8, size=32, frames=4, hidden=8)
    torch.save(mobilenet_v3_small().state_dict(), source)
    told = Lines()
    frozen = replace(network, weights=str(source))
    options = TrainOptions(loss="dvh", epochs=1, batch_size=60)
    data = DataOptions("moving-digits")
    run = train_run(tmp_path / "run", data, frozen, options, Runtime(progress=told))
    assert told.bars == ["decoding training images", "computing features", "training"]
    assert read_json(run.path / "model/model.json")["training"]["augment"] == "none"
    assert run.config["train"]["augment"] == "crop-flip"


def test_large_clips_are_learnt_from_out_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CLIP_BYTES", 0)
    paths, real = [], training.decode

    def decode(*given, into, **more):
        paths.append(into)
        return real(*given, into=into, **more)

    monkeypatch.setattr(training, "decode", decode)
    network = Network("small", 8, size=16, frames=4, hidden=8)
    options = TrainOptions(loss="dvh", epochs=1, batch_size=60)
    run = train_run(tmp_path / "run", DataOptions("moving-digits"), network, options)
    assert paths == [run.path / "pixels.npy"] and not paths[0].exists()


def test_options_of_the_machine_are_not_part_of_a_configuration():
    kept = section(TrainOptions(save_seconds=3, accelerator="cpu", devices=2))
    assert kept == section(TrainOptions())
    assert set(asdict(TrainOptions())) - set(kept["train"]) == {
        "save_seconds", "accelerator", "devices",
    }  # fmt: skip


def test_options_that_an_older_run_does_not_have_are_left_out_if_they_are_defaults(tmp_path):
    config = {"data": asdict(DIGITS), "network": asdict(NETWORK)} | section(OPTIONS)
    there = {name: dict(part) for name, part in config.items()}
    del there["data"]["stride"], there["network"]["tune"]
    older = Run.create(tmp_path / "run", there).config
    assert as_kept(config, older) == there
    changed = {**config, "network": {**config["network"], "tune": True}}
    assert as_kept(changed, older)["network"]["tune"] is True


def test_the_same_command_goes_on_with_a_training_of_an_earlier_version(tmp_path):
    """Its run.json knows no weights of pairs, and its defaults were those of the paper."""
    short = {"epochs": 1, "batch_size": 125}
    old = train_run(tmp_path / "old", DIGITS, NETWORK, replace(PAPER_IMAGES, **short))
    weights = (old.path / "model/model.safetensors").read_bytes()
    content = read_json(old.path / "run.json")
    del content["config"]["train"]["pair_weights"]
    write_json(old.path / "run.json", content)
    (old.path / "model/model.safetensors").unlink()
    again = train_run(tmp_path / "old", DIGITS, NETWORK, TrainOptions(**short))
    assert (again.path / "model/model.safetensors").read_bytes() == weights
    with pytest.raises(HashprobeError, match="lr"):
        train_run(tmp_path / "old", DIGITS, NETWORK, TrainOptions(**short, lr=0.2))


def test_the_same_command_goes_on_with_a_defence_of_an_earlier_version(tmp_path):
    short, said = TrainOptions(epochs=1, batch_size=125), Lines()
    first = P2s(own="vote", push="margin", steps=3, momentum=0.6)
    old = train_run(tmp_path / "old", DIGITS, NETWORK, short, defence=first)
    again = train_run(
        tmp_path / "old", DIGITS, NETWORK, short, defence=P2s(), runtime=Runtime(progress=said)
    )
    assert again.config == old.config and said.lines == [
        f"{old.path} was begun with other defaults of p2s, and goes on with them",
        f"{old.path} is trained already",
    ]
    with pytest.raises(HashprobeError, match=r"defence\.n_t: 9 there, 1 here"):
        train_run(tmp_path / "old", DIGITS, NETWORK, short, defence=P2s(n_t=1))


def test_what_was_given_to_a_training_of_an_earlier_version_is_kept():
    there = {**section(replace(PAPER_IMAGES, optimiser="adamw", lr=0.003))["train"]}
    del there["pair_weights"]
    given = TrainOptions(optimiser="adamw", lr=0.003)
    expected = replace(PAPER_IMAGES, optimiser="adamw", lr=0.003)
    assert as_begun(given, there) == expected
    assert as_begun(TrainOptions(), section(TrainOptions())["train"]) == TrainOptions()
    assert as_begun(TrainOptions(schedule="cosine"), there).schedule == "cosine"


@pytest.mark.parametrize(
    ("weights", "given", "factor"), [("none", None, 1.0), ("file", None, 0.1), ("file", 0.5, 0.5)]
)
def test_a_backbone_with_weights_moves_a_tenth_as_fast(
    tmp_path, monkeypatch, weights, given, factor
):
    class Stop(Exception):
        pass

    def train(hasher, images, labels, options, **_):
        assert options.backbone_lr == factor
        raise Stop

    monkeypatch.setattr(training, "train", train)
    source = tmp_path / "weights.pt"
    torch.save(mobilenet_v3_small().state_dict(), source)
    network = Network(
        "mobilenet_v3_small", 8, str(source) if weights == "file" else "none", size=32
    )
    with pytest.raises(Stop):
        train_run(tmp_path / "run", DIGITS, network, TrainOptions(backbone_lr=given))


def test_only_a_loss_with_centres_keeps_them():
    assert centres_of(TrainOptions(loss="dph"), 10, 16) == {}
    kept = centres_of(TrainOptions(loss="csq", seed=3), 10, 16)["centres"]
    bits = np.unpackbits(np.array([list(bytes.fromhex(row)) for row in kept], np.uint8), axis=1)
    np.testing.assert_array_equal(bits, csq_centres(10, 16, 3) > 0)


def test_the_held_out_map_is_one_for_codes_of_their_labels():
    signs = np.array([[1] * 8, [-1] * 8], np.int8)
    labels = np.eye(2, dtype=bool)
    assert held_out_map(signs, signs.repeat(3, 0), labels, labels.repeat(3, 0)) == 1.0


def test_the_expected_time_counts_what_a_defence_adds():
    assert passes_of(None) == 1
    assert passes_of(P2s(steps=11)) - passes_of(P2s(steps=1)) == pytest.approx(7)
    for defence, replays in ((P2s, 1), (Free, 4)):
        # Moved weights see both halves of the batch again.
        added = passes_of(defence(awp=0.01)) - passes_of(defence())
        assert added == pytest.approx(2 * replays)
