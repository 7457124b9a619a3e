"""The loss of deep video hashing against a naive double loop."""

import math

import pytest
import torch

from hashprobe.training.losses.dvh import dvh


def test_dvh_pulls_together_and_pushes_apart_up_to_a_margin(case, tensors, share_a_label):
    codes, memory, first, second = case
    similar, others, entries = [], [], []
    for u, a in zip(codes, first, strict=True):
        for v, b in zip(memory, second, strict=True):
            if not v.any():
                continue  # not seen yet
            d = sum((x - y) ** 2 for x, y in zip(u, v, strict=True)) / len(u)
            if share_a_label(a, b):
                similar.append(d)
            else:
                others.append(max(0.0, math.sqrt(2) - math.sqrt(d)) ** 2)
        entries += [(x - (1 if x >= 0 else -1)) ** 2 for x in u]
    expected = sum(similar) / len(similar) + sum(others) / len(others)
    expected += 1e-4 * sum(entries) / len(entries)
    # The root has a little added below it, so that it has a slope at 0.
    assert dvh(*tensors).item() == pytest.approx(expected, abs=1e-6)


def test_dvh_pushes_where_codes_nearly_coincide():
    """There a hinge of the squared distance has no slope, and codes would stay together."""
    codes = torch.full((1, 8), 0.5, dtype=torch.float64, requires_grad=True)
    memory, apart = codes.detach() - 0.01, torch.tensor([[False]])
    (slope,) = torch.autograd.grad(dvh(codes, memory, apart, weight=0.0), codes)
    assert slope.norm() > 0.5


def test_kinds_of_pairs_weigh_the_same_in_dvh():
    """Nine more dissimilar pairs like the first change nothing."""
    codes = torch.tensor([[0.5, 0.5]])
    memory = torch.tensor([[0.9, 0.9], *[[0.2, 0.2]] * 10])
    similar = torch.tensor([[True] + [False] * 10])
    few = dvh(codes, memory[:2], similar[:, :2])
    assert dvh(codes, memory, similar).item() == pytest.approx(few.item())


@pytest.mark.parametrize("kind", [True, False])
def test_dvh_takes_a_batch_of_one_kind(kind):
    codes = torch.tensor([[0.5, -0.5]], requires_grad=True)
    loss = dvh(codes, torch.tensor([[0.5, -0.5]]), torch.tensor([[kind]]))
    loss.backward()
    assert loss.isfinite() and codes.grad.isfinite().all()
