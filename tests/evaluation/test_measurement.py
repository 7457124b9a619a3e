import json

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Bootstrap, Curve, Measurement, paired_difference


def measured(values, signature="P@2|v:0.1", **options):
    values = np.asarray(values, dtype=np.float64)
    return Measurement.of(values, signature, Bootstrap(**options))


def test_it_prints_its_value_and_interval():
    measurement = Measurement(0.8124, 0.79, 0.8341, "P@2|v:0.1", np.ones(3), 0.95)
    assert str(measurement) == "0.812 [0.790, 0.834]"
    text = json.dumps(measurement.to_json())
    assert json.loads(text) == {
        "value": 0.8124,
        "low": 0.79,
        "high": 0.8341,
        "signature": "P@2|v:0.1",
    }


def test_the_interval_of_many_queries_is_the_normal_one():
    """The percentile bootstrap of a mean agrees with mean +- 1.96 standard errors."""
    values = np.random.default_rng(0).random(2000)
    found = measured(values, resamples=4000)
    error = values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_the_interval_is_that_of_a_loop():
    values = np.random.default_rng(1).random(30)
    random = np.random.default_rng(7)
    means = [values[random.integers(30, size=30)].mean() for _ in range(200)]
    found = measured(values, resamples=200, seed=7, confidence=0.9)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])))
    assert found.confidence == 0.9


def test_the_interval_does_not_depend_on_the_block(monkeypatch):
    values = np.random.default_rng(1).random(31)
    whole = measured(values)
    monkeypatch.setattr("hashprobe.evaluation.measurement.BLOCK_DRAWS", 100)
    assert measured(values).to_json() == whole.to_json()


def test_a_wider_interval_holds_a_narrower_one():
    values = np.random.default_rng(1).random(50)
    narrow, wide = measured(values, confidence=0.5), measured(values, confidence=0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).random(50)
    assert measured(values).to_json() == measured(values).to_json()
    assert measured(values, seed=1).low != measured(values).low


def test_one_query_has_no_spread():
    found = measured([0.4])
    assert (found.value, found.low, found.high) == (0.4, 0.4, 0.4)


def test_skipped_queries_do_not_count():
    found = measured([0.2, np.nan, 0.4])
    assert found.value == pytest.approx(0.3)
    assert found.low >= 0.2
    assert len(found.per_query) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resamples": 0}, "at least 1 resample; got 0"),
        ({"confidence": 1.0}, "between 0 and 1; got 1.0"),
        ({"confidence": 0.0}, "between 0 and 1; got 0.0"),
    ],
)
def test_intervals_that_cannot_be_drawn_are_refused(options, words):
    with pytest.raises(HashprobeError, match=words):
        Bootstrap(**options)


def test_numbers_of_different_signatures_are_not_compared():
    a, b = measured([0.5]), measured([0.4], "P@3|v:0.1")
    for compare in (
        lambda: a - b,
        lambda: a < b,
        lambda: a > b,
        lambda: paired_difference(a, b),
    ):
        with pytest.raises(HashprobeError, match=r"P@2\|v:0.1 and P@3\|v:0.1"):
            compare()
    with pytest.raises(HashprobeError, match="different queries: 1 and 2"):
        a - measured([0.1, 0.2])


def test_numbers_of_one_signature_are_ordered():
    assert measured([0.5]) > measured([0.4])
    assert measured([0.4]) < measured([0.5])
    assert not measured([0.5]) < measured([0.5])


def test_a_paired_interval_leaves_out_what_both_share():
    random = np.random.default_rng(0)
    base = random.random(100)
    a, b = measured(base + 0.1 + random.normal(0, 0.001, 100)), measured(base)
    lift = paired_difference(a, b)
    assert lift.value == pytest.approx(a.value - b.value)
    assert lift.signature == "difference:P@2|v:0.1"
    assert 0.099 < lift.low < lift.high < 0.101
    assert a.high - a.low > 0.1


def test_paired_differences_are_those_of_each_query_in_order():
    """Sorted before they are subtracted, the mean is the same and the spread is another one."""
    a, b = measured([0.9, 0.1, 0.5, 0.2]), measured([0.2, 0.8, 0.4, 0.9])
    lift = paired_difference(a, b)
    np.testing.assert_allclose(lift.per_query, [0.7, -0.7, 0.1, -0.7])
    random = np.random.default_rng(0)
    base = random.random(100)
    opposed = paired_difference(measured(base), measured(base[::-1]))
    assert opposed.value == pytest.approx(0, abs=1e-9)
    assert opposed.high - opposed.low > 1.2 * (measured(base).high - measured(base).low)


def test_a_pair_of_which_one_is_skipped_does_not_count():
    lift = measured([0.9, 0.5, np.nan]) - measured([0.1, np.nan, 0.3])
    assert lift.value == pytest.approx(0.8)
    with pytest.raises(HashprobeError, match="no query is left"):
        measured([0.9, np.nan]) - measured([np.nan, 0.1])


def test_a_curve_goes_into_a_file():
    curve = Curve.of(np.array([1, 2]), np.array([[1.0, 0.5], [np.nan, 0.1]]), "P@N|v:0.1")
    assert json.loads(json.dumps(curve.to_json())) == {
        "at": [1, 2],
        "value": [1.0, 0.5],
        "low": [1.0, 0.5],
        "high": [1.0, 0.5],
        "signature": "P@N|v:0.1",
    }
