"""DPSH against a naive double loop."""

import math

import pytest

from hashprobe.training.losses.dpsh import dpsh


@pytest.mark.parametrize("eta", [0.0, 0.1, 50.0])
def test_dpsh_is_the_mean_of_its_pairs_and_of_its_entries(case, eta, tensors, share_a_label):
    codes, memory, first, second = case
    pairs, entries = [], []
    for u, a in zip(codes, first, strict=True):
        for v, b in zip(memory, second, strict=True):
            theta = sum(x * y for x, y in zip(u, v, strict=True)) / 2
            pairs.append(math.log(1 + math.exp(theta)) - theta * share_a_label(a, b))
        entries += [(x - (1 if x >= 0 else -1)) ** 2 for x in u]
    expected = sum(pairs) / len(pairs) + eta * sum(entries) / len(entries)
    assert dpsh(*tensors, eta=eta).item() == pytest.approx(expected, abs=1e-13)
