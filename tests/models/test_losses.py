"""The losses against naive double loops."""

import math

import numpy as np
import pytest
import torch

from hashprobe.models import LOSSES, dph, dpsh, dvh, hashnet
from hashprobe.models.losses import SLOPES, hashnet_slope


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
    pairs, entries = [], []
    for u, a in zip(codes, first, strict=True):
        for v, b in zip(memory, second, strict=True):
            d = sum((x - y) ** 2 for x, y in zip(u, v, strict=True)) / len(u)
            pairs.append(d if share_a_label(a, b) else max(0.0, 2.0 - d))
        entries += [(x - (1 if x >= 0 else -1)) ** 2 for x in u]
    expected = sum(pairs) / len(pairs) + 1e-4 * sum(entries) / len(entries)
    assert dvh(*tensors(case)).item() == pytest.approx(expected, abs=1e-13)


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
