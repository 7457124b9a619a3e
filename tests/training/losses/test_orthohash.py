"""OrthoHash against a naive loop."""

import math

import numpy as np
import pytest
import torch

from hashprobe.training.losses.orthohash import orthohash


@pytest.mark.parametrize("margin", [0.2, 0.0])
def test_orthohash_is_a_softmax_of_cosines_with_a_margin(margin):
    rng = np.random.default_rng(3)
    every = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [-1, -1, 1, 1]], float)
    codes, classes = np.tanh(rng.normal(size=(6, 4))), [0, 1, 2, 1, 0, 2]
    total = 0.0
    for u, own in zip(codes, classes, strict=True):
        powers = []
        for j in range(3):
            cosine = sum(u * every[j]) / math.sqrt(sum(u**2)) / 2
            powers.append(math.exp(8 * (cosine - margin * (j == own))))
        total += -math.log(powers[own] / sum(powers)) / 6
    given = torch.from_numpy(codes), torch.from_numpy(every[classes])
    found = orthohash(*given, every=torch.from_numpy(every), margin=margin)
    assert found.item() == pytest.approx(total, abs=1e-12)
    # The length of a code plays no part.
    shorter = orthohash(given[0] / 3, given[1], every=torch.from_numpy(every), margin=margin)
    assert shorter.item() == pytest.approx(total, abs=1e-12)
