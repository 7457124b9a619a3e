"""Seeded codes and labels for the pairwise losses."""

import numpy as np
import pytest
import torch


def single_label(rng, items, classes):
    return np.eye(classes, dtype=bool)[rng.integers(classes, size=items)]


def multi_label(rng, items, classes):
    return rng.random((items, classes)) < 0.3


@pytest.fixture(params=[single_label, multi_label])
def case(request):
    """Codes of a batch, the code memory, and the labels of both, as arrays."""
    rng = np.random.default_rng(0)
    batch, items, bits, classes = 5, 11, 16, 4
    codes = np.tanh(rng.normal(size=(batch, bits)))
    memory = np.tanh(rng.normal(size=(items, bits)))
    memory[3] = 0
    codes[1, 2] = 0
    first, second = request.param(rng, batch, classes), request.param(rng, items, classes)
    assert first.any()
    return codes, memory, first, second


@pytest.fixture
def share_a_label():
    """Whether two label vectors have a label in common, by a loop."""
    return lambda a, b: any(x and y for x, y in zip(a, b, strict=True))


@pytest.fixture
def tensors(case, share_a_label):
    """What a pairwise loss is called with."""
    codes, memory, first, second = case
    similar = torch.tensor([[share_a_label(a, b) for b in second] for a in first])
    assert similar.any()
    assert not similar.all()
    return torch.from_numpy(codes), torch.from_numpy(memory), similar
