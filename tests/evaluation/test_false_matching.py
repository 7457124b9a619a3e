import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation import ranking
from hashprobe.evaluation.bootstrap import Bootstrap
from hashprobe.evaluation.false_matching import Influence, drawn_sums, false_matches
from hashprobe.evaluation.instances import Sources


def drawn(q, n, bits=20, sources=30, seed=0):
    random = np.random.default_rng(seed)
    asked, held = random.integers(sources, size=q), random.integers(sources, size=n)
    codes = PackedCodes.from_signs(random.random((q + n, bits)) < 0.5)
    return codes[:q], codes[q:], Sources.of(asked, held)


def naive_pairs(queries, database, sources):
    """Distances of all pairs of different sources, and the two sources of each."""
    table = hamming(queries, database)
    return [
        (int(table[i, j]), int(s), int(t))
        for i, s in enumerate(sources.queries)
        for j, t in enumerate(sources.items)
        if s != t
    ]


def test_the_curve_is_the_share_of_pairs_at_every_radius(monkeypatch):
    monkeypatch.setattr(ranking, "CHUNK_ITEMS", 7)  # several chunks of the database
    queries, database, sources = case = drawn(11, 33)
    found, pairs = false_matches(*case), naive_pairs(*case)
    assert found.pairs == len(pairs)
    for radius in range(21):
        near = [d <= radius for d, _, _ in pairs]
        assert found.curve[radius] == pytest.approx(np.mean(near))
        assert found.rate(radius).value == pytest.approx(np.mean(near))
    table = hamming(queries, database)
    other = sources.queries[:, None] != sources.items
    any_ = ((table <= 4) & other).any(axis=1)
    assert found.queries(4).per_query.tolist() == any_.tolist()
    assert found.queries_curve[4] == any_.mean()


def every(influence):
    """The influence of each source."""
    values = np.tile(influence.common, (influence.sources, 1))
    values[influence.named] = influence.values
    return values


def test_influences_are_what_leaving_pictures_out_gives(monkeypatch):
    monkeypatch.setattr(ranking, "CHUNK_ITEMS", 7)
    case = drawn(11, 33)
    found, pairs = false_matches(*case), naive_pairs(*case)
    names = np.unique(np.concatenate(case[2].pair))
    influence = every(found.influence(3, 6))
    assert found.numbered.total == len(names)
    # The derivative of the weighted rate by the weight of one source.
    small = 1e-6
    for place, name in enumerate(names):
        for column, radius in enumerate(range(3, 7)):
            weights = [(1 + small) ** ((s == name) + (t == name)) for _, s, t in pairs]
            near = [d <= radius for d, _, _ in pairs]
            rate = np.average(near, weights=weights)
            slope = (rate - np.mean(near)) / small
            assert influence[place, column] == pytest.approx(slope, abs=1e-5)


def test_the_interval_holds_the_rate_of_independent_codes():
    chance = sum(np.prod([16 - i for i in range(r)]) / np.prod(range(1, r + 1)) for r in range(4))
    truth, missed = chance / 2**16, 0
    for seed in range(60):
        case = drawn(40, 40, bits=16, sources=10**6, seed=seed)
        found = false_matches(*case, bootstrap=Bootstrap(resamples=300)).rate(3)
        missed += not found.low <= truth <= found.high
    assert missed <= 6  # 5 % are 3; more than 6 of 60 would happen once in 25 times


def test_pictures_that_share_their_pairs_widen_the_interval():
    random = np.random.default_rng(0)
    codes = PackedCodes.from_signs(random.random((300, 24)) < 0.5)
    spread = false_matches(codes[:30], codes, Sources.of(range(30), range(30, 330)))
    # A picture that is near to all: all its pairs are false, and nobody else's.
    signs = np.repeat(random.random((1, 24)) < 0.5, 300, axis=0)
    crowd = PackedCodes.from_signs(signs ^ (random.random((300, 24)) < 0.5))
    one = PackedCodes.concatenate([crowd[:29], PackedCodes.from_signs(signs[:1])])
    near = PackedCodes.from_signs(signs ^ np.eye(300, 24, dtype=bool))
    hub = false_matches(one, near, Sources.of(range(30), range(30, 330)))
    rate = hub.rate(1)
    assert rate.value == pytest.approx(1 / 30)
    assert rate.high - rate.low > 0.05
    other = spread.rate(int(np.searchsorted(spread.curve, 1 / 30)))
    assert other.high - other.low < 0.03


def test_the_threshold_is_the_largest_radius_that_keeps_the_rate():
    found = false_matches(*drawn(60, 200, sources=10**6))
    for wanted in (1e-3, 0.02, float(found.curve[5])):
        threshold = found.threshold(wanted)
        assert threshold.radius == max(r for r in range(21) if found.curve[r] <= wanted)
        assert found.curve[threshold.radius + 1] > wanted
        assert threshold.low <= threshold.radius <= threshold.high
        assert threshold.rate == found.curve[threshold.radius]
        for radius in range(21):
            rate = found.rate(radius)
            assert (rate.high <= wanted) == (radius <= threshold.low), radius
            assert (rate.low <= wanted) == (radius <= threshold.high), radius


def test_too_few_pairs_are_said():
    found = false_matches(*drawn(20, 50, bits=64, sources=10**6))
    threshold = found.threshold(1e-6)
    assert not threshold.enough
    assert "10,000,000 are needed" in str(threshold)
    assert threshold.low is None
    assert found.rate(0).low == 0
    assert found.rate(0).high == pytest.approx(3.69 / 1000, rel=0.01)
    few = false_matches(*drawn(4, 4, sources=10**6))
    assert few.rate(3).low is None
    assert "source pictures are too few" in few.threshold(0.1).note
    assert few.threshold(0.1).high is None


def test_equal_codes_may_already_be_too_many():
    same = PackedCodes.from_signs(np.ones((30, 8)))
    threshold = false_matches(same, same, Sources.of(range(30), range(30, 60))).threshold(0.01)
    assert threshold.radius is threshold.low is threshold.high is None
    assert threshold.rate == 1


def test_drawn_sums_depend_on_the_seed_alone(monkeypatch):
    values, named = np.random.default_rng(0).random((50, 2)), np.arange(50)
    influence = Influence(named, values, np.zeros(2), 50)
    whole = drawn_sums(influence, Bootstrap(resamples=20))
    monkeypatch.setattr("hashprobe.evaluation.false_matching.WEIGHTS", 300)
    np.testing.assert_allclose(drawn_sums(influence, Bootstrap(resamples=20)), whole)


def test_misuse_is_one_sentence():
    codes = PackedCodes.from_signs(np.eye(8))
    with pytest.raises(HashprobeError, match="show one source"):
        false_matches(codes, codes, Sources.of([0] * 8, [0] * 8))
    found = false_matches(codes, codes, Sources.alone(8, 8))
    for wanted in (0.0, 1.0, float("nan")):
        with pytest.raises(HashprobeError, match="above 0 and below 1"):
            found.threshold(wanted)
    with pytest.raises(HashprobeError, match="radius must be 0 to the bits"):
        found.rate(9)
