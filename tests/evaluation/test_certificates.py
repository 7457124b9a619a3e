"""Certificates against all codes that open bits allow."""

from itertools import product

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certificates import (
    BitCertificate,
    certified_collision,
    certified_map,
    certified_match,
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
            lambda: certified_match(HELD, DATABASE, Sources.alone(5, 40), 2, 0.1),
            "sources of 5 queries and 40 items for 6 queries and 40 items",
        ),
        (
            lambda: certified_collision(HELD, DATABASE, Sources.alone(6, 39), 2, 0.1),
            "sources of 6 queries and 39 items for 6 queries and 40 items",
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
