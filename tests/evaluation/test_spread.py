"""Where another run of the same attack would lie."""

import numpy as np
import pytest
from scipy import stats

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.spread import between_runs


def run(value, signature="tMAP|v:0.1"):
    return Measurement(value, None, None, signature, np.full(3, value), 0.95)


def test_it_is_the_prediction_interval_of_student():
    values = [0.50, 0.53, 0.51, 0.55]
    found = between_runs([run(value) for value in values])
    reach = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) * np.sqrt(1.25)
    assert found.value == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((found.value - reach, found.value + reach))
    assert found.per_query.tolist() == values
    assert found.signature == "runs:4|tMAP|ci:prediction-t|v:0.1"


def test_another_run_lies_in_it_as_often_as_it_says():
    random = np.random.default_rng(0)
    drawn = 0.5 + 0.01 * random.standard_normal((1000, 4))
    inside = [
        (found := between_runs([run(v) for v in row[:3]])).low <= row[3] <= found.high
        for row in drawn
    ]
    assert 0.93 < np.mean(inside) < 0.97


def test_it_stays_in_the_range_of_the_measure():
    found = between_runs([run(0.9), run(1.0)])
    assert (found.low, found.high) == (0, 1)


def test_runs_that_cannot_be_compared_are_refused():
    with pytest.raises(HashprobeError, match="2 runs or more; got 1"):
        between_runs([run(0.5)])
    with pytest.raises(HashprobeError, match="different measures: MAP"):
        between_runs([run(0.5), run(0.5, "MAP|v:0.1")])
