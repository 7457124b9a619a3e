"""The losses against naive double loops."""

import math

import numpy as np
import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.training.losses import LOSSES, SLOPES
from hashprobe.training.losses.csq import csq, csq_centres, csq_targets
from hashprobe.training.losses.dph import dph
from hashprobe.training.losses.dpsh import dpsh
from hashprobe.training.losses.dvh import dvh
from hashprobe.training.losses.hashnet import hashnet, hashnet_slope


def single_label(rng, items, classes):
    return np.eye(classes, dtype=bool)[rng.integers(classes, size=items)]


def multi_label(rng, items, classes):
    return rng.random((items, classes)) < 0.3


@pytest.fixture(params=[single_label, multi_label])
def case(request):
    """Codes of a batch, the code memory, both as nested lists too, and their labels."""
    rng = np.random.default_rng(0)
    batch, items, bits, classes = 5, 11, 16, 4
    codes = np.tanh(rng.normal(size=(batch, bits)))
    memory = np.tanh(rng.normal(size=(items, bits)))
    memory[3] = 0
    codes[1, 2] = 0
    first, second = request.param(rng, batch, classes), request.param(rng, items, classes)
    assert first.any()
    return codes, memory, first, second


def share_a_label(a, b):
    return any(x and y for x, y in zip(a, b, strict=True))


def tensors(case):
    codes, memory, first, second = case
    similar = torch.tensor([[share_a_label(a, b) for b in second] for a in first])
    assert similar.any()
    assert not similar.all()
    return torch.from_numpy(codes), torch.from_numpy(memory), similar


def test_dph_is_the_mean_of_its_pairs(case):
    codes, memory, first, second = case
    pairs = []
    for u, a in zip(codes, first, strict=True):
        for v, b in zip(memory, second, strict=True):
            s = 1 if share_a_label(a, b) else -1
            product = sum(x * y for x, y in zip(u, v, strict=True))
            pairs.append((product / len(u) - s) ** 2)
    assert dph(*tensors(case)).item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-14)


@pytest.mark.parametrize("eta", [0.0, 0.1, 50.0])
def test_dpsh_is_the_mean_of_its_pairs_and_of_its_entries(case, eta):
    codes, memory, first, second = case
    pairs, entries = [], []
    for u, a in zip(codes, first, strict=True):
        for v, b in zip(memory, second, strict=True):
            theta = sum(x * y for x, y in zip(u, v, strict=True)) / 2
            pairs.append(math.log(1 + math.exp(theta)) - theta * share_a_label(a, b))
        entries += [(x - (1 if x >= 0 else -1)) ** 2 for x in u]
    expected = sum(pairs) / len(pairs) + eta * sum(entries) / len(entries)
    assert dpsh(*tensors(case), eta=eta).item() == pytest.approx(expected, abs=1e-13)


def test_dvh_pulls_together_and_pushes_apart_up_to_a_margin(case):
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
    assert dvh(*tensors(case)).item() == pytest.approx(expected, abs=1e-6)


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


def test_hashnet_is_the_weighted_mean_of_its_pairs(case):
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
    assert hashnet(*tensors(case)).item() == pytest.approx(sum(pairs) / every, abs=1e-13)


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
    """sqrt(1 + 0.005 i) with i in steps of 200; the other losses know no slope but 1."""
    assert [hashnet_slope(i) for i in (0, 199)] == [1.0, 1.0]
    assert hashnet_slope(200) == hashnet_slope(399) == pytest.approx(2**0.5)
    assert hashnet_slope(600) == pytest.approx(2.0)
    assert set(SLOPES) == {"hashnet"}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_are_those_of_finite_differences(case, loss):
    codes, memory, similar = tensors(case)
    codes = torch.where(codes == 0, 0.3, codes)  # the quantisation error jumps at 0
    assert torch.autograd.gradcheck(
        lambda u: loss(u, memory, similar), (codes.requires_grad_(),), atol=1e-8
    )


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_right_codes_cost_less_than_the_wrong_ones(loss):
    memory = torch.tensor([[1.0] * 8, [-1.0] * 8])
    similar = torch.tensor([[True, False]])
    right, none, wrong = (loss(torch.full((1, 8), v), memory, similar) for v in (0.99, 0.01, -0.99))
    assert right < none < wrong


def test_dph_is_nought_where_every_pair_agrees():
    codes = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert dph(codes, codes, torch.eye(2, dtype=torch.bool)).item() == 0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_single_precision_is_close_to_double(case, loss):
    codes, memory, similar = tensors(case)
    single = loss(codes.float(), memory.float(), similar)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(loss(codes, memory, similar).item(), abs=1e-6)


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
    with pytest.raises(HashprobeError, match=r"csq found .* of 8 bits .* there are 100 labels"):
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
