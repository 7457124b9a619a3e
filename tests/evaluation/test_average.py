"""Average precision of a block: closed forms against every order, and against sums by hand."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashprobe.evaluation.average import (
    average_precision,
    divide,
    expected_sums,
    extreme_over_hits,
    extreme_terms,
    first_places,
    harmonic,
    last_places,
)
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.ranking import Counts, Ranking


def counts_of(distances, relevant):
    highest = max(distances)
    good = [d for d, r in zip(distances, relevant, strict=True) if r]
    total = [distances.count(d) for d in range(highest + 1)]
    return Counts(np.array([total]), np.array([[good.count(d) for d in range(highest + 1)]]))


def precision_sum(order, top):
    hits = np.cumsum(order[:top])
    return sum(hits[i] / (i + 1) for i, good in enumerate(order[:top]) if good)


def test_harmonic_numbers_are_sums_of_fractions():
    np.testing.assert_allclose(harmonic(5), [0, 1, 3 / 2, 11 / 6, 25 / 12, 137 / 60])


def test_a_sum_without_a_divisor_has_no_value():
    np.testing.assert_array_equal(divide(np.array([1.0, 0.0]), np.array([2, 0])), [0.5, np.nan])


@pytest.mark.parametrize(
    ("j", "nearer", "hits", "places"), [(3, 2, 1, 6), (1, 0, 0, 4), (4, 5, 5, 4)]
)
def test_hits_in_a_row_add_their_precisions(j, nearer, hits, places):
    table, last, count = harmonic(20), nearer + places, np.array([j])
    first = sum((hits + i) / (nearer + i) for i in range(1, j + 1))
    assert first_places(count, nearer, hits, table) == pytest.approx(first)
    final = sum((hits + i) / (last - j + i) for i in range(1, j + 1))
    assert last_places(count, last, hits, table) == pytest.approx(final)


small = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8)
quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(small, st.data())
@quick
def test_closed_forms_are_what_every_order_gives(naive, items, data):
    distances, relevant = [d for d, _ in items], [r for _, r in items]
    top = data.draw(st.integers(1, len(items)))
    counts, table = counts_of(distances, relevant), harmonic(top)
    orders = list(naive.every_order(distances, relevant))
    sums = [precision_sum(order, top) for order in orders]
    assert expected_sums(counts, top, table)[0] == pytest.approx(np.mean(sums))
    for ties, extreme in (("best", max), ("worst", min)):
        m = counts.within(top)
        fewest = np.maximum(0, m - (counts.total - counts.relevant))
        chosen = np.minimum(counts.relevant, m) if ties == "best" else fewest
        terms = extreme_terms(counts, top, table, ties, chosen)
        assert terms.sum() == pytest.approx(extreme(sums))
        values = [
            s / sum(order[:top]) for s, order in zip(sums, orders, strict=True) if sum(order[:top])
        ]
        found = extreme_over_hits(counts, top, table, ties, False)[0]
        assert found == pytest.approx(extreme(values)) if values else np.isnan(found)


def test_only_some_rows_and_an_empty_query(problem):
    case = problem(q=4, n=30, classes=3)
    case.query_labels = np.array([0, 1, 9, 2])
    case.database_labels = case.database_labels.argmax(axis=1)
    ranking = Ranking(*case.arrays)
    for options in (MeasureOptions(), MeasureOptions(7, "min"), MeasureOptions(7, "hits", "worst")):
        table = harmonic(options.length(30))
        whole = average_precision(ranking, slice(0, 4), options, table)
        part = average_precision(ranking, slice(1, 3), options, table)
        np.testing.assert_array_equal(part, whole[1:3])
        assert np.isnan(whole[2]) and np.isfinite(whole[0])
