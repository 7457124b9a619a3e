"""GreedyHash against a naive loop, and its gradient that goes straight through the sign."""

import math

import numpy as np
import pytest
import torch

from hashprobe.training.losses.greedyhash import greedyhash


EVERY = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [-1, -1, 1, 1]], float)
CLASSES = [0, 1, 2, 1]


def test_greedyhash_tells_classes_from_signs():
    codes = np.tanh(np.random.default_rng(4).normal(size=(4, 4)))
    total = 0.0
    for u, own in zip(codes, CLASSES, strict=True):
        signs = [1 if value >= 0 else -1 for value in u]
        powers = [
            math.exp(sum(b * c for b, c in zip(signs, row, strict=True)) / 2) for row in EVERY
        ]
        total += -math.log(powers[own] / sum(powers)) / 4
        total += 0.1 * sum(abs(abs(value) - 1) ** 3 for value in u) / 16
    given = torch.from_numpy(codes), torch.from_numpy(EVERY[CLASSES])
    found = greedyhash(*given, every=torch.from_numpy(EVERY))
    assert found.item() == pytest.approx(total, abs=1e-12)


def test_the_gradient_of_the_sign_is_taken_for_one():
    """It is that of the head at the signs, whatever the outputs are."""
    codes = torch.tensor([[0.3, -0.2, 0.9, 0.1]], dtype=torch.float64, requires_grad=True)
    every = torch.from_numpy(EVERY)
    greedyhash(codes, every[:1], every=every, alpha=0.0).backward()
    signs = torch.tensor([[1.0, -1.0, 1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    head = torch.nn.functional.cross_entropy(signs @ every.T / 2, torch.tensor([0]))
    head.backward()
    torch.testing.assert_close(codes.grad, signs.grad)
