"""Tiny hashers whose behaviour is known, shared by the tests of the attacks."""

import pytest
import torch

from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher


CONTRACT = InputContract(size=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.4))


class Linear(Hasher):
    """z = W x on raw pixels, so that reachable codes are known in closed form."""

    def __init__(self, weight):
        super().__init__(len(weight), CONTRACT)
        self.weight = torch.nn.Parameter(weight.clone())

    def forward(self, images):
        return images.flatten(1) @ self.weight.T


class Conv(Hasher):
    """Nonlinear, for any size, with the layers whose mode matters: batch norm and dropout."""

    def __init__(self, bits=16, seed=0, dtype=torch.float64):
        super().__init__(bits, CONTRACT)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.features = torch.nn.Sequential(
                torch.nn.Conv2d(3, 6, 3, padding=1),
                torch.nn.BatchNorm2d(6),
                torch.nn.SiLU(),
                torch.nn.Conv2d(6, 6, 3, padding=1, stride=2),
                torch.nn.SiLU(),
                torch.nn.Dropout(0.5),
                torch.nn.AdaptiveAvgPool2d(2),
            )
            self.hash = torch.nn.Linear(24, bits)
            self.features[1].running_mean.normal_()
        self.register_buffer("mean", torch.tensor(CONTRACT.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(CONTRACT.std).view(1, 3, 1, 1))
        self.to(dtype).eval()

    def forward(self, images):
        return self.hash(self.features((images - self.mean) / self.std).flatten(1))


@pytest.fixture
def linear():
    """Builds a linear hasher from its weight."""
    return Linear


@pytest.fixture
def conv():
    """Builds a small nonlinear hasher, in evaluation mode."""
    return Conv


@pytest.fixture
def random_signs():
    """Builds seeded (n, k) codes of -1 and +1."""

    def build(n, k, seed=0, dtype=torch.float64):
        chance = torch.Generator().manual_seed(seed)
        return (torch.randint(0, 2, (n, k), generator=chance) * 2 - 1).to(dtype)

    return build


@pytest.fixture
def random_images():
    """Builds seeded (n, 3, h, w) pixels that reach both ends of [0, 1]."""

    def build(n, h=8, w=8, seed=0, dtype=torch.float64):
        chance = torch.Generator().manual_seed(seed)
        images = torch.rand((n, 3, h, w), generator=chance, dtype=dtype) * 1.4 - 0.2
        return images.clamp(0, 1)

    return build
