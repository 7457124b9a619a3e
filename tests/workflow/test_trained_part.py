"""What is trained of a network whose backbone stands still."""

import json

import pytest
import torch
from safetensors.torch import load_file

from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow import trained_part as parts
from hashprobe.workflow.network import Network
from hashprobe.workflow.train_step import train_run


OPTIONS = TrainOptions(epochs=2, batch_size=50, optimiser="adamw", lr=3e-3)


@pytest.fixture
def weights(tmp_path):
    """The file of a backbone's weights."""
    torch.manual_seed(7)
    path = tmp_path / "weights.pt"
    torch.save(ImageHasher("small", 8, size=8).network.state_dict(), path)
    return path


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_frozen_backbone_keeps_its_weights_and_the_hash_layer_learns(
    tmp_path, weights, batch_norm, monkeypatch
):
    seen = []
    features = parts.image_features
    monkeypatch.setattr(parts, "image_features", lambda *given: seen.append(1) or features(*given))
    network = Network("small", 8, size=8, weights=str(weights), frozen=True, batch_norm=batch_norm)
    run = train_run(tmp_path / "run", DataOptions("digits"), network, OPTIONS)
    assert seen == [1], "features are computed once"
    before = torch.load(weights, weights_only=True)
    after = load_file(run.path / "model" / "model.safetensors")
    backbone = [name for name in before if not name.startswith("head")]
    assert len(backbone) > 20
    for name in backbone:
        assert torch.equal(after[f"network.{name}"], before[name])
    losses = [event["loss"] for event in Run.open(run.path).events("epoch")]
    assert losses[1] < losses[0]
    training = json.loads((run.path / "model" / "model.json").read_text())["training"]
    assert training["frozen"] is True and training["augment"] == "none"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network("small", 8, frozen=True), "features of a backbone that has weights"),
        (Network("small", 8, weights="x", frozen=True, tune=True), "contradict each other"),
        (Network("squeezenet1_0", 8, weights="x", frozen=True), "ends in a convolution"),
    ],
)
def test_what_cannot_be_frozen_says_why(network, message):
    hasher = ImageHasher(network.backbone, 8)
    with pytest.raises(HashprobeError, match=message):
        parts.check_frozen(network, hasher)


def test_frames_stand_still_by_themselves():
    video = VideoHasher("small", 8, size=8, frames=4, hidden=8)
    image = ImageHasher("small", 8, size=8)
    with_weights = Network("small", 8, weights="x")
    assert parts.stands_still(with_weights, video) and not parts.stands_still(with_weights, image)
    assert not parts.stands_still(Network("small", 8), video)
    frozen = Network("small", 8, weights="x", frozen=True)
    parts.check_frozen(frozen, video)
    assert parts.stands_still(frozen, video) and parts.stands_still(frozen, image)
