"""Times that are said before the work starts."""

import numpy as np
import pytest
import torch

from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.data.datasets.digits import load_digits
from hashprobe.data.queries import Queries
from hashprobe.data.sources import FileSource, Split
from hashprobe.training.options import TrainOptions
from hashprobe.types import InputContract, Runtime
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow import expected
from hashprobe.workflow.expected import (
    attack_seconds,
    decoding_seconds,
    encoding_seconds,
    in_words,
    say_expected,
    training_seconds,
)


@pytest.fixture
def second_each(monkeypatch):
    """Every measured piece takes a second."""

    def timed(work, device):
        work()
        return 1.0

    monkeypatch.setattr(expected, "timed", timed)


@pytest.fixture
def lines():
    class Lines(list):
        def log(self, text):
            self.append(text)

        def bar(self, title):
            raise AssertionError("nothing is shown by a bar")

    return Lines()


def test_a_time_is_said_where_it_exceeds_a_minute(lines):
    say_expected(lines, "encoding", 59)
    assert lines == []
    say_expected(lines, "encoding", 300)
    say_expected(lines, "training", 7200, "--frozen takes about 3 minutes")
    assert lines == [
        "encoding takes about 5 minutes here",
        "training takes about 2.0 hours here; --frozen takes about 3 minutes",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(61, "1 minute"), (90, "2 minutes"), (7000, "117 minutes")]
)
def test_times_are_as_exact_as_estimates_are(seconds, words):
    assert in_words(seconds) == words


def test_a_training_is_its_steps_and_leaves_network_and_chance_as_they_were(second_each):
    hasher = ImageHasher("small", 8, size=8)
    before = {name: value.clone() for name, value in hasher.state_dict().items()}
    given = torch.zeros(100, 3, 8, 8, dtype=torch.uint8)
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    options = TrainOptions(epochs=10, batch_size=20)
    whole, forward = training_seconds(hasher, given, None, options)
    assert whole == pytest.approx(50 * expected.BESIDE)
    assert forward == pytest.approx(100 / 20)
    assert torch.rand(1) == drawn
    assert all(torch.equal(value, before[name]) for name, value in hasher.state_dict().items())
    limited = TrainOptions(epochs=10, batch_size=20, minutes=0.5)
    assert training_seconds(hasher, given, None, limited)[0] == 30


def test_items_that_cannot_be_decoded_take_no_time(tmp_path):
    paths = tuple(f"{i}.jpg" for i in range(200))
    split = Split(paths, FileSource(tmp_path, paths), np.ones((200, 1), bool))
    assert decoding_seconds(split, InputContract(size=8), Runtime(workers=2)) == 0


def test_an_encoding_is_its_items_and_an_attack_its_steps(second_each):
    hasher, data = ImageHasher("small", 8, size=8), load_digits()
    # A second for each piece of 16, to decode it and to encode it.
    assert encoding_seconds(hasher, data.database, Runtime()) == pytest.approx(2 * 1347 / 16)
    assert decoding_seconds(data.database, hasher.contract, Runtime(workers=4)) == 1347 / 16 / 4
    queries = Queries(torch.zeros(32, 3, 8, 8, dtype=torch.uint8))
    assert attack_seconds(hasher, queries, DhtaOptions(steps=100)) == 32 * 100 / 16
    assert attack_seconds(hasher, queries, DhtaOptions(steps=100), finished=30) == 2 * 100 / 16
    assert attack_seconds(hasher, queries, object()) == 0
