"""Trainings that do not start: the value that a loss must leave, and the line that says so."""

import numpy as np
import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.training.loop import train
from hashprobe.training.losses.csq import csq_targets
from hashprobe.training.losses.registry import LOSSES
from hashprobe.training.options import TrainOptions
from hashprobe.training.plateau import must_fall_below
from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher


def classes(items, count):
    return np.arange(items)[:, None] % count == np.arange(count)


def limit(name, labels, bits=32):
    loss = LOSSES[name]
    centres = torch.from_numpy(csq_targets(labels, bits, 0)) if loss.centres else None
    return must_fall_below(loss, labels, centres, bits)


@pytest.mark.parametrize("count", [3, 15, 60])
@pytest.mark.parametrize(
    ("name", "trivial"),
    # Codes at 0, or all alike; dvh: codes at half of the margin from each other.
    [("dph", 1.0), ("hashnet", 2 * np.log(2)), ("dvh", 1.0)],
)
def test_the_limit_lies_below_the_trivial_value(name, trivial, count):
    found = limit(name, classes(600, count))
    assert 0.85 * trivial < found < trivial + 0.01


def test_the_limit_of_dpsh_counts_the_quantisation_too():
    assert np.log(2) < limit("dpsh", classes(600, 15)) < np.log(2) + 0.1


def test_the_limit_of_csq_is_near_the_entropy_of_the_bits_of_the_centres():
    labels = classes(600, 16)
    share = (csq_targets(labels, 32, 0) > 0).mean(0).clip(1e-9, 1 - 1e-9)
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share)).mean()
    assert limit("csq", labels) == pytest.approx(0.97 * entropy, abs=0.01)


def test_labels_that_tell_nothing_set_no_limit():
    assert limit("dph", np.ones((50, 1), bool)) == -float("inf")


class Linear(Hasher):
    """A bare hash layer on 64 features."""

    def __init__(self, bits):
        super().__init__(bits, InputContract(size=8))
        self.head = torch.nn.Linear(64, bits)

    def forward(self, features):
        return self.head(features)


def trained(apart=0.7, **options):
    """A training on 15 classes of features that lie so far apart."""
    rng, labels = np.random.default_rng(0), classes(300, 15)
    means = rng.normal(size=(15, 64))
    features = apart * means[labels.argmax(1)] + rng.normal(size=(300, 64))
    torch.manual_seed(0)
    given = {"epochs": 14, "batch_size": 15, "held_out": 0, "augment": "none"} | options
    history = []
    train(
        Linear(16),
        torch.from_numpy(features.astype(np.float32)),
        labels,
        TrainOptions(**given),
        on_epoch=history.append,
    )
    return history


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"loss": "dph", "pair_weights": "none"}, "pair_weights warm-up, loss csq, another lr"),
        ({"loss": "dpsh"}, "take loss csq, another lr"),
        ({"loss": "hashnet"}, "take loss csq, another lr"),
        ({"loss": "csq"}, "take another lr"),
    ],
)
def test_a_training_that_does_not_start_ends_early_with_its_remedy(options, remedy):
    with pytest.raises(HashprobeError, match="does not start: after 10 epochs") as caught:
        trained(apart=0.0, lr=0.0, **options)
    assert remedy in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_training_that_starts_is_left_alone(loss):
    assert len(trained(loss=loss)) == 14


def test_a_short_training_is_left_alone():
    assert len(trained(apart=0.0, lr=0.0, epochs=9)) == 9
    assert len(trained(apart=0.0, lr=0.0, epochs=12, batch_size=100)) == 12


@pytest.mark.parametrize("loss", ["dph", "dpsh"])
def test_rare_similar_pairs_start_with_weights(loss):
    """One pair in 15 is similar: within the same epochs the classes come apart further."""
    plain, weighted = (
        trained(apart=0.3, loss=loss, pair_weights=kind)[-1].loss for kind in ("none", "warm-up")
    )
    assert weighted < plain
