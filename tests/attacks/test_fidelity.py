"""The paper's attacks against updates computed by hand: numpy, one query, formulas of the papers.

The network is x -> features tanh(A x) -> logits W features, so its gradients can be written down.
Nothing here uses the code under test but the call of the attack itself.
"""

import numpy as np
import pytest
import torch

from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks._feature import FeatureOptions, feature
from hashprobe.attacks._hag import HagOptions, hag, hag_loss
from hashprobe.attacks._noise import NoiseOptions, noise
from hashprobe.attacks._p2p import P2pOptions, p2p
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.types import Budget, InputContract
from hashprobe.victims.base import Hasher


BITS, INPUTS, HIDDEN, SIDE = 8, 48, 12, 4
STD = (0.2, 0.25, 0.4)
EPS = 0.05


class TwoLayers(Hasher):
    """z = W tanh(A x), without any normalisation inside."""

    def __init__(self, first, second):
        super().__init__(BITS, InputContract(size=SIDE, mean=(0, 0, 0), std=STD))
        self.first = torch.nn.Linear(INPUTS, HIDDEN, bias=False, dtype=torch.float64)
        self.second = torch.nn.Linear(HIDDEN, BITS, bias=False, dtype=torch.float64)
        self.first.weight.data = torch.from_numpy(first)
        self.second.weight.data = torch.from_numpy(second)

    def forward(self, images):
        return self.second(self.first(images.flatten(1)).tanh())


class Case:
    """One query, its target, and the network in numpy."""

    def __init__(self):
        rng = np.random.default_rng(7)
        self.a = rng.normal(size=(HIDDEN, INPUTS)) / 3
        self.w = rng.normal(size=(BITS, HIDDEN))
        self.x = rng.uniform(size=INPUTS)
        self.x[:3], self.x[-3:] = 0.0, 1.0  # valid pixels bind, too
        self.other = rng.uniform(size=INPUTS)
        self.b = rng.choice([-1.0, 1.0], BITS)
        self.victim = TwoLayers(self.a, self.w)

    def features(self, x):
        return np.tanh(self.a @ x)

    def logits(self, x):
        return self.w @ self.features(x)

    def to_pixels(self, x, by_features):
        """Chain rule from the features down: A^T ((1 - phi^2) * gradient)."""
        return self.a.T @ ((1 - self.features(x) ** 2) * by_features)

    def attacked(self, attack, options, space="pixel", **more):
        pixels, other = (
            Queries(torch.from_numpy(v.reshape(1, 3, SIDE, SIDE))) for v in (self.x, self.other)
        )
        goal = Goal.untargeted()
        if attack not in (noise, hag):
            goal = Goal.targeted(self.b[None], images=other if attack is feature else None)
        budget = Budget(EPS, space)
        moved = attack(self.victim, pixels, goal, budget=budget, options=options, **more)
        return moved.numpy().reshape(-1)


@pytest.fixture
def case():
    return Case()


def unit_of(space):
    """Pixels in one unit of the budget's space, by value."""
    return np.repeat(STD, SIDE * SIDE) if space == "normalised" else np.ones(INPUTS)


def projected(case, delta, space):
    """Valid pixels first, then the eps ball, both of the change in units of the budget's space."""
    unit = unit_of(space)
    delta = (np.clip(case.x + unit * delta, 0, 1) - case.x) / unit
    return np.clip(delta, -EPS, EPS)


@pytest.mark.parametrize("space", ["pixel", "normalised"])
@pytest.mark.parametrize(("attack", "options"), [(dhta, DhtaOptions), (p2p, P2pOptions)])
def test_dhta_and_p2p(case, attack, options, space):
    """delta <- delta - g / ||g||, g of -(1/K) b^T tanh(alpha z), alpha by the schedule."""
    steps, size, unit = 10, 0.3, unit_of(space)
    delta = np.zeros(INPUTS)
    for alpha in [0.1] * 5 + [0.2, 0.3, 0.5, 0.7, 1.0]:
        x = case.x + unit * delta
        u = np.tanh(alpha * case.logits(x))
        by_logits = -case.b * alpha * (1 - u**2) / BITS
        g = unit * case.to_pixels(x, case.w.T @ by_logits)
        delta = projected(case, delta - size * g / np.sqrt((g**2).sum()), space)
    ours = case.attacked(attack, options(steps=steps, step_size=size), space)
    np.testing.assert_allclose(ours, case.x + unit * delta, rtol=0, atol=1e-14)
    assert np.abs(delta).max() == pytest.approx(EPS)


def test_one_step_of_dhta_with_the_published_length(case):
    """Step 1 of the paper: l2 length 1 before projection, which cuts it to eps."""
    u = np.tanh(0.1 * case.logits(case.x))
    g = case.to_pixels(case.x, case.w.T @ (-case.b * 0.1 * (1 - u**2) / BITS))
    delta = projected(case, -g / np.linalg.norm(g), "pixel")
    ours = case.attacked(dhta, DhtaOptions(steps=1))
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (dhta, DhtaOptions(steps=1, step="scaled")),
        (dhta, DhtaOptions(steps=1, step_size=3.0, step="scaled")),
        (p2p, P2pOptions(steps=1, step_size=3.0, step="scaled")),
    ],
)
def test_one_scaled_step(case, attack, options):
    """l2 length size sqrt(48 / 150,528): far below eps, so that nothing is cut but valid pixels."""
    u = np.tanh(0.1 * case.logits(case.x))
    g = case.to_pixels(case.x, case.w.T @ (-case.b * 0.1 * (1 - u**2) / BITS))
    length = options.step_size * np.sqrt(INPUTS / 150_528)
    delta = projected(case, -length * g / np.linalg.norm(g), "pixel")
    np.testing.assert_allclose(case.attacked(attack, options), case.x + delta, rtol=0, atol=1e-15)
    assert np.abs(delta).max() < EPS


