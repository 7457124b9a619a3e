"""One perturbation for all queries: two steps by hand, the budget, and what it does to others."""

import numpy as np
import pytest
import torch

from hashprobe.attacks._universal import perturbed, universal_perturbation
from hashprobe.attacks._universal_patch import Patch, universal_patch
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
    with pytest.raises(HashprobeError, match="eps in the space pixel; got eps in the space norm"):
        universal_perturbation(*given, budget=Budget(0.1, "normalised"))
    with pytest.raises(HashprobeError, match="epochs must be at least 1"):
        universal_perturbation(*given, epochs=0)
    with pytest.raises(HashprobeError, match="momentum must be 0 or above; got nan"):
        universal_perturbation(*given, momentum=float("nan"))
    with pytest.raises(HashprobeError, match="frames and shared are for clips"):
        universal_perturbation(*given, budget=Budget(0.1, frames=1))
    with pytest.raises(HashprobeError):
        universal_perturbation(*given[:2], np.ones((3, 16), np.int8))
    nothing = given[0], Queries(random_images(2)[:0]), np.ones((0, 16), np.int8)
    for learn in (universal_perturbation, universal_patch):
        with pytest.raises(HashprobeError, match="no queries to learn from"):
            learn(*nothing)


def test_a_perturbation_is_for_pictures_of_one_size(as_for_users):
    with pytest.raises(HashprobeError, match=r"one size; got \(8, 8\) and \(4, 4\)"):
        perturbed(torch.zeros(1, 3, 8, 8), torch.zeros(3, 4, 4))


def test_a_patch_takes_the_steps_of_the_loss_inside_its_square():
    case, rng, side = Case(), np.random.default_rng(0), 2
    clean = rng.uniform(0.2, 0.8, (3, 3, SIDE, SIDE))
    codes = rng.choice([-1, 1], (3, BITS)).astype(np.int8)
    patch, kept = np.full((3, side, side), 0.5), np.zeros((3, side, side))
    for _ in range(2):
        g = np.zeros_like(patch)
        for x, b in zip(clean, codes, strict=True):
            shown = x.copy()
            shown[:, -side:, -side:] = patch
            shown = shown.reshape(-1)
            slope = softplus_slope(case.logits(shown), b, 0.1)
            all_of = case.to_pixels(shown, case.w.T @ slope).reshape(3, SIDE, SIDE)
            g += all_of[:, -side:, -side:] / 3
        kept = kept + g / np.abs(g).mean()
        patch = np.clip(patch - 0.3 * np.sign(kept), 0, 1)
    queries = Queries(torch.from_numpy(clean))
    ours = universal_patch(case.victim, queries, codes, share=0.25, epochs=2, step=0.3)
    np.testing.assert_allclose(ours.pixels.numpy(), patch, atol=1e-14)
    assert ours.share == 0.25 and ours.place == "fixed"


@pytest.mark.parametrize("place", ["fixed", "random"])
def test_a_patch_steers_pictures_that_it_has_not_seen(place, conv):
    victim, generator = conv(), torch.Generator().manual_seed(3)
    images = (255 * torch.rand(60, 3, 8, 8, generator=generator)).round() / 255
    code, seen = np.ones((40, 16), np.int8), Queries(images[:40])
    patch = universal_patch(victim, seen, code, share=0.4, place=place, step=0.1)
    others = Queries(images[40:], tuple(range(100, 120)))
    moved = patch.on(others)
    changed = (moved != others.pixels).any(1)
    side = patch.pixels.shape[-1]
    assert (changed.sum((1, 2)) <= side**2).all() and side**2 / 64 == patch.share
    corners = {tuple(int(i) for i in each.nonzero().amin(0)) for each in changed}
    assert (len(corners) > 3) == (place == "random")
    assert torch.equal((255 * moved).round() / 255, moved)
    # A picture's place is its own, whatever is beside it.
    assert torch.equal(patch.on(others.take([5]))[0], moved[5])
    with torch.no_grad():
        before, after = ((victim.eval()(x) >= 0).float().mean() for x in (images[40:], moved))
    # Wherever it stands is harder: of these eight pixels a side little is left.
    assert after > before + 0.1 or place == "random"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"share": 0.0}, "share must be above 0 and at most 1; got 0"),
        ({"share": 1.5}, "share must be above 0 and at most 1; got 1.5"),
        ({"step": float("nan")}, "step must be above 0 and at most 1; got nan"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_malformed_options_of_a_patch_are_refused(wrong, message, conv, random_images):
    with pytest.raises(HashprobeError, match=message):
        universal_patch(conv(), Queries(random_images(2)), np.ones((2, 16), np.int8), **wrong)


def test_a_patch_is_for_pictures_of_one_size(conv, random_images, clips8, lengths):
    patch = Patch(torch.ones(3, 2, 2, dtype=torch.float64), (8, 8))
    with pytest.raises(HashprobeError, match=r"pictures of \(8, 8\) pixels; got \(2, 3, 8, 6\)"):
        patch.on(Queries(random_images(2, 8, 6)))
    clips = Queries(clips8.double() / 255, lengths=lengths)
    with pytest.raises(HashprobeError, match="a universal patch is for pictures"):
        universal_patch(conv(), clips, np.ones((5, 16), np.int8))
