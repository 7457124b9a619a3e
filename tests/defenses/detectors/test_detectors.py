"""Detectors: what they score, and the attacker who knows them."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from hashprobe import Budget, Goal, Queries, Victim
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.both import BothHashes
from hashprobe.defenses.defended import defended
from hashprobe.defenses.detectors._bit_histogram import BitHistogram
from hashprobe.defenses.detectors._instability import Instability
from hashprobe.defenses.detectors._nearest_code import NearestCode
from hashprobe.defenses.detectors.registry import DETECTORS, detector_named
from hashprobe.defenses.detectors.watched import evade_detector
from hashprobe.defenses.preprocessors._smoothing import Smoothing
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.detection import roc
from hashprobe.victims.perceptual.registry import perceptual_hash


@pytest.fixture(scope="module")
def line():
    """A linear victim of 12 bits on 8 x 8 pixels."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 12, bias=False))
    return Victim(layers, bits=12, size=8, mean=0.5).eval()


@pytest.fixture(scope="module")
def grey():
    """Pictures in 8-bit levels, far from black and white."""
    chance = torch.Generator().manual_seed(1)
    pixels = (0.5 + 0.1 * torch.randn(80, 3, 8, 8, generator=chance)).clamp(0.2, 0.8)
    return (255 * pixels).round() / 255


@pytest.fixture(scope="module")
def stored(line, grey):
    return line.codes(grey)


def fitted(name, line, grey, stored):
    # Noise that turns over some bits of queries that are driven far, too.
    options = {"sigma": 0.3} if name == "instability" else {}
    return detector_named(name, **options).fit(line, grey, stored)


def test_the_distance_is_that_to_the_nearest_code(line, grey, stored):
    other = (grey[:9] + 0.1 * torch.randn(9, 3, 8, 8)).clamp(0, 1)
    found = NearestCode().fit(line, grey, stored).scores(other)
    seen = line.codes((255 * other).round() / 255).signs()
    assert found == pytest.approx(cdist(seen, stored.signs(), "hamming").min(1))
    assert NearestCode().fit(line, grey, stored).scores(grey[:5]).tolist() == [0] * 5


def test_instability_counts_the_bits_that_noise_turns_over(line, grey):
    quiet = Instability(sigma=0.001, copies=2).fit(line, grey)
    loud = Instability(sigma=1.0, copies=2).fit(line, grey)
    assert quiet.scores(grey).mean() < 0.02 < 0.2 < loud.scores(grey).mean() < 0.6
    assert (loud.scores(grey) == loud.scores(grey)).all()
    # A bit near 0 is turned over, whatever the others are.
    weight = line.network[1].weight.detach()
    logits = (grey[:1] - 0.5).flatten(1) @ weight.T
    near = grey[:1] - (logits[0, 0] / weight[0].square().sum() * weight[0]).view(1, 3, 8, 8)
    assert loud.detector.fit(line, grey).scores(near) is not None
    some = Instability(sigma=4 / 255, copies=30).fit(line, grey)
    assert some.scores(near)[0] > some.scores(grey[:1])[0]


def test_unlikely_margins_score_high(line, grey):
    made = BitHistogram(bins=8).fit(line, grey)
    usual = made.scores(grey)
    narrow, wide = 0.5 + 0.02 * (grey - 0.5), (0.5 + 3 * (grey - 0.5)).clamp(0, 1)
    far = made.penalty(wide, 3 * line(wide).detach())
    assert float(far.min()) > usual.mean()
    # Of equally filled bins a margin's score is the logarithm of its bin's width.
    edges = np.quantile(line(grey).detach().abs().numpy(), np.linspace(0, 1, 9))
    middle = float((edges[3] + edges[4]) / 2)
    seen = made.penalty(grey[:1], torch.full((1, 12), middle))
    assert float(seen) == pytest.approx(np.log(edges[4] - edges[3]), abs=0.05)
    assert len(made.scores(narrow)) == 80


OPERATORS = {"smoothing": {"sigma": 0.3, "votes": 5}, "random-resize": {}, "jpeg": {"quality": 20}}


@pytest.mark.parametrize("remedy", OPERATORS)
def test_behind_a_remedy_the_operator_scores_what_it_computes(remedy, line, grey, stored):
    """The judged codes and the operator's own draws, not the draws of an attacker."""
    victim = defended(line, remedy, **OPERATORS[remedy])
    remedy, some = victim.preprocessor, grey[:20]
    nearest = NearestCode().fit(victim, grey, stored).scores(some)
    judged = victim.codes(some).signs()
    np.testing.assert_allclose(nearest, cdist(judged, stored.signs(), "hamming").min(1), atol=1e-6)
    copies = [line(remedy.apply(some, copy)).detach() for copy in range(remedy.copies)]
    margins = BitHistogram().fit(victim, grey)
    wanted = margins.penalty(some, torch.stack(copies).mean(0))
    np.testing.assert_allclose(margins.scores(some), wanted, rtol=1e-5)
    noise, turned = Smoothing(0.3), np.zeros(20)
    for copy in range(3):
        turned += (victim.codes(noise.apply(some, copy)).signs() != judged).mean(1) / 3
    unstable = Instability(sigma=0.3, copies=3).fit(victim, grey).scores(some)
    np.testing.assert_allclose(unstable, turned)
    assert (turned > 0).any()


