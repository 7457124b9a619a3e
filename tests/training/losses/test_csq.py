"""CSQ against a naive loop, and its centres."""

import math

import numpy as np
import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.training.losses.csq import csq, csq_centres, csq_targets


def test_csq_is_the_mean_cross_entropy_and_the_quantisation_error():
    rng = np.random.default_rng(2)
    codes, centres = np.tanh(rng.normal(size=(5, 16))), rng.choice([-1.0, 1.0], (5, 16))
    terms = []
    for row, wanted in zip(codes, centres, strict=True):
        for u, c in zip(row, wanted, strict=True):
            likelihood = -math.log((1 + u) / 2) if c > 0 else -math.log((1 - u) / 2)
            terms.append(likelihood + 1e-4 * (abs(u) - 1) ** 2)
    found = csq(torch.from_numpy(codes), torch.from_numpy(centres))
    assert found.item() == pytest.approx(sum(terms) / len(terms), abs=1e-13)


def test_csq_is_finite_where_a_code_is_full_and_wrong():
    codes = torch.tensor([[1.0, -1.0]], requires_grad=True)
    loss = csq(codes, torch.tensor([[-1.0, -1.0]]))
    loss.backward()
    assert loss.isfinite() and codes.grad.isfinite().all()


def apart(centres):
    """Bits in which any two rows differ."""
    rows = [list(row) for row in centres]
    return {
        sum(x != y for x, y in zip(a, b, strict=True)) for i, a in enumerate(rows) for b in rows[:i]
    }


@pytest.mark.parametrize(("labels", "bits"), [(10, 16), (32, 16), (100, 64), (16, 8)])
def test_centres_of_few_labels_are_rows_of_a_hadamard_matrix(labels, bits):
    centres = csq_centres(labels, bits, seed=0)
    assert set(np.unique(centres)) == {-1, 1}
    assert apart(centres) <= {bits // 2, bits}


@pytest.mark.parametrize(("labels", "bits"), [(10, 48), (129, 64), (50, 24)])
def test_other_centres_differ_in_more_than_a_quarter_of_their_bits(labels, bits):
    centres = csq_centres(labels, bits, seed=0)
    assert set(np.unique(centres)) == {-1, 1}
    assert min(apart(centres)) > bits / 4


def test_centres_come_from_the_seed():
    for labels, bits in ((10, 16), (10, 48)):
        first, again, other = (csq_centres(labels, bits, seed=s) for s in (3, 3, 4))
        assert (first == again).all() and (first != other).any()


def test_too_many_labels_for_so_few_bits():
    with pytest.raises(HashprobeError, match=r"csq needs 100 codes of 8 bits"):
        csq_centres(100, 8, seed=0)


def test_targets_of_several_labels_follow_the_majority_and_ties_are_random():
    """Items with the same labels have the same centre, and ties are no side's."""
    labels = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
    centres, targets = csq_centres(4, 64, seed=1), csq_targets(labels, 64, seed=1)
    assert (targets[0] == np.sign(centres[:3].sum(0, dtype=int))).all()
    assert (targets[1] == targets[2]).all() and (targets[3] == centres[3]).all()
    same = centres[0] == centres[1]
    assert (targets[1][same] == centres[0][same]).all()
    assert set(targets[1][~same]) == {-1, 1}
