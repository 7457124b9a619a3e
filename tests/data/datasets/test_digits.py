import numpy as np
import torch
from sklearn.datasets import load_digits as published

from hashprobe.data.datasets.digits import load_digits
from hashprobe.data.datasets.registry import DataOptions


def pixels_of(split):
    return torch.stack([split.source.read(i) for i in range(len(split))])


def test_digits_are_split_200_250_1347():
    data = load_digits()
    assert [len(data.query), len(data.train), len(data.database)] == [200, 250, 1347]
    ids = [*data.query.ids, *data.train.ids, *data.database.ids]
    assert len(set(ids)) == 1797
    assert data.label_names == tuple("0123456789")
    assert data.name == "digits"
    assert data.findings == ()


def test_digits_are_the_published_pixels_and_labels():
    bunch = published()
    data = load_digits(seed=3)
    for split in (data.query, data.train, data.database):
        where = [int(name.split("/")[1]) for name in split.ids]
        pixels = pixels_of(split)
        assert pixels.dtype == torch.uint8
        assert pixels.shape == (len(split), 3, 8, 8)
        expected = torch.from_numpy(bunch.images[where]) * 255 / 16
        for channel in range(3):
            assert (pixels[:, channel] - expected).abs().max() <= 0.5
        assert (split.labels.sum(1) == 1).all()
        np.testing.assert_array_equal(split.labels.argmax(1), bunch.target[where])
    assert pixels.min() == 0
    assert pixels.max() == 255


def test_the_seed_decides_the_split():
    first, again, other = load_digits(1), load_digits(1), load_digits(2)
    assert first.query.ids == again.query.ids
    assert first.checksum == again.checksum
    assert first.query.ids != other.query.ids
    assert first.checksum != other.checksum
    assert DataOptions("digits", split_seed=1).load().checksum == first.checksum


def test_parts_are_in_random_order():
    labels = load_digits().database.labels.argmax(1)
    assert (labels[1:] == labels[:-1]).mean() < 0.2
