"""HashNet against a naive double loop, its weights and its continuation."""

import math

import pytest
import torch

from hashprobe.training.losses.hashnet import hashnet, hashnet_slope


def test_hashnet_is_the_weighted_mean_of_its_pairs(case, tensors, share_a_label):
    """Similar pairs weigh all / similar, the others all / dissimilar."""
    codes, memory, first, second = case
    kinds = [[share_a_label(a, b) for b in second] for a in first]
    every = len(first) * len(second)
    similar = sum(map(sum, kinds))
    pairs = []
    for u, row in zip(codes, kinds, strict=True):
        for v, s in zip(memory, row, strict=True):
            theta = 10 / len(u) * sum(x * y for x, y in zip(u, v, strict=True))
            weight = every / (similar if s else every - similar)
            pairs.append(weight * (math.log(1 + math.exp(theta)) - theta * s))
    assert hashnet(*tensors).item() == pytest.approx(sum(pairs) / every, abs=1e-13)


def test_hashnet_weights_of_a_hand_made_batch():
    """One similar pair of four: it weighs 4, each of the others 4/3; both kinds weigh the same."""
    codes = torch.tensor([[1.0, 1.0]])
    memory = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    similar = torch.tensor([[True, False, False, False]])
    # t is 10, 0, 0 and 0: log(1 + e^-10) for the similar pair, log 2 for each of the others.
    expected = (4 * math.log1p(math.exp(-10)) + 3 * 4 / 3 * math.log(2)) / 4
    assert hashnet(codes, memory, similar).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", [True, False])
def test_hashnet_takes_a_batch_of_one_kind(kind):
    codes = torch.tensor([[0.5, -0.5]], requires_grad=True)
    loss = hashnet(codes, torch.tensor([[0.5, -0.5]]), torch.tensor([[kind]]))
    loss.backward()
    assert loss.isfinite() and codes.grad.isfinite().all()


def test_continuation_of_hashnet():
    """sqrt(1 + 0.005 i) with i in steps of 200."""
    assert [hashnet_slope(i) for i in (0, 199)] == [1.0, 1.0]
    assert hashnet_slope(200) == hashnet_slope(399) == pytest.approx(2**0.5)
    assert hashnet_slope(600) == pytest.approx(2.0)