@pytest.mark.parametrize("space", ["pixel", "normalised"])
def test_noise_is_one_uniform_draw(case, space):
    """U(-eps, eps) in the budget's space, then clamped to [0, 1]."""
    case.x[3:-3] = 0.5  # where no clamp hides the draw
    drawn = []
    for seed in range(60):
        ours = case.attacked(noise, NoiseOptions(), space, seed=seed)
        assert (ours[:3] >= 0).all() and (ours[-3:] <= 1).all()
        drawn.append(((ours - case.x) / unit_of(space))[3:-3])
    shares = np.sort(np.concatenate(drawn)) / EPS / 2 + 0.5
    expected = (np.arange(len(shares)) + 0.5) / len(shares)
    # Kolmogorov and Smirnov: beyond 1.95 / sqrt(n) once in a thousand draws.
    assert np.abs(shares - expected).max() < 1.95 / len(shares) ** 0.5
    assert 0 <= shares[0] < 0.01 and 0.99 < shares[-1] <= 1


def hag_by_hand(u, soft, margin=0.5, beta=1.0):
    """Value and gradient by u of the masked loss, bit by bit."""
    mask = [abs(u[k] - (1 if soft[k] >= 0 else -1)) <= 1 + margin for k in range(len(u))]
    m = sum(mask)
    alike = sum(u[k] * soft[k] for k in range(len(u)) if mask[k]) / (m + 1e-8)
    mean = sum(u[k] for k in range(len(u)) if mask[k]) / len(u)
    value = (alike + 1) ** 2 + beta * mean**2
    slope = [
        (2 * (alike + 1) * soft[k] / (m + 1e-8) + 2 * beta * mean / len(u)) if mask[k] else 0.0
        for k in range(len(u))
    ]
    return value, np.array(slope)


def test_hag_loss_and_gradient():
    rng = np.random.default_rng(0)
    z, soft = rng.normal(size=(6, BITS)) * 2, np.tanh(rng.normal(size=(6, BITS)))
    z[5] = -9 * np.sign(soft[5])  # every bit is flipped: none is left in the mask
    logits = torch.from_numpy(z).requires_grad_()
    loss = hag_loss(logits, torch.from_numpy(soft), 0.7)
    loss.sum().backward()
    masked = 0
    for row in range(6):
        u = np.tanh(0.7 * z[row])
        value, slope = hag_by_hand(u, soft[row])
        assert loss[row].item() == pytest.approx(value, abs=1e-14)
        np.testing.assert_allclose(logits.grad[row], slope * 0.7 * (1 - u**2), atol=1e-14)
        masked += (slope == 0).sum()
    assert masked > BITS  # some bits of the other rows count no more


@pytest.mark.parametrize("space", ["pixel", "normalised"])
def test_hag(case, space):
    """SGD with momentum on the masked loss, from the clean query: v <- 0.9 v + g, x <- x - lr v."""
    soft, unit = np.tanh(case.logits(case.x)), unit_of(space)
    delta, v = np.zeros(INPUTS), np.zeros(INPUTS)
    for alpha in [0.1] * 5 + [0.2, 0.3, 0.5, 0.7, 1.0]:
        x = case.x + unit * delta
        u = np.tanh(alpha * case.logits(x))
        by_logits = hag_by_hand(u, soft)[1] * alpha * (1 - u**2)
        v = 0.9 * v + unit * case.to_pixels(x, case.w.T @ by_logits)
        delta = projected(case, delta - 0.5 * v, space)
    ours = case.attacked(hag, HagOptions(steps=10, step_size=0.5), space)
    np.testing.assert_allclose(ours, case.x + unit * delta, rtol=0, atol=1e-13)
    default = HagOptions()
    assert (default.steps, default.step_size, default.momentum) == (2000, 100.0, 0.9)
    assert (default.margin, default.balance, default.alpha) == (0.5, 1.0, None)


@pytest.mark.parametrize("space", ["pixel", "normalised"])
def test_feature_space_attack_with_momentum_sign_steps(case, space):
    """MI-FGSM on ||phi(x) - phi(t)||^2: gradients by their l1 norm, decay 1, eps / steps."""
    steps, unit = 4, unit_of(space)
    delta, momentum = np.zeros(INPUTS), np.zeros(INPUTS)
    for _ in range(steps):
        x = case.x + unit * delta
        by_features = 2 * (case.features(x) - case.features(case.other))
        g = unit * case.to_pixels(x, by_features)
        momentum = 1.0 * momentum + g / np.abs(g).sum()
        delta = projected(case, delta - EPS / steps * np.sign(momentum), space)
    ours = case.attacked(feature, FeatureOptions(steps=steps), space)
    np.testing.assert_allclose(ours, case.x + unit * delta, rtol=0, atol=1e-14)


def test_feature_space_attack_with_projected_gradient_steps(case):
    delta = np.zeros(INPUTS)
    for _ in range(3):
        x = case.x + delta
        by_features = 2 * (case.features(x) - case.features(case.other))
        g = case.to_pixels(x, by_features)
        delta = projected(case, delta - 0.2 * g / np.linalg.norm(g), "pixel")
    options = FeatureOptions(rule="pgd", steps=3, step_size=0.2)
    ours = case.attacked(feature, options)
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-14)
