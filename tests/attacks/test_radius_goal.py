"""Goals within a radius: how many bits are enough, and which ones the default attack pushes."""

import numpy as np
import pytest
import torch

import hashprobe as hp
from hashprobe.attacks._bit_margin import SPARE, THIN, radius_loss
from hashprobe.codes.packed import hamming
from hashprobe.errors import HashprobeError
from hashprobe.optim.best import judge


K = 24


@pytest.fixture(scope="module")
def victim():
    torch.manual_seed(4)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 10 * 10, K))
    return hp.Victim(net, bits=K, size=10, mean=0.5)


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(5)
    return torch.randint(40, 216, (8, 3, 10, 10), generator=generator, dtype=torch.uint8)


def naive(logits, targets, enough):
    """Missing bits and the margin of the weakest bit that counts, bit by bit."""
    wrong, margin = [], []
    for z, sets in zip(logits, targets, strict=True):
        mean = sum(abs(v) for v in z) / len(z)
        lacking, weakest = 0, float("inf")
        for b in sets:
            signed = sorted(
                (v * t / mean for v, t in zip(z, b, strict=True) if t and (v >= 0) == (t > 0)),
                reverse=True,
            )
            lacking = max(lacking, enough - len(signed))
            if len(signed) >= enough:
                weakest = min(weakest, signed[enough - 1])
        wrong.append(max(lacking, 0))
        margin.append(weakest)
    return wrong, margin


@pytest.mark.parametrize("sets", [1, 3])
@pytest.mark.parametrize("enough", [1, 5, 9])
def test_so_many_bits_of_each_code_count(sets, enough):
    rng = np.random.default_rng(enough)
    logits = rng.normal(size=(40, 9))
    targets = rng.choice([-1.0, 0.0, 1.0], (40, sets, 9), p=[0.45, 0.1, 0.45])
    given = torch.from_numpy(targets if sets > 1 else targets[:, 0])
    wrong, margin = judge(torch.from_numpy(logits), given, enough)
    lacking, weakest = naive(logits.tolist(), targets.tolist(), enough)
    assert wrong.tolist() == lacking
    reached = [row for row in range(40) if not lacking[row]]
    np.testing.assert_allclose(margin[reached], np.array(weakest)[reached])


def test_a_bit_of_exactly_0_is_plus():
    logits = torch.tensor([[0.0, 2.0]])
    assert judge(logits, torch.tensor([[1.0, -1.0]]), 1)[0].item() == 0
    assert judge(logits, torch.tensor([[-1.0, -1.0]]), 1)[0].item() == 1


def test_only_the_cheapest_bits_get_a_gradient():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(5, 20))).requires_grad_()
    targets = torch.from_numpy(rng.choice([-1.0, 1.0], (5, 20)))
    radius_loss(logits, targets, 4).sum().backward()
    scaled = (targets * logits / logits.abs().mean(1, keepdim=True)).detach()
    for row in range(5):
        cheapest = set(scaled[row].argsort(descending=True)[: 4 + SPARE].tolist())
        pushed = {k for k in cheapest if scaled[row, k] < THIN}
        assert set(logits.grad[row].nonzero().flatten().tolist()) == pushed
        value = sum(THIN - scaled[row, k] for k in pushed)
        got = radius_loss(logits.detach()[row : row + 1], targets[row : row + 1], 4)
        assert float(got) == pytest.approx(float(value))


@pytest.mark.parametrize("radius", [0, 3, 8])
def test_evasion_moves_fewer_bits_than_an_attack_on_all(victim, pictures, radius):
    clean = victim.encode(pictures).packed
    goals = (
        hp.Goal.evade([code[None] for code in clean.signs()], radius),
        hp.Goal.targeted(-clean.signs()),
    )
    some, every = (
        np.diag(hamming(hp.attack(victim, pictures, goal, eps=24 / 255).codes, clean))
        for goal in goals
    )
    assert (some > radius).all()
    assert some.mean() < 0.75 * every.mean()


def test_evasion_leaves_every_stored_code(victim, pictures):
    """The other copy has the cheapest bits turned over: leaving the nearest leads to it."""
    with torch.no_grad():
        cheapest = victim(pictures.float() / 255).abs().argsort(dim=1)[:, :6].numpy()
    clean = victim.encode(pictures).packed.signs()
    stored = np.stack([clean, clean], axis=1)
    np.put_along_axis(stored[:, 1], cheapest, -np.take_along_axis(clean, cheapest, axis=1), axis=1)

    def evaded(goal):
        attacked = hp.attack(victim, pictures, goal, eps=10 / 255)
        return ((attacked.codes.signs()[:, None] != stored).sum(-1) > 3).all(axis=1)

    assert not evaded(hp.Goal.evade(stored[:, :1], 3)).all()
    assert evaded(hp.Goal.evade(stored, 3)).all()


def test_collision_comes_within_the_radius_and_stops(victim, pictures):
    codes = victim.encode(pictures).packed.signs()
    aims = np.roll(codes, 1, axis=0)
    attacked = hp.attack(victim, pictures, hp.Goal.collide(aims, 3), eps=48 / 255)
    far = (attacked.codes.signs() != aims).sum(1)
    assert (far <= 3).all() and far.max() > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hp.Goal.collide([[1, -1]], 3), "radius must be at most 2"),
        (lambda: hp.Goal.collide([[1, -1]], -1), "radius must be at least 0"),
        (lambda: hp.Goal.evade([[[1, -1]]], 2), "radius must be at most 1"),
        (lambda: hp.Goal.evade([], 0), "at least one stored code"),
        (lambda: hp.Goal.evade([[[1, -1]], [[1, 1, 1]]], 0), "differ in length"),
        (lambda: hp.Goal.evade([[[1, 2]]], 0), "must consist of -1"),
    ],
)
def test_goals_that_make_no_sense(make, words):
    with pytest.raises(HashprobeError, match=words):
        make()
