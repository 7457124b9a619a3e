"""hashprobe train: presets."""

from dataclasses import replace

from hashprobe.workflow.network import TRAIN_PRESETS, Network


def planned(hashprobe, monkeypatch, *words):
    """Network and options that a training is asked for."""
    seen = {}

    def keep(path, source, network, options, runtime, **more):
        seen.update(network=network, options=options)

    monkeypatch.setattr("hashprobe.workflow.train_step.train_run", keep)
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
