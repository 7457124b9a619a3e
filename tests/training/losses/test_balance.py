"""Weights that give both kinds of pairs the same say, and the losses that take them."""

import pytest
import torch

from hashprobe.training.losses.balance import pair_weights
from hashprobe.training.losses.dph import dph
from hashprobe.training.losses.dpsh import ETA, dpsh
from hashprobe.training.losses.registry import LOSSES


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_both_kinds_of_pairs_weigh_the_same_and_one_on_average(share):
    similar = torch.rand(40, 50, generator=torch.Generator().manual_seed(0)) < share
    weights = pair_weights(similar)
    assert weights[similar].sum() == pytest.approx(1000, rel=1e-4)
    assert weights[~similar].sum() == pytest.approx(1000, rel=1e-4)


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind_have_one_weight(kind):
    assert (pair_weights(torch.full((2, 3), kind)) == 0.5).all()


def test_in_between_weights_are_mixed():
    similar = torch.tensor([[True, False, False, False]])
    assert (pair_weights(similar, 0.0) == 1).all()
    expected = 0.25 * pair_weights(similar) + 0.75
    torch.testing.assert_close(pair_weights(similar, 0.25), expected)


def test_balanced_dph_is_a_weighted_mean_of_its_pairs(case, tensors, share_a_label):
    codes, memory, first, second = case
    by_kind = {True: [], False: []}
    for u, a in zip(codes, first, strict=True):
        for v, b in zip(memory, second, strict=True):
            alike = bool(share_a_label(a, b))
            product = sum(x * y for x, y in zip(u, v, strict=True))
            by_kind[alike].append((product / len(u) - (1 if alike else -1)) ** 2)
    means = [sum(values) / len(values) for values in by_kind.values()]
    assert dph(*tensors, balance=1.0).item() == pytest.approx(sum(means) / 2, abs=1e-7)


def test_balanced_dpsh_is_a_weighted_mean_of_its_pairs(tensors):
    codes, memory, similar = tensors
    theta = codes @ memory.T / 2
    pairs = (1 + theta.exp()).log() - theta * similar
    error = (codes - torch.where(codes >= 0, 1.0, -1.0)).square().mean()
    expected = (pairs[similar].mean() + pairs[~similar].mean()) / 2 + ETA * error
    assert dpsh(*tensors, balance=1.0).item() == pytest.approx(expected.item(), abs=1e-6)


def test_only_losses_that_leave_the_choice_are_balanced():
    assert {name for name, loss in LOSSES.items() if loss.weighs} == {"dph", "dpsh"}
    for loss in LOSSES.values():
        assert loss.load(0.0) is loss.load()
        assert (loss.load(1.0) is loss.load()) != loss.weighs
