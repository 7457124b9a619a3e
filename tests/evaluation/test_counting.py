"""The fast paths against plain ones: pairs, bisection, chunks of the database, threads, labels."""

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation import ranking
from hashprobe.evaluation.counting import count_distances, count_values, nearest
from hashprobe.evaluation.curves import (
    precision_curve,
    precision_recall_curve,
    precision_within_radius,
)
from hashprobe.evaluation.labels import Relevance, as_labels
from hashprobe.evaluation.measures import mean_average_precision


@pytest.mark.parametrize("bits", [8, 32, 120, 128, 512])
@pytest.mark.parametrize("n", [1, 50, 20_001])
def test_counts_are_those_of_a_plain_loop(bits, n):
    rng = np.random.default_rng(bits + n)
    kind = np.uint8 if bits <= 255 else np.uint16
    distances = rng.integers(0, bits + 1, (3, n)).astype(kind)
    distances[0], distances[1, :2] = bits, 0
    relevant = rng.random((3, n)) < 0.3
    counts = count_distances(distances, relevant, bits)
    for row in range(3):
        for side, chosen in enumerate((~relevant[row], relevant[row])):
            expected = np.bincount(distances[row][chosen], minlength=bits + 1)
            np.testing.assert_array_equal(counts[row, side], expected)


@pytest.mark.parametrize("n", [0, 1, 2, 999])
def test_counting_values(n):
    values = np.random.default_rng(n).integers(0, 66, n).astype(np.uint8)
    np.testing.assert_array_equal(count_values(values, 66), np.bincount(values, minlength=66))


@pytest.mark.parametrize("top", [1, 7, 299, 300, 400])
@pytest.mark.parametrize("highest", [0, 3, 255])
def test_nearest_is_the_head_of_a_stable_sort(top, highest):
    rng = np.random.default_rng(top)
    distances = rng.integers(0, highest + 1, 300).astype(np.uint8)
    relevant = rng.random(300) < 0.5
    order = np.argsort(distances, kind="stable")[:top]
    near, good = nearest(distances, relevant, top)
    np.testing.assert_array_equal(near, distances[order])
    np.testing.assert_array_equal(good, relevant[order])


def everything(case):
    """Values of every measure under every policy, and its counts."""
    arrays = case.arrays
    yield from (
        mean_average_precision(*arrays, top=top, ties=ties, normaliser=normaliser).per_query
        for top in (1, 30, None)
        for ties, normaliser in (
            ("stable", "hits"),
            ("stable", "relevant"),
            ("expected", "min"),
            ("best", "hits"),
            ("worst", "hits"),
        )
    )
    for ties in ("stable", "expected", "best", "worst"):
        yield precision_curve([1, 9, 200], *arrays, ties=ties).value
    yield precision_within_radius(*arrays, radius=4).per_query
    curve = precision_recall_curve(*arrays)
    yield from (curve.precision, curve.recall)


@pytest.mark.parametrize("items", [1, 7, 64, 199])
def test_chunks_of_the_database_play_no_part(items, problem, monkeypatch):
    case = problem(multi=True)
    whole = list(everything(case))
    monkeypatch.setattr(ranking, "CHUNK_ITEMS", items)
    for one, other in zip(whole, everything(case), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_play_no_part(threads, problem, monkeypatch):
    case = problem()
    whole = list(everything(case))
    monkeypatch.setattr(ranking, "cores", lambda: threads)
    monkeypatch.setattr(ranking, "BLOCK_ENTRIES", 300)
    monkeypatch.setattr(ranking, "AHEAD", 5)
    for one, other in zip(whole, everything(case), strict=True):
        np.testing.assert_array_equal(one, other)


def test_classes_are_as_good_as_multi_hot():
    rng = np.random.default_rng(0)
    codes = [PackedCodes(rng.integers(0, 256, (n, 2), dtype=np.uint8), 16) for n in (9, 300)]
    classes = rng.integers(0, 300, 9), rng.integers(0, 300, 300)
    hot = [as_labels(each, 300) for each in classes]
    expected = mean_average_precision(*codes, *hot)
    assert expected.value > 0
    for labels in (classes, (classes[0], hot[1]), (hot[0], classes[1])):
        found = mean_average_precision(*codes, *labels)
        np.testing.assert_array_equal(found.per_query, expected.per_query)
        assert found.signature == expected.signature


def test_relevance_of_multi_hot_labels_is_a_shared_label():
    rng = np.random.default_rng(1)
    queries, database = rng.random((5, 21)) < 0.2, rng.random((40, 21)) < 0.1
    queries[0], database[0] = False, False
    found = Relevance.between(queries, database).of(slice(1, 4), slice(0, 33))
    expected = (queries[1:4].astype(int) @ database[:33].T.astype(int)) > 0
    np.testing.assert_array_equal(found, expected)
    assert not Relevance.between(queries, database).of(slice(0, 1), slice(0, 40)).any()
