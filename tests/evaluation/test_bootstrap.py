"""Intervals of means over queries: coverage, exactness where it is known, limits."""

import numpy as np
import pytest
from scipy import stats

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap


def interval(values, bounds=(0.0, 1.0), **options):
    low, high = Bootstrap(**options).interval(np.asarray(values, float)[:, None], bounds)
    return float(low[0]), float(high[0])


def floor_like(random, shape):
    large = random.random(shape) < 0.05
    return np.where(large, random.uniform(0.3, 1, shape), random.beta(1, 60, shape))


@pytest.mark.parametrize("queries", [16, 24])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda random, shape: random.beta(8, 2, shape), 0.8),
        (lambda random, shape: random.random(shape) < 0.9, 0.9),
        (lambda random, shape: random.random(shape) < 0.02, 0.02),
        (floor_like, 0.05 * 0.65 + 0.95 / 61),
    ],
    ids=["beta", "p=.9", "p=.02", "floor-like"],
)
def test_an_interval_holds_the_mean_as_often_as_it_says(draw, mean, queries):
    values = draw(np.random.default_rng(queries), (queries, 400)).astype(float)
    low, high = BOOTSTRAP.interval(values)
    assert ((low <= mean) & (mean <= high)).mean() >= 0.95
    assert (high - low).mean() < 0.4


def test_a_paired_difference_with_rare_gains_is_held_too():
    random = np.random.default_rng(0)
    gains = np.where(random.random((24, 400)) < 0.05, random.uniform(0.2, 1, (24, 400)), 0)
    low, high = BOOTSTRAP.interval(gains, (-1.0, 1.0))
    assert ((low <= 0.03) & (high >= 0.03)).mean() >= 0.95


@pytest.mark.parametrize("hits", [0, 1, 7, 20])
def test_a_rate_has_the_interval_of_clopper_and_pearson(hits):
    exact = stats.binomtest(hits, 20).proportion_ci(method="exact")
    assert interval([1.0] * hits + [0.0] * (20 - hits)) == pytest.approx(exact)
    scaled = interval([32.0] * hits + [0.0] * (20 - hits), (0.0, 32.0))
    assert scaled == pytest.approx((32 * exact.low, 32 * exact.high))


def test_nearly_a_rate_has_nearly_the_interval_of_a_rate():
    """The draws agree with the closed form."""
    exact = interval([1.0] * 7 + [0.0] * 13)
    assert interval([1 - 1e-9] * 7 + [0.0] * 13, resamples=20_000) == pytest.approx(
        exact, abs=0.005
    )


def test_equal_values_leave_the_chance_of_an_unseen_one():
    """n equal values: the weight of one more query is above u with probability (1 - u)^n."""
    unseen = 1 - 0.025 ** (1 / 50)
    low, high = interval(np.full(50, 0.4), resamples=20_000)
    assert low == pytest.approx(0.4 * (1 - unseen), abs=0.002)
    assert high == pytest.approx(0.4 + 0.6 * unseen, abs=0.002)


def test_the_interval_of_many_queries_is_the_normal_one():
    values = np.random.default_rng(0).random(4000)
    error = values.std() / np.sqrt(len(values))
    low, high = interval(values)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_the_percentile_interval_is_that_of_a_loop():
    values = np.random.default_rng(1).random(30)
    random = np.random.default_rng(7)
    means = [values[random.integers(30, size=30)].mean() for _ in range(200)]
    found = interval(values, resamples=200, seed=7, confidence=0.9, method="percentile")
    assert found == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])))


@pytest.mark.parametrize("method", ["gaffke", "percentile"])
def test_the_interval_does_not_depend_on_the_block(monkeypatch, method):
    values = np.random.default_rng(1).random(31)
    whole = interval(values, method=method)
    monkeypatch.setattr("hashprobe.evaluation.bootstrap.BLOCK_DRAWS", 100)
    assert interval(values, method=method) == pytest.approx(whole, abs=1e-12)


def test_a_wider_interval_holds_a_narrower_one():
    values = np.random.default_rng(1).random(50)
    narrow, wide = interval(values, confidence=0.5), interval(values, confidence=0.99)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).random(50)
    assert interval(values) == interval(values) != interval(values, seed=1)


def test_values_beyond_the_range_widen_it():
    values = np.linspace(0, 2, 30)
    assert interval(values) == interval(values, (0.0, 2.0))


@pytest.mark.parametrize("queries", [1, 9])
def test_too_few_queries_have_no_interval(queries):
    assert np.isnan(interval(np.full(queries, 0.5))).all()
    assert BOOTSTRAP.doubts(np.full(queries, 0.5), 0.1) == (1, 1)


@pytest.mark.parametrize("method", ["gaffke", "percentile"])
def test_doubts_are_where_the_interval_ends(method):
    """At the lower bound itself the doubt that the mean is above is the tail of the interval."""
    bootstrap, values = Bootstrap(method=method), np.random.default_rng(1).random(40)
    low, high = interval(values, method=method)
    above, below = bootstrap.doubts(values, low)[0], bootstrap.doubts(values, high)[1]
    assert (above, below) == pytest.approx((0.025, 0.025), abs=0.002)
    assert bootstrap.doubts(values, -0.1) == (0, 1)
    assert bootstrap.doubts(values, 1.1) == (1, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resamples": 0}, "at least 1 resample; got 0"),
        ({"confidence": 1.0}, "between 0 and 1; got 1.0"),
        ({"confidence": 0.0}, "between 0 and 1; got 0.0"),
    ],
)
def test_intervals_that_cannot_be_computed_are_refused(options, words):
    with pytest.raises(HashprobeError, match=words):
        Bootstrap(**options)
