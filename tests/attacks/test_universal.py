"""One perturbation for all queries: two steps by hand, the budget, and what it does to others."""

import numpy as np
import pytest
import torch

from hashprobe.attacks._universal import perturbed, universal_perturbation
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget

from .test_fidelity import BITS, INPUTS, SIDE, Case


EPS = 0.05


def softplus_slope(z, b, a):
    """By z of mean_k log(1 + exp(-a b_k z_k / s)) / a, s = mean |z| held fast."""
    s = np.abs(z).mean()
    return -b / s / (1 + np.exp(a * b * z / s)) / len(z)


def test_two_steps_by_hand():
    """Momentum sign steps of eps / 10 on the mean loss of all queries of a batch."""
    case, rng = Case(), np.random.default_rng(0)
    clean = rng.uniform(0.2, 0.8, (3, INPUTS))
    codes = rng.choice([-1, 1], (3, BITS)).astype(np.int8)
    delta, kept = np.zeros(INPUTS), np.zeros(INPUTS)
    for _ in range(2):
        g = np.zeros(INPUTS)
        for x, b in zip(clean, codes, strict=True):
            slope = softplus_slope(case.logits(x + delta), b, 0.1)
            g += case.to_pixels(x + delta, case.w.T @ slope) / 3
        kept = kept + g / np.abs(g).mean()
        delta = np.clip(delta - EPS / 10 * np.sign(kept), -EPS, EPS)
    queries = Queries(torch.from_numpy(clean.reshape(3, 3, SIDE, SIDE)))
    ours = universal_perturbation(case.victim, queries, codes, budget=Budget(EPS), epochs=2)
    np.testing.assert_allclose(ours.numpy().reshape(-1), delta, atol=1e-14)


def test_it_steers_pictures_that_it_has_not_seen(conv):
    victim, generator = conv(), torch.Generator().manual_seed(3)
    images = (255 * torch.rand(60, 3, 8, 8, generator=generator)).round() / 255
    code = np.ones((40, 16), np.int8)
    delta = universal_perturbation(
        victim, Queries(images[:40]), code, budget=Budget(96 / 255), epochs=10
    )
    moved = perturbed(images[40:], delta)
    assert (moved - images[40:]).abs().max() <= 96 / 255 + 1e-6
    assert torch.equal((255 * moved).round() / 255, moved)
    with torch.no_grad():
        before, after = ((victim.eval()(x) >= 0).float().mean() for x in (images[40:], moved))
    assert after > before + 0.1


def test_what_does_not_fit_is_refused(conv, random_images):
    given = conv(), Queries(random_images(2)), np.ones((2, 16), np.int8)
    with pytest.raises(HashprobeError, match="for pictures, with eps in pixels"):
        universal_perturbation(*given, budget=Budget(0.1, "normalised"))
    with pytest.raises(HashprobeError, match="epochs must be at least 1"):
        universal_perturbation(*given, epochs=0)
    with pytest.raises(HashprobeError):
        universal_perturbation(*given[:2], np.ones((3, 16), np.int8))
