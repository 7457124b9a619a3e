"""Certificates: against all codes that open bits allow, and against linear victims."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certificates import (
    BitCertificate,
    certified_collision,
    certified_map,
    certified_match,
    certify_votes,
)
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.measures import mean_average_precision


RNG = np.random.default_rng(4)
BITS, ITEMS, QUERIES = 7, 40, 6
DATABASE = PackedCodes.from_signs(RNG.choice([-1, 1], (ITEMS, BITS)).astype(np.int8))
HELD = BitCertificate(
    RNG.choice([-1, 1], (QUERIES, BITS)).astype(np.int8), RNG.uniform(0, 1, (QUERIES, BITS)), "l2"
)
EPS = 0.45


def reachable(row):
    """Every code that an attack within EPS may bring a query to."""
    fixed = HELD.radius[row] >= EPS
    codes = np.array(list(product((-1, 1), repeat=BITS)), np.int8)
    return codes[(codes[:, fixed] == HELD.signs[row, fixed]).all(1)]


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


def test_the_most_flips_are_those_of_the_farthest_reachable_code():
    far = [(reachable(row) != HELD.signs[row]).sum(1).max() for row in range(QUERIES)]
    assert HELD.flips(EPS).tolist() == far


def test_distances_are_the_ends_over_all_reachable_codes():
    low, high = HELD.distances(DATABASE, EPS)
    for row in range(QUERIES):
        each = (reachable(row)[:, None] != DATABASE.signs()[None]).sum(2)
        assert low[row].tolist() == each.min(0).tolist()
        assert high[row].tolist() == each.max(0).tolist()


@pytest.mark.parametrize("radius", [0, 2, 4])
def test_matches_and_collisions_are_bounded_by_all_reachable_codes(radius):
    sources = Sources.of(list(range(QUERIES)), [i % 9 for i in range(ITEMS)])
    match = certified_match(HELD, DATABASE, sources, radius, EPS)
    collision = certified_collision(HELD, DATABASE, sources, radius, EPS)
    for row in range(QUERIES):
        near = (reachable(row)[:, None] != DATABASE.signs()[None]).sum(2) <= radius
        own = sources.items == sources.queries[row]
        surely, possible = near[:, own].all(0).any(), near[:, ~own].any()
        assert match.per_query[row] == surely <= near[:, own].any(1).all()
        assert collision.per_query[row] == possible
    assert f"certified-match@r{radius}|l2:0.45" in match.signature


@pytest.mark.parametrize("top", [None, 5])
def test_map_of_no_reachable_code_is_below_its_bound(top):
    labels, own = (
        np.eye(3, dtype=bool)[np.arange(ITEMS) % 3],
        np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 2]],
    )
    bound = certified_map(HELD, DATABASE, own, labels, eps=EPS, top=top)
    gap = []
    for row in range(QUERIES):
        codes = PackedCodes.from_signs(reachable(row))
        for ties in ("worst", "expected"):
            values = mean_average_precision(
                codes, DATABASE, own[[row]].repeat(len(codes), 0), labels,
                top=top or ITEMS, normaliser="min", ties=ties, empty="zero",
            ).per_query  # fmt: skip
            assert bound.per_query[row] <= values.min() + 1e-12
        gap.append(values.min() - bound.per_query[row])
    assert 0 < np.mean(gap) < 0.5
    tight = BitCertificate(HELD.signs, np.ones_like(HELD.radius), "l2")
    exact = certified_map(tight, DATABASE, own, labels, eps=EPS, top=top)
    plain = mean_average_precision(
        tight.codes,
        DATABASE,
        own,
        labels,
        top=top or ITEMS,
        normaliser="min",
        ties="worst",
        empty="zero",
    )
    assert exact.per_query == pytest.approx(plain.per_query)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: certify_votes(np.array([[5]]), 4, 0.1), "from 0 to the 4 samples"),
        (lambda: certify_votes(np.array([[5]]), 9, 0.0), "sigma must be above 0"),
        (lambda: certify_votes(np.array([[5]]), 9, 0.1, error=1.0), "error must be"),
        (lambda: HELD.flips(-1.0), "eps must be 0 or above"),
        (lambda: HELD.distances(PackedCodes.empty(8), 0.1), "7 bits and the database has 8"),
        (lambda: BitCertificate(HELD.signs, HELD.radius[:2], "l2"), "a radius for each bit"),
        (lambda: BitCertificate(HELD.signs, -HELD.radius, "l2"), "0 or above"),
        (lambda: BitCertificate(HELD.signs, HELD.radius, "l1"), "l2 or linf"),
        (
            lambda: certified_match(HELD, DATABASE, Sources.of([90] * 6, list(range(40))), 2, 0.1),
            "no query has a source",
        ),
        (
            lambda: certified_map(
                HELD, DATABASE, np.ones((6, 2), bool), np.ones((40, 3), bool), eps=0.1
            ),
            "2 classes but the database has 3",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(call, said, as_for_users):
    with pytest.raises(HashprobeError) as error:
        call()
    assert said in str(error.value)
