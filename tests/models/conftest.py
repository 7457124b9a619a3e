"""A small network and pictures that it can learn, shared by the tests of the models."""

import numpy as np
import pytest
import torch

from hashprobe.models import Hasher, ImageHasher
from hashprobe.types import InputContract


class Tiny(Hasher):
    """One convolution and a bare hash layer: quick, and without batch normalisation."""

    def __init__(self, seed=0, size=8, bits=8, dropout=0.0):
        super().__init__(bits, InputContract(size=size))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.features = torch.nn.Conv2d(3, 6, 3, stride=2)
            self.dropout = torch.nn.Dropout(dropout)
            self.hash = torch.nn.Linear(6, bits)

    def forward(self, images):
        return self.hash(self.dropout(self.features(images - 0.5).relu().mean((2, 3))))


@pytest.fixture
def tiny():
    """Builds a network without batch normalisation."""
    return Tiny


@pytest.fixture
def small():
    """Builds the backbone `small` at 8 pixels with the weights of a seed."""

    def build(seed=0, bits=8, **options):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return ImageHasher("small", bits, size=8, **options)

    return build


@pytest.fixture
def pictures():
    """Builds seeded 8-bit pictures of some classes, told apart by their brightness and noise."""

    def build(count, classes=2, size=8, seed=0):
        rng = np.random.default_rng(seed)
        kinds = np.arange(count) % classes
        noise = rng.integers(0, 60, (count, 3, size, size))
        images = (kinds * 180 // classes)[:, None, None, None] + noise
        labels = np.arange(classes) == kinds[:, None]
        return torch.from_numpy(images.astype(np.uint8)), labels

    return build
