"""DPH against a naive double loop."""

import pytest
import torch

from hashprobe.training.losses.dph import dph


def test_dph_is_the_mean_of_its_pairs(case, tensors, share_a_label):
    codes, memory, first, second = case
    pairs = []
    for u, a in zip(codes, first, strict=True):
        for v, b in zip(memory, second, strict=True):
            s = 1 if share_a_label(a, b) else -1
            product = sum(x * y for x, y in zip(u, v, strict=True))
            pairs.append((product / len(u) - s) ** 2)
    assert dph(*tensors).item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-14)


def test_dph_is_nought_where_every_pair_agrees():
    codes = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert dph(codes, codes, torch.eye(2, dtype=torch.bool)).item() == 0
