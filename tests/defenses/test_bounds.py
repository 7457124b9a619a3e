"""Votes and interval bounds of victims; attack and certificate lie on both sides of the truth."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from hashprobe import Budget, Goal, Queries, Victim
from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks.within_l2 import within_l2
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.defended import defended
from hashprobe.defenses.intervals import interval_bounds, interval_radius
from hashprobe.defenses.noisy_votes import noisy_votes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certificates import (
    BitCertificate,
    certified_collision,
    certified_map,
    certified_match,
)
from hashprobe.evaluation.certified_votes import certify_votes
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.victims.perceptual.registry import perceptual_hash


@pytest.fixture(scope="module")
def line():
    """A linear victim of 8 bits on 4 x 4 pixels: what is reachable is known in closed form."""
    torch.manual_seed(0)
    return Victim(nn.Sequential(nn.Flatten(), nn.Linear(48, 8)), bits=8, size=4).eval()


@pytest.fixture(scope="module")
def grey():
    """Pictures in 8 bits, far from black and white."""
    noise = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return ((0.5 + 0.1 * noise.clamp(-2, 2)) * 255).round() / 255


def test_all_pictures_within_eps_lie_within_the_bounds(small):
    victim = small().eval()
    for module in victim.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.weight.data.normal_(0, 1)  # negative ones, too
    images = torch.rand(3, 3, 8, 8)
    low, high = interval_bounds(victim, images, 0.01)
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(50):
            shift = 0.01 * torch.randint(-1, 2, images.shape, generator=chance)
            logits = victim((images + shift).clamp(0, 1))
            assert ((low - 1e-5 <= logits) & (logits <= high + 1e-5)).all()
    same = interval_bounds(victim, images, 0.0)
    torch.testing.assert_close(same[0], same[1])


def test_the_bounds_of_a_linear_victim_are_exact(line, grey):
    low, high = interval_bounds(line, grey, 0.02)
    weight, bias = line.network[1].weight, line.network[1].bias
    logits = (grey.flatten(1) @ weight.T + bias).detach()
    torch.testing.assert_close(
        high - logits, 0.02 * weight.abs().sum(1).expand(6, 8).detach(), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(logits - low, high - logits, atol=1e-5, rtol=1e-4)


def test_attack_and_certificate_bracket_the_truth():
    """Match rates at 2 bits: certified <= true <= under attack, and both near to it."""
    chance, eps, radius, count = torch.Generator().manual_seed(2), 3 / 255, 2, 12
    # Each bit has 24 values of its own, so that all bits that can be turned over are together.
    weight = torch.zeros(8, 192)
    for bit, places in enumerate(torch.randperm(192, generator=chance).view(8, 24)):
        weight[bit, places] = torch.randn(24, generator=chance)
    layer = nn.Linear(192, 8, bias=False)
    layer.weight.data = weight
    victim = Victim(nn.Sequential(nn.Flatten(), layer), bits=8, size=8, mean=0.5).eval()
    images = (0.5 + 0.1 * torch.randn(count, 3, 8, 8, generator=chance)).clamp(0.2, 0.8)
    images = (255 * images).round() / 255
    logits = (images - 0.5).flatten(1) @ weight.T
    loose = (logits.abs() < eps * weight.abs().sum(1)).sum(1).numpy()
    true = (loose <= radius).mean()
    assert 0.2 < true < 0.8

    signs, held = interval_radius(victim, images, (1 / 255, 2 / 255, eps))
    certificate = BitCertificate(signs, held, "linf")
    assert certificate.flips(eps).tolist() == loose.tolist()
    names = list(range(count))
    stored = PackedCodes.from_signs(signs)
    certified = certified_match(certificate, stored, Sources.of(names, names), radius, eps).value

    goal, options = Goal.evade([[row] for row in signs], radius), BitMarginOptions(steps=30)
    moved = bit_margin(victim, Queries(images), goal, budget=Budget(eps), options=options)
    turned = (victim.codes(moved).signs() != signs).sum(1)
    assert (turned <= certificate.flips(eps)).all()
    under_attack = (turned <= radius).mean()
    assert certified <= true + 1e-9 and true <= under_attack + 1e-9
    assert under_attack - certified < 0.1


class World:
    """A linear victim whose bits look at pixels of their own, and a database of its codes.

    A bit at distance m turns over by a change of norm m and without touching another, so that bits
    S can be turned over together exactly where the sum of their m^2 is at most eps^2. Its expected
    vote is the victim itself.
    """

    bits, count, items, classes = 8, 12, 60, 4

    def __init__(self):
        chance = torch.Generator().manual_seed(3)
        weight = torch.zeros(self.bits, 192)
        for bit, places in enumerate(torch.randperm(192, generator=chance).view(self.bits, -1)):
            weight[bit, places] = torch.randn(192 // self.bits, generator=chance)
        layer = nn.Linear(192, self.bits, bias=False)
        layer.weight.data = weight
        flat = nn.Sequential(nn.Flatten(), layer)
        self.victim = Victim(flat, bits=self.bits, size=8, mean=0.5).eval()
        noise = torch.randn(self.count + self.items, 3, 8, 8, generator=chance)
        kinds = np.arange(len(noise)) % self.classes
        means = torch.randn(self.classes, 3, 8, 8, generator=chance)[torch.from_numpy(kinds)]
        pictures = (255 * (0.5 + 0.03 * noise + 0.04 * means).clamp(0.2, 0.8)).round() / 255
        self.images = pictures[: self.count]
        eye = np.eye(self.classes, dtype=bool)
        self.own, self.labels = eye[kinds[: self.count]], eye[kinds[self.count :]]
        codes = self.victim.codes(pictures).signs()
        self.signs, self.stored = codes[: self.count], codes[self.count :].copy()
        # The first items show the queries themselves.
        self.stored[: self.count], self.labels[: self.count] = self.signs, self.own
        self.database = PackedCodes.from_signs(self.stored)
        self.sources = Sources.of(list(range(self.count)), list(range(self.items)))
        logits = (self.images - 0.5).flatten(1) @ weight.T
        self.distance = (logits.abs() / weight.norm(dim=1)).numpy()

    def reachable(self, row, eps):
        """Every code that a change of norm eps can bring a query to."""
        turned = np.array(list(product((0, 1), repeat=self.bits)))
        inside = turned @ self.distance[row] ** 2 <= eps**2
        return (self.signs[row] * (1 - 2 * turned[inside])).astype(np.int8)

    def aps(self, signs, row):
        own = self.own[[row]].repeat(len(signs), 0)
        return mean_average_precision(
            PackedCodes.from_signs(signs), self.database, own, self.labels,
            normaliser="min", ties="worst", empty="zero",
        ).per_query  # fmt: skip

    def near(self, signs, radius):
        """Which items lie within a radius of codes."""
        return (signs[:, None] != self.stored[None]).sum(2) <= radius

    def measured(self, row, signs):
        """The worst for the owner of some codes of a query: AP, match at 1, collision at 0."""
        match, collision = self.near(signs, 1)[:, row], np.delete(self.near(signs, 0), row, 1)
        return self.aps(signs, row).min(), match.min(), collision.any(1).max()


@pytest.mark.parametrize("eps", [0.006, 0.01, 0.02])
def test_certificates_from_votes_and_an_attack_bracket_the_truth(eps):
    """Every reachable code is tried: certificate <= truth <= attack, for all three measures."""
    world, sigma, samples = World(), 0.08, 3000
    counts = noisy_votes(world.victim, world.images, sigma=sigma, samples=samples, batch_size=1000)
    held = certify_votes(counts, samples, sigma)
    bounds = np.transpose(
        [
            certified_map(held, world.database, world.own, world.labels, eps=eps).per_query,
            certified_match(held, world.database, world.sources, 1, eps).per_query,
            certified_collision(held, world.database, world.sources, 0, eps).per_query,
        ]
    )
    rows = range(world.count)
    truth = np.array([world.measured(r, world.reachable(r, eps)) for r in rows], float)

    anchors = np.where(world.own.astype(int) @ world.labels.T @ world.stored >= 0, 1, -1)
    others = np.array([np.delete(world.stored, r, 0) for r in rows])
    distances = (others != world.signs[:, None]).sum(2)
    nearest = others[rows, np.where(distances > 0, distances, 99).argmin(1)]
    goals = (-anchors.astype(np.int8), -world.signs, nearest)
    found = [within_l2(world.victim, world.images, goal, eps, steps=15) for goal in goals]
    codes = np.stack([world.signs, *(world.victim.codes(one).signs() for one in found)], 1)
    attacked = np.array([world.measured(r, codes[r]) for r in rows], float)

    most = [(world.reachable(r, eps) != world.signs[r]).sum(1).max() for r in rows]
    assert (held.flips(eps) >= most).all()
    order = np.array([1, 1, -1])  # a collision is bounded from above
    assert (order * bounds <= order * truth + 1e-9).all()
    assert (order * truth <= order * attacked + 1e-9).all()
    # None of the three says nothing.
    clean = np.mean([world.aps(world.signs[[r]], r) for r in rows])
    assert 0.1 < bounds[:, 0].mean() < truth[:, 0].mean() < attacked[:, 0].mean() < clean
    if eps < 0.01:
        assert bounds[:, 1].mean() > 0 and bounds[:, 2].mean() < 1


def test_votes_of_noisy_copies_certify_what_is_true(line, grey):
    sigma, samples = 0.05, 400
    ones = noisy_votes(line, grey, sigma=sigma, samples=samples)
    held = certify_votes(ones, samples, sigma)
    weight, bias = line.network[1].weight.detach(), line.network[1].bias.detach()
    logits = grey.flatten(1) @ weight.T + bias
    truth = (logits.abs() / weight.norm(dim=1)).numpy()
    known = held.radius > 0
    assert known.any() and (held.signs == np.where(logits >= 0, 1, -1))[known].all()
    # Rounding to 8 bits adds noise of its own, far below sigma.
    assert (held.radius[known] <= truth[known] * 1.02 + 1e-3).all()
    again = noisy_votes(line, grey[1:2], sigma=sigma, samples=samples, seed=0, batch_size=7)
    assert again.shape == (1, 8)
    assert (noisy_votes(line, grey, sigma=sigma, samples=samples, batch_size=400) == ones).all()


def test_what_is_certified_of_a_vote_holds_for_the_operators_vote(line, grey):
    """Each certified bit is pushed to its radius the shortest way, for many secrets of a vote."""
    sigma, samples, votes, secrets = 0.1, 3000, 9, 20
    ones = noisy_votes(line, grey, sigma=sigma, samples=samples, batch_size=1000)
    weight = line.network[1].weight.detach()
    turned = {}
    for name, given in (("expected", {}), ("of nine", {"votes": votes, "miss": 0.001})):
        held = certify_votes(ones, samples, sigma, **given)
        rows, bits = np.nonzero(held.radius > 0)
        down = -torch.from_numpy(held.signs[rows, bits])[:, None] * weight[bits]
        length = 0.999 * torch.from_numpy(held.radius[rows, bits]).float()[:, None]
        step = (length * down / down.norm(dim=1, keepdim=True)).view(-1, 3, 4, 4)
        wrong = 0
        for secret in range(secrets):
            vote = defended(line, "smoothing", sigma=sigma, votes=votes, seed=secret)
            signs = vote.codes(grey[rows] + step).signs()
            wrong += int((signs[range(len(rows)), bits] != held.signs[rows, bits]).sum())
        assert len(rows) > 15
        turned[name] = wrong / (secrets * len(rows))
    # At the radius of the expected vote, nine copies err nearly half of the time.
    assert turned["expected"] > 0.1 and turned["of nine"] <= 0.001


def test_pictures_are_counted_in_8_bits(line, grey):
    counts = [noisy_votes(line, some, sigma=0.05, samples=50) for some in (grey, grey + 0.4 / 255)]
    assert (counts[0] == counts[1]).all()


def test_a_perceptual_hash_is_certified_by_votes_alone():
    victim, images = perceptual_hash("dhash"), torch.rand(1, 3, 20, 20)
    assert noisy_votes(victim, images, sigma=0.01, samples=5).max() == 5
    with pytest.raises(HashprobeError, match="another network: take noisy_votes"):
        interval_bounds(victim, images, 0.01)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda v, x: interval_bounds(v, x, -0.1), "eps must be from 0 to 1"),
        (lambda v, x: interval_radius(v, x, (0.2, 0.1)), "steps must grow"),
        (lambda v, x: noisy_votes(v, x, sigma=0.0, samples=2), "sigma must be above 0"),
        (lambda v, x: noisy_votes(v, x, sigma=0.1, samples=0), "samples must be at least 1"),
        (lambda v, x: noisy_votes(v, x * 255, sigma=0.1, samples=1), "queries must lie in .0, 1"),
        (lambda v, x: interval_bounds(v, x * 255, 0.1), "queries must lie in .0, 1"),
    ],
)
def test_what_does_not_fit_is_one_line(call, said, line, grey):
    with pytest.raises(HashprobeError, match=said):
        call(line, grey)


def test_an_unknown_layer_is_named():
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.SiLU())
    with pytest.raises(HashprobeError, match="a layer SiLU"):
        interval_bounds(Victim(net, bits=8, size=4), torch.rand(1, 3, 4, 4), 0.1)