def test_a_pair_of_hashes_is_scored_behind_its_remedies(line, grey):
    first = defended(line, "smoothing", sigma=0.3, attack_draws=2)
    both = BothHashes(first, line)
    logits = [first.operator_logits(grey[:3]), line(grey[:3])]
    wanted = torch.cat([one / one.abs().mean(1, keepdim=True) for one in logits], 1)
    assert torch.allclose(both.operator_logits(grey[:3]), wanted)
    assert not torch.allclose(both(grey[:3]), wanted)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_penalty_has_a_gradient_that_lowers_it(name, line, grey, stored):
    made = fitted(name, line, grey, stored)
    pixels = (grey[:20] + 0.05 * torch.randn(20, 3, 8, 8)).clamp(0, 1)

    def penalty(x):
        return made.penalty(x, line(x))

    pixels.requires_grad_()
    (slope,) = torch.autograd.grad(penalty(pixels).sum(), pixels)
    assert (slope.flatten(1).norm(dim=1) > 0).all()
    moved = pixels - 0.004 * slope.sign()
    assert penalty(moved).mean() < penalty(pixels).mean()


@pytest.mark.parametrize("name", DETECTORS)
def test_who_knows_the_detector_is_found_less_often(name, line, grey, stored):
    """Queries are driven beyond what is stored; the same queries with the penalty score lower."""
    made = fitted(name, line, grey, stored)
    queries, goal = Queries(grey[:12]), Goal.targeted(-stored.signs()[:12])
    given = {"budget": Budget(24 / 255), "steps": 15, "wrong": 4}
    plain = evade_detector(made, queries, goal, weights=(0.0,), **given)
    known = evade_detector(made, queries, goal, weights=(0.0, 0.3, 3.0), **given)
    assert plain.reached.mean() > 0.5
    assert (known.reached >= plain.reached).all()
    both = plain.reached & known.reached
    assert (known.scores[both] <= plain.scores[both]).all()  # weight 0 is among those tried
    assert known.scores[both].mean() < plain.scores[both].mean()
    for found in (plain, known):
        moved = 255 * (found.images - grey[:12])
        assert moved.abs().max() <= 24 + 1e-3
        assert torch.allclose(255 * found.images, (255 * found.images).round(), atol=1e-3)
        right = (line.codes(found.images).signs() != goal.codes).sum(1) <= 4
        assert (right == found.reached).all()


def test_the_curve_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    clean, attacked = rng.normal(0, 1, 40).round(1), rng.normal(1, 1, 30).round(1)
    found = roc(clean, attacked)
    pairs = (attacked[:, None] > clean) + 0.5 * (attacked[:, None] == clean)
    assert found.auc == pytest.approx(pairs.mean())
    threshold = found.threshold_at(0.1)
    assert (clean >= threshold).mean() <= 0.1
    assert found.found_at(0.1) == pytest.approx((attacked >= threshold).mean())
    assert found.to_json()["found@0.05"] == found.found_at(0.05)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda v, x: detector_named("bits"), "unknown detector 'bits': choose from bit-histogram"),
        (lambda v, x: detector_named("nearest-code", k=1), "no option 'k': it has none"),
        (lambda v, x: detector_named("instability", k=1), "choose from sigma, copies"),
        (lambda v, x: Instability(sigma=2.0), "sigma must be"),
        (lambda v, x: BitHistogram(bins=1), "bins must be at least 2"),
        (lambda v, x: Instability(copies=0), "copies must be at least 1; got 0"),
        (lambda v, x: Instability(copies=-1), "copies must be at least 1; got -1"),
        (lambda v, x: Instability(copies=1001), "copies must be at most 1,000; got 1001"),
        (lambda v, x: NearestCode().fit(v, x), "give database="),
        (
            lambda v, x: NearestCode().fit(v, x, PackedCodes.from_signs(np.ones((4, 32)))),
            "the stored codes have 32 bits and those of the victim 12",
        ),
        (lambda v, x: BitHistogram().fit(v, 255 * x), "must lie in [0, 1]"),
        (lambda v, x: BitHistogram().fit(v, x).scores(255 * x), "8-bit values?"),
        (lambda v, x: BitHistogram().fit(v, x.numpy()[:, :1]), "clean must be"),
        (lambda v, x: roc(np.zeros(1), np.zeros(1)).found_at(-1), "from 0 to 1; got -1"),
        (lambda v, x: roc(np.zeros(1), np.zeros(1)).threshold_at(float("nan")), "got nan"),
        (lambda v, x: NearestCode().fit(v, x, PackedCodes.empty(12)), "give database="),
        (lambda v, x: BitHistogram().fit(v, x[:0]), "give some"),
        (lambda v, x: roc(np.zeros(0), np.zeros(1)), "of clean and of attacked"),
        (lambda v, x: roc(np.array([np.nan]), np.zeros(1)), "finite"),
        (
            lambda v, x: evade_detector(
                BitHistogram().fit(v, x), Queries(x[:1]), Goal.targeted(np.ones((1, 12))),
                budget=Budget(0.1), weights=(),
            ),
            "one or more",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(call, said, line, grey, as_for_users):
    with pytest.raises(HashprobeError) as error:
        call(line, grey)
    assert said in str(error.value)


def test_as_many_copies_as_are_documented_are_taken(line, grey):
    assert detector_named("instability", copies=1000).copies == 1000
    assert np.isfinite(Instability(copies=1).fit(line, grey).scores(grey[:2])).all()


def test_a_victim_that_can_only_be_asked_is_refused():
    victim = perceptual_hash("dhash")
    victim.query_only = "a service"
    with pytest.raises(HashprobeError, match="needs the logits of pictures: a service"):
        BitHistogram().fit(victim, torch.rand(2, 3, 20, 20))
