"""Numbers of tables: intervals, differences in pairs, text."""

import numpy as np
import pytest

from hashprobe.evaluation.measurement import Measurement
from hashprobe.paper.result import Entry, mean_of


def test_queries_that_were_left_out_count_nought_in_differences():
    def entry(values):
        return Entry.of(Measurement.of(np.array(values), "tMAP|empty:skip"))

    one, other = entry([0.9, np.nan, 0.5]), entry([0.7, 0.7, np.nan])
    assert (one.value, other.value) == pytest.approx((70, 70))
    assert one.minus(other).value == pytest.approx(100 * (0.2 - 0.7 + 0.5) / 3)
    never = entry([np.nan, 0.5]).minus(entry([0.5, np.nan]))
    assert never.value == pytest.approx(0)


def test_differences_are_paired():
    """One point for each of 1,000 queries: what the numbers share plays no part."""
    base = np.linspace(0, 90, 1000)
    gap = Entry.over(base + 1, "a", (0.0, 100.0)).minus(Entry.over(base, "b", (0.0, 100.0)))
    assert gap.value == pytest.approx(1)
    assert gap.low == pytest.approx(1 - 101 * (1 - 0.025 ** (1 / 1000)), abs=0.1)
    assert gap.high == pytest.approx(1 + 99 * (1 - 0.025 ** (1 / 1000)), abs=0.1)
    assert Entry(50.0, 0.0, 100.0, "a").minus(Entry(49.0, None, None, "b")).low is None


def test_the_mean_of_columns_is_taken_query_by_query():
    one, other = (Entry.over(np.array(v), "a", (0.0, 100.0)) for v in ([0.0, 10], [20.0, 10]))
    assert mean_of([one, other]).per_query.tolist() == [10, 10]
    assert mean_of([one, Entry(25.0, None, None, "a")]).value == 15


def test_text():
    few = Entry.of(Measurement.of(np.full(9, 0.5), "a"))
    assert (str(few), str(Entry(82.104, None, None, "paper"))) == ("50.0", "82.10")
    runs = Measurement(0.5, 0.48, 0.53, "a", np.ones(3), 0.95)
    many = Entry.of(Measurement(0.5, 0.4, 0.6, "a", np.ones(30), 0.95), runs=runs)
    assert str(many) == "50.0 [40.0, 60.0], runs 48.0 to 53.0"
