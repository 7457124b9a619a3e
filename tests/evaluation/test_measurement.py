import json

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import Bootstrap
from hashprobe.evaluation.measurement import (
    Curve,
    Measurement,
    measure_of,
    paired_difference,
    with_method,
)


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


def test_skipped_queries_do_not_count():
    values = np.tile([0.2, np.nan, 0.4], 6)
    found, without = measured(values), measured(values[~np.isnan(values)])
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == (without.low, without.high)
    assert len(found.per_query) == 18


def test_too_few_queries_have_no_interval():
    """Nine count; the others were skipped."""
    found = measured([0.5] * 9 + [np.nan] * 9)
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert str(found) == "0.500 (too few queries for an interval)"
    assert json.loads(json.dumps(found.to_json()))["low"] is None
    assert measured([0.5] * 10).low is not None


def test_the_signature_names_the_method_of_the_interval():
    values = np.linspace(0, 1, 20)
    assert measured(values).signature == "P@2|ci:gaffke|v:0.1"
    assert measured(values, method="percentile").signature == "P@2|v:0.1"
    lift = measured(values) - measured(values[::-1])
    assert lift.signature == "difference:P@2|ci:gaffke|v:0.1"
    assert with_method("wrong bits", "gaffke") == "wrong bits|ci:gaffke"
    assert measure_of(with_method("P@2|v:0.1", "gaffke")) == "P@2|v:0.1"


def test_numbers_with_other_intervals_are_compared():
    """How an interval is computed does not change the number."""
    values = np.linspace(0, 1, 20)
    old, new = measured(values, method="percentile"), measured(values / 2)
    assert (old - new).value == pytest.approx(0.25)
    assert old > new


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
    base = np.random.default_rng(0).uniform(0, 0.9, 100)
    lift = paired_difference(measured(base + 0.1), measured(base))
    assert lift.value == pytest.approx(0.1)
    # All differences are 0.1: what is left is the chance of a rare one at an end of the range.
    unseen = 1 - 0.025 ** (1 / 100)
    assert lift.low == pytest.approx(0.1 - 1.1 * unseen, abs=0.01)
    assert lift.high == pytest.approx(0.1 + 0.9 * unseen, abs=0.01)


def test_the_range_of_a_difference_is_that_of_both():
    bits = Measurement.of(np.full(50, 8.0), "wrong bits", bounds=(0.0, 32.0))
    assert (bits - bits).bounds == (-32.0, 32.0)
    assert -32 * 0.08 < (bits - bits).low < 0


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
        "low": [None, None],
        "high": [None, None],
        "signature": "P@N|ci:gaffke|v:0.1",
    }
