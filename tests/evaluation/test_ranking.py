"""Counts by distance and hits in order against loops; neither blocks nor threads change them."""

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation import pair_kernels, ranking
from hashprobe.evaluation.curves import (
    precision_curve,
    precision_recall_curve,
    precision_within_radius,
)
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.evaluation.ranking import Counts, Ranking, Ties, check_choice, hits_within


BITS = [1, 7, 12, 16, 31, 65]


def in_two_blocks(work, queries):
    """What some work gives for the first five queries and for the rest, joined."""
    parts = [work(slice(0, 5)), work(slice(5, queries))]
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


@pytest.mark.parametrize("bits", BITS)
def test_counts_are_those_of_a_loop(problem, naive, bits):
    case = problem(bits=bits, n=90, multi=True)
    ranked = Ranking(*case.arrays)

    def count(rows):
        counts = ranked.counts(rows)
        return counts.total, counts.relevant

    total, relevant = in_two_blocks(count, len(case.query_codes))
    for query, (distances, good) in enumerate(naive.rows_of(case)):
        assert total[query].tolist() == [distances.count(d) for d in range(bits + 1)]
        hits = [d for d, g in zip(distances, good, strict=True) if g]
        assert relevant[query].tolist() == [hits.count(d) for d in range(bits + 1)]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("top", [1, 40, 90])
def test_the_first_hits_are_in_search_order(problem, naive, bits, top):
    case = problem(bits=bits, n=90)
    ranked = Ranking(*case.arrays)
    hits, known = in_two_blocks(lambda rows: ranked.first_hits(rows, top), len(case.query_codes))
    for query, (distances, good) in enumerate(naive.rows_of(case)):
        assert hits[query].tolist() == naive.stable_order(distances, good)[:top]
        assert known[query] == sum(good)


@pytest.mark.parametrize("ties", ["stable", "expected", "best", "worst"])
def test_hits_within_a_list_are_what_every_order_gives(fixed, naive, ties):
    distances, relevant = [0, 1, 1, 1, 2, 2], [False, True, False, True, True, False]
    found = Ranking(*fixed(distances, relevant).arrays)
    tops = np.array([1, 2, 3, 4, 5, 6])
    orders = [np.cumsum(order) for order in naive.every_order(distances, relevant)]
    expected = {
        "stable": np.cumsum(naive.stable_order(distances, relevant)),
        "expected": np.mean(orders, axis=0),
        "best": np.max(orders, axis=0),
        "worst": np.min(orders, axis=0),
    }
    np.testing.assert_allclose(hits_within(found, slice(0, 1), tops, ties)[0], expected[ties])


def test_groups_that_the_list_cuts_are_cut():
    counts = Counts(np.array([[1, 3, 2]]), np.array([[1, 2, 0]]))
    assert counts.nearer(counts.total).tolist() == [[0, 1, 4]]
    assert counts.within(3).tolist() == [[1, 2, 0]]
    assert counts.within(6).tolist() == [[1, 3, 2]]


def test_an_unknown_choice_is_refused_with_the_known_ones():
    check_choice("ties", "best", Ties)
    with pytest.raises(HashprobeError, match="one of stable, expected, best, worst; got 'luck'"):
        check_choice("ties", "luck", Ties)


def test_arrays_that_do_not_fit_each_other_are_refused(problem):
    case = problem()
    queries, database, query_labels, labels = case.arrays
    for arrays, words in [
        ((queries, database[:0], query_labels, labels[:0]), "database is empty"),
        ((queries[:0], database, query_labels[:0], labels), "no queries"),
        ((queries, database, query_labels[:3], labels), "3 query labels for 12 query codes"),
        ((queries, database, query_labels, labels[:9]), "9 database labels for 200 database"),
        ((queries, database, query_labels[:, :4], labels), "have 4 classes, database labels 5"),
        ((PackedCodes(queries.data[:, :1], 8), *case.arrays[1:]), "8 and 16 bits"),
    ]:
        with pytest.raises(HashprobeError, match=words):
            Ranking(*arrays)
    with pytest.raises(HashprobeError, match="3 target labels for 12 query codes"):
        Ranking(queries, database, query_labels[:3], labels, "target")


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


@pytest.mark.parametrize("bits", [7, 65, 520])
@pytest.mark.parametrize("kind", ["classes", "multi", "without voters"])
def test_machine_code_counts_what_numpy_counts(bits, kind):
    """Several blocks of items, lists that end in a tie, and lists that end before T."""
    rng = np.random.default_rng(bits)
    n, q, classes = 2 * pair_kernels.BLOCK + 3, 5, 300 if bits == 65 else 12
    centre = rng.integers(0, 2, bits)
    signs = [(rng.random((count, bits)) < 0.2) ^ centre for count in (q, n)]
    codes = [PackedCodes.from_signs(np.where(s, 1, -1)) for s in signs]
    labels = [rng.integers(0, classes, count) for count in (q, n)]
    if kind == "multi":
        labels = [rng.random((count, classes)) < 0.1 for count in (q, n)]
    exclusion = None
    if kind == "without voters":
        voters = rng.integers(-1, n, (q, 9))
        voters[0, :2] = voters[0, 2]
        voters[1, 0] = 0
        exclusion = Exclusion(voters=voters)
    ranked = Ranking(*codes, *labels, exclusion=exclusion)
    for rows in (slice(0, 2), slice(2, q)):
        slow, fast = ranked.counts(rows), ranked.fast_counts(rows)
        np.testing.assert_array_equal(fast.total, slow.total)
        np.testing.assert_array_equal(fast.relevant, slow.relevant)
        for top in (1, 500, n):
            for ours, theirs in zip(
                ranked.fast_first_hits(rows, top), ranked.first_hits(rows, top), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


def test_machine_code_is_taken_for_many_pairs_alone(problem, monkeypatch):
    case = problem(bits=16, n=90)
    assert not Ranking(*case.arrays).fast
    monkeypatch.setattr(ranking, "MANY_PAIRS", 90)
    fast = Ranking(*case.arrays)
    assert fast.fast
    counts = [counts.total.sum() for _, counts in fast.each(fast.counts, counted=True)]
    assert sum(counts) == fast.pairs
    monkeypatch.setattr(ranking, "kernels", lambda: None)
    assert not Ranking(*case.arrays).fast
