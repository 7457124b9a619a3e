"""DPN against a double loop."""

import numpy as np
import pytest
import torch

from hashprobe.training.losses.dpn import dpn


@pytest.mark.parametrize("margin", [1.0, 0.5])
def test_dpn_is_the_mean_over_items_of_a_hinge_a_bit(margin):
    rng = np.random.default_rng(1)
    codes, targets = np.tanh(rng.normal(size=(5, 8))), rng.choice([-1.0, 1.0], (5, 8))
    total = 0.0
    for row in range(5):
        for k in range(8):
            total += max(0.0, margin - codes[row, k] * targets[row, k]) / 5
    found = dpn(torch.from_numpy(codes), torch.from_numpy(targets), margin=margin)
    assert found.item() == pytest.approx(total, abs=1e-13)
