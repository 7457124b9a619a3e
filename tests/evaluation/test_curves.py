import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.curves import (
    precision_at,
    precision_curve,
    precision_recall_curve,
    precision_within_radius,
    recall_curve,
)


POLICIES = ["stable", "expected", "best", "worst"]
LENGTHS = [1, 3, 40, 200]
items = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8)


def no_relevant(problem):
    """Query 0 as it is, query 1 without a relevant item."""
    case = problem(q=2, n=50, classes=4)
    case.query_labels = np.array([[True, False, False, False, False], [False] * 4 + [True]])
    case.database_labels = np.pad(case.database_labels, ((0, 0), (0, 1)))
    return case


def test_precision_and_recall_are_counts_over_places(problem, naive):
    case = problem(noise=0.3, multi=True)
    precision = precision_curve(LENGTHS, *case.arrays)
    recall = recall_curve(LENGTHS, *case.arrays)
    ranked = [naive.stable_order(d, r) for d, r in naive.rows_of(case)]
    for point, length in enumerate(LENGTHS):
        shares = [sum(row[:length]) / length for row in ranked]
        assert precision.value[point] == pytest.approx(np.mean(shares))
        np.testing.assert_allclose(precision_at(length, *case.arrays).per_query, shares)
        known = [sum(row[:length]) / sum(row) for row in ranked]
        assert recall.value[point] == pytest.approx(np.mean(known))
    assert recall.value[-1] == 1
    assert precision.at.tolist() == LENGTHS


@given(items, st.data())
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_policies_are_what_every_order_gives(fixed, naive, items, data):
    distances, relevant = [d for d, _ in items], [r for _, r in items]
    length = data.draw(st.integers(1, len(items)))
    case = fixed(distances, relevant)
    shares = [sum(order[:length]) / length for order in naive.every_order(distances, relevant)]
    found = {t: precision_at(length, *case.arrays, ties=t).value for t in POLICIES}
    assert found["best"] == pytest.approx(max(shares))
    assert found["worst"] == pytest.approx(min(shares))
    assert found["expected"] == pytest.approx(np.mean(shares))
    assert found["worst"] - 1e-12 <= found["stable"] <= found["best"] + 1e-12


@pytest.mark.parametrize("ties", POLICIES)
def test_a_curve_is_its_points(problem, ties):
    case = problem()
    curve = precision_curve(LENGTHS, *case.arrays, ties=ties)
    for point, length in enumerate(LENGTHS):
        alone = precision_at(length, *case.arrays, ties=ties)
        assert curve.value[point] == pytest.approx(alone.value)
        assert curve.low[point] == pytest.approx(alone.low)
        assert curve.high[point] == pytest.approx(alone.high)


@pytest.mark.parametrize("radius", [0, 2, 5, 16])
def test_precision_within_a_radius(problem, naive, radius):
    case = problem(noise=0.1)
    shares = []
    for distances, relevant in naive.rows_of(case):
        inside = [r for d, r in zip(distances, relevant, strict=True) if d <= radius]
        shares.append(sum(inside) / len(inside) if inside else 0)
    found = precision_within_radius(*case.arrays, radius=radius)
    np.testing.assert_allclose(found.per_query, shares)
    assert found.signature.startswith(f"P@r{radius}|empty:zero|rel:any|q:12|db:200|bits:16|ci:")


def test_the_precision_recall_curve_is_a_loop_over_radii(problem, naive):
    case = problem(noise=0.15)
    curve = precision_recall_curve(*case.arrays)
    skipped = precision_recall_curve(*case.arrays, empty="skip")
    rows = [list(zip(d, r, strict=True)) for d, r in naive.rows_of(case)]
    for radius in range(17):
        precision, recall = [], []
        for row in rows:
            inside = [r for d, r in row if d <= radius]
            precision.append(sum(inside) / len(inside) if inside else None)
            recall.append(sum(inside) / sum(r for _, r in row))
        assert curve.precision[radius] == pytest.approx(np.mean([p or 0 for p in precision]))
        assert curve.recall[radius] == pytest.approx(np.mean(recall))
        some = [p for p in precision if p is not None]
        assert skipped.precision[radius] == pytest.approx(np.mean(some) if some else 0)
    assert curve.recall[-1] == 1
    assert len(curve.to_json()["precision"]) == 17


def test_the_precision_recall_curve_does_not_depend_on_the_block(problem, monkeypatch):
    case = problem(q=30)
    whole = precision_recall_curve(*case.arrays)
    monkeypatch.setattr("hashprobe.evaluation.ranking.BLOCK_ENTRIES", 7 * 200)
    np.testing.assert_allclose(precision_recall_curve(*case.arrays).precision, whole.precision)


def test_queries_without_a_relevant_item_follow_the_policy(problem):
    case = no_relevant(problem)
    zero, skip = (recall_curve([50], *case.arrays, empty=e) for e in ("zero", "skip"))
    assert (zero.value[0], skip.value[0]) == (0.5, 1)
    curve = precision_recall_curve(*case.arrays)
    assert (curve.recall[-1], precision_recall_curve(*case.arrays, empty="skip").recall[-1]) == (
        0.5,
        1,
    )
    for measure in (recall_curve, precision_recall_curve):
        arguments = ([50], *case.arrays) if measure is recall_curve else case.arrays
        with pytest.raises(HashprobeError, match=r"no relevant item .*1 queries.* query 1"):
            measure(*arguments, empty="error")
    case.query_labels = case.query_labels[1:]
    case.query_codes = case.query_codes[1:]
    with pytest.raises(HashprobeError, match="no query is left"):
        precision_recall_curve(*case.arrays, empty="skip")
    with pytest.raises(HashprobeError, match="no query is left"):
        recall_curve([50], *case.arrays, empty="skip")


def test_nothing_within_the_radius_follows_the_policy(fixed):
    case = fixed([5, 6], [True, False])
    assert precision_within_radius(*case.arrays).value == 0
    with pytest.raises(HashprobeError, match="nothing within Hamming radius 2 for 1 queries"):
        precision_within_radius(*case.arrays, empty="error")
    with pytest.raises(HashprobeError, match="no query is left"):
        precision_within_radius(*case.arrays, empty="skip")


def test_lengths_and_radii_that_do_not_fit_are_refused(problem):
    case = problem()
    for lengths in ([0], [201], [5, 201]):
        with pytest.raises(HashprobeError, match=f"1 to the database's 200; got {lengths[-1]}"):
            precision_curve(lengths, *case.arrays)
    with pytest.raises(HashprobeError, match="at least one"):
        recall_curve([], *case.arrays)
    for radius in (-1, 17):
        with pytest.raises(HashprobeError, match=f"0 to the bits, 16; got {radius}"):
            precision_within_radius(*case.arrays, radius=radius)


def test_signatures_say_what_was_counted(problem):
    case = problem()
    end = "rel:any|q:12|db:200|bits:16|ci:gaffke|v:0.1"
    at = precision_at(5, *case.arrays, ties="best", rounding="uint8")
    assert at.signature == "P@5|ties:best|rel:any|q:12|db:200|bits:16|round:uint8|ci:gaffke|v:0.1"
    assert precision_curve([5], *case.arrays).signature == f"P@N|ties:stable|{end}"
    assert recall_curve([5], *case.arrays).signature == f"R@N|ties:stable|empty:zero|{end}"
    assert precision_recall_curve(*case.arrays).signature == f"PR|empty:zero|{end}".replace(
        "ci:gaffke|", ""
    )
