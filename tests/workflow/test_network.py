"""The networks and trainings of the paper by name."""

from hashprobe.training.losses.registry import LOSSES
from hashprobe.training.options import TrainOptions
from hashprobe.workflow.network import TRAIN_PRESETS, Network


def test_the_presets_are_those_of_the_paper():
    """DHTA, appendix B: backbone, loss, optimiser, learning rate, batch size."""
    network, train = TRAIN_PRESETS["paper-images"]
    assert (network.backbone, network.weights, network.batch_norm) == ("vgg11", "imagenet", False)
    assert (train.loss, train.optimiser, train.lr, train.batch_size) == ("dph", "sgd", 0.01, 24)
    network, train = TRAIN_PRESETS["paper-videos"]
    assert (network.backbone, network.frames, network.batch_norm) == ("alexnet", 40, False)
    assert (train.loss, train.optimiser, train.lr, train.batch_size) == ("dvh", "sgd", 0.05, 100)


def test_what_the_paper_does_not_state_is_left_to_the_defaults():
    for network, train in TRAIN_PRESETS.values():
        assert network.bits == Network().bits
        assert train.epochs == TrainOptions().epochs
        assert train.loss in LOSSES
