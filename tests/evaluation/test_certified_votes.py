"""Radii from counts of noisy copies, against linear bits whose chances are known exactly."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certified_votes import certify_votes, largest_radius


RNG = np.random.default_rng(4)


def test_the_radius_is_that_of_cohen_with_a_share_of_the_error_for_each_bit():
    held = certify_votes(np.array([[990, 15]]), 1000, 0.5, error=0.01)
    for hits, radius in zip((990, 985), held.radius[0], strict=True):
        low = binomtest(hits, 1000).proportion_ci(1 - 0.01 / 2, "exact").low
        assert radius == pytest.approx(0.5 * norm.ppf(low), rel=1e-9)
    assert held.signs.tolist() == [[1, -1]]
    undecided = certify_votes(np.array([[510, 490]]), 1000, 0.5)
    assert undecided.radius.tolist() == [[0, 0]] and undecided.flips(0.0).tolist() == [2]


def test_certified_radii_are_below_the_true_ones():
    """A linear bit with margin m behind noise sigma holds within m exactly."""
    margins = np.abs(RNG.normal(0, 0.3, (30, 8))) + 0.01
    samples, sigma = 2000, 0.25
    ones = RNG.binomial(samples, norm.cdf(margins / sigma))
    held = certify_votes(ones, samples, sigma)
    assert (held.radius <= margins).all()
    middle = (margins > 0.1) & (margins < 0.5)
    assert (held.radius[middle] > 0.5 * margins[middle]).all()


@pytest.mark.parametrize("votes", [1, 9, 101])
def test_a_vote_of_n_copies_errs_as_seldom_as_is_said(votes):
    """Bits of a linear victim with margin m: one copy at r is right with Phi((m - r) / s)."""
    samples, sigma, miss, bits = 10**8, 0.2, 0.01, 8
    margins = np.linspace(0.0, 0.9, 40 * bits).reshape(40, bits)
    ones = np.round(samples * norm.cdf(margins / sigma)).astype(np.int64)
    held = certify_votes(ones, samples, sigma, votes=votes, miss=miss)
    known = held.radius > 0
    wrong = binom.cdf(votes // 2, votes, norm.cdf((margins - held.radius) / sigma))
    assert 20 < known.sum() < known.size
    assert (wrong[known] <= miss / bits).all()
    # Beyond the radius nothing is said, and with so many samples not much too early.
    middle = known & (margins < 3 * sigma)
    assert (wrong[middle] > 0.5 * miss / bits).all()
    # Where the picture itself is too near to the border for as few copies, there is no radius.
    here = binom.cdf(votes // 2, votes, norm.cdf(margins / sigma))
    assert not known[here > miss / bits].any() and known[here < 0.5 * miss / bits].all()
    assert (held.radius <= certify_votes(ones, samples, sigma).radius).all()


def test_more_votes_come_near_to_the_expected_vote():
    ones = np.array([[9990, 7000]])
    endless = certify_votes(ones, 10_000, 0.1).radius
    radii = [certify_votes(ones, 10_000, 0.1, votes=n).radius for n in (9, 101, 10_001)]
    assert all((a <= b).all() for a, b in pairwise(radii))
    assert radii[-1] == pytest.approx(endless, abs=0.005) and radii[0][0, 1] == 0
    # Whoever lets a vote err half of the time needs a chance of one half.
    assert certify_votes(ones[:, :1], 10_000, 0.1, votes=9, miss=0.5).radius == pytest.approx(
        certify_votes(ones[:, :1], 10_000, 0.1).radius
    )


@pytest.mark.filterwarnings("error")
def test_a_vote_that_no_chance_is_enough_for_has_no_radius():
    held = certify_votes(np.array([[1000, 0, 520]]), 1000, 0.1, votes=1, miss=1e-320)
    assert (held.radius == 0).all()


@pytest.mark.parametrize("votes", [3, 9, 101])
def test_the_least_number_of_samples_certifies_and_one_less_does_not(votes):
    with pytest.raises(HashprobeError, match=f"for {votes} votes of 32 bits") as error:
        largest_radius(32, 1, 0.1, votes=votes)
    fewest = int(str(error.value).split()[5])
    with pytest.raises(HashprobeError, match=f"at least {fewest} "):
        largest_radius(32, fewest - 1, 0.1, votes=votes)
    found = largest_radius(32, fewest, 0.1, votes=votes)
    counts = np.array([[fewest, 0] + [fewest - 1] * 30])
    radius = certify_votes(counts, fewest, 0.1, votes=votes).radius[0]
    assert 0 < found == radius.max() == radius[1] and (radius[2:] == 0).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: certify_votes(np.array([[5]]), 4, 0.1), "the number of samples, 4; got 5"),
        (lambda: certify_votes(np.array([[-1]]), 4, 0.1), "the number of samples, 4; got -1"),
        (lambda: certify_votes(np.array([[5]]), 9, 0.0), "sigma must be above 0"),
        (lambda: certify_votes(np.array([[5]]), 9, float("nan")), "sigma must be above 0"),
        (lambda: certify_votes(np.array([[5]]), 9, 0.1, error=1.0), "error must be"),
        (lambda: certify_votes(np.array([[5]]), 9, 0.1, votes=9, miss=0.0), "miss must be"),
        (lambda: certify_votes(np.array([[5]]), 9, 0.1, votes=8), "votes must be odd"),
        (lambda: largest_radius(32, 9, 0.1, error=5e-324, votes=9), "samples must be at least "),
        (lambda: certify_votes(np.array([[5]]), 9, 0.1, votes=-1), "votes must be at least 1"),
    ],
)
def test_what_does_not_fit_is_one_line(call, said, as_for_users):
    with pytest.raises(HashprobeError) as error:
        call()
    assert said in str(error.value)
