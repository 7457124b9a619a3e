import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Bootstrap
from hashprobe.evaluation.measures import mean_average_precision, targeted_mean_average_precision


NORMALISERS = ["hits", "min", "relevant"]
quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
small_lists = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8)
lists = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=60)


QUICK = Bootstrap(resamples=1)


def ap(problem, **options):
    return mean_average_precision(*problem.arrays, bootstrap=QUICK, **options).value


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("top", [None, 1, 7, 50, 199, 200, 1000])
@pytest.mark.parametrize(
    ("bits", "multi"), [(1, False), (12, False), (16, True), (65, False), (256, True)]
)
def test_stable_is_a_loop_over_places(problem, naive, normaliser, top, bits, multi):
    case = problem(bits=bits, multi=multi, noise=0.3)
    found = mean_average_precision(*case.arrays, top=top, normaliser=normaliser, ties="stable")
    expected = []
    for distances, relevant in naive.rows_of(case):
        ranked = naive.stable_order(distances, relevant)
        cut = len(ranked) if top is None else top
        value = naive.average_precision(ranked, sum(relevant), cut, normaliser)
        expected.append(float(value or 0))
    np.testing.assert_allclose(found.per_query, expected, atol=1e-12)
    assert found.value == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("classes", [1, 7, 8, 9, 63, 64, 65, 200])
def test_relevance_is_a_shared_label_however_many_there_are(problem, naive, classes):
    case = problem(q=4, n=60, classes=classes, multi=True)
    found = mean_average_precision(*case.arrays)
    expected = [
        float(naive.average_precision(naive.stable_order(d, r), sum(r), 60, "hits") or 0)
        for d, r in naive.rows_of(case)
    ]
    np.testing.assert_allclose(found.per_query, expected, atol=1e-12)


@given(small_lists, st.integers(1, 9))
@quick
def test_ties_are_what_every_order_gives(fixed, naive, items, top):
    """Against all orders, T inside a group included, in exact fractions."""
    distances, relevant = [d for d, _ in items], [r for _, r in items]
    case, known = fixed(distances, relevant), sum(relevant)
    for normaliser in NORMALISERS:
        values = [
            float(naive.average_precision(ranked, known, top, normaliser) or 0)
            for ranked in naive.every_order(distances, relevant)
        ]
        options = {"top": top, "normaliser": normaliser}
        assert ap(case, ties="best", **options) == pytest.approx(max(values), abs=1e-12)
        assert ap(case, ties="worst", **options) == pytest.approx(min(values), abs=1e-12)
        if normaliser != "hits":
            assert ap(case, ties="expected", **options) == pytest.approx(np.mean(values), abs=1e-12)


@given(small_lists, st.integers(1, 9))
@quick
def test_skip_looks_at_the_orders_with_a_hit(fixed, naive, items, top):
    distances, relevant = [d for d, _ in items], [r for _, r in items]
    case, known = fixed(distances, relevant), sum(relevant)
    ranks = naive.every_order(distances, relevant)
    values = [naive.average_precision(ranked, known, top, "hits") for ranked in ranks]
    values = [float(value) for value in values if value is not None]
    for ties, extreme in (("best", max), ("worst", min)):
        if values:
            found = ap(case, top=top, ties=ties, empty="skip")
            assert found == pytest.approx(extreme(values), abs=1e-12)
        else:
            with pytest.raises(HashprobeError, match="no query is left"):
                ap(case, top=top, ties=ties, empty="skip")


@pytest.mark.parametrize("normaliser", ["min", "relevant"])
@pytest.mark.parametrize("top", [None, 10])
def test_expected_is_the_mean_of_random_orders(problem, normaliser, top):
    case = problem(q=3, n=80, bits=8, noise=0.3)
    options = {"top": top, "normaliser": normaliser, "bootstrap": QUICK}
    draws = [
        mean_average_precision(*case.shuffled(seed).arrays, ties="stable", **options).per_query
        for seed in range(600)
    ]
    exact = mean_average_precision(*case.arrays, ties="expected", **options).per_query
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (error < 0.01).all()
    np.testing.assert_array_less(np.abs(np.mean(draws, axis=0) - exact), 4 * error + 1e-12)


@given(lists, st.integers(1, 70), st.sampled_from(NORMALISERS), st.integers(0, 99))
@quick
def test_worst_and_best_bound_every_order(fixed, items, top, normaliser, seed):
    case = fixed([d for d, _ in items], [r for _, r in items])
    options = {"top": top, "normaliser": normaliser}
    worst, best = (ap(case, ties=ties, **options) for ties in ("worst", "best"))
    values = [ap(c, ties="stable", **options) for c in (case, case.shuffled(seed))]
    if normaliser != "hits":
        values.append(ap(case, ties="expected", **options))
    assert all(worst - 1e-12 <= value <= best + 1e-12 for value in [*values, best])
    assert worst >= -1e-12 and best <= 1 + 1e-12


@given(st.integers(0, 99), st.sampled_from(NORMALISERS), st.sampled_from([None, 1, 20, 90]))
@settings(parent=quick, max_examples=25)
def test_only_stable_depends_on_the_order_of_the_database(problem, seed, normaliser, top):
    case = problem(n=90, bits=8, multi=True, seed=seed)
    for ties in ("expected", "best", "worst"):
        if (normaliser, ties) != ("hits", "expected"):
            options = {"top": top, "normaliser": normaliser, "ties": ties}
            before = mean_average_precision(*case.arrays, **options).per_query
            after = mean_average_precision(*case.shuffled(seed).arrays, **options).per_query
            np.testing.assert_allclose(before, after, atol=1e-12)


def test_stable_follows_the_database_inside_a_tie(fixed):
    assert ap(fixed([1, 1, 1], [True, False, False])) == 1
    assert ap(fixed([1, 1, 1], [False, False, True])) == pytest.approx(1 / 3)


def test_without_ties_every_policy_agrees(fixed):
    case = fixed([0, 2, 3, 5], [True, False, True, False])
    values = {
        ap(case, normaliser="relevant", ties=t) for t in ("stable", "expected", "best", "worst")
    }
    assert max(values) - min(values) < 1e-12
    assert max(values) == pytest.approx((1 + 2 / 3) / 2)


def test_more_hits_at_a_low_precision_are_not_the_best_order_under_hits(fixed):
    """A hit at place 1, then one place left for one relevant item among ten at place 11."""
    case = fixed([0] + [1] * 9 + [2] * 10, [True] + [False] * 9 + [True] + [False] * 9)
    assert ap(case, top=11, ties="best") == 1
    assert ap(case, top=11, ties="worst") == pytest.approx((1 + 2 / 11) / 2)
    assert ap(case, top=11, ties="best", normaliser="min") == pytest.approx((1 + 2 / 11) / 2)


def test_one_lucky_hit_is_perfect_under_hits_alone(fixed):
    case = fixed(range(10), [True] + [False] * 4 + [True] * 5)
    assert ap(case, top=5) == 1
    assert ap(case, top=5, normaliser="min") == pytest.approx(1 / 5)
    assert ap(case, top=5, normaliser="relevant") == pytest.approx(1 / 6)
    assert ap(case, top=3, normaliser="min") == pytest.approx(1 / 3)


def empty_and_full(problem):
    """Query 0 has a hit first, query 1 has none: its label is nowhere in the database."""
    case = problem(q=2, n=50, classes=4)
    case.query_labels = np.array([[True, False, False, False, False], [False] * 4 + [True]])
    case.database_labels = np.pad(case.database_labels, ((0, 0), (0, 1)))
    return case


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("ties", [None, "stable", "best", "worst"])
def test_empty_queries_count_zero_or_not_at_all_or_stop(problem, normaliser, ties):
    case = empty_and_full(problem)
    options = {"normaliser": normaliser, "ties": ties}
    zero = mean_average_precision(*case.arrays, **options)
    skip = mean_average_precision(*case.arrays, empty="skip", **options)
    assert zero.per_query[1] == 0 and zero.per_query[0] > 0
    assert zero.value == pytest.approx(zero.per_query[0] / 2)
    assert np.isnan(skip.per_query[1])
    assert skip.value == zero.per_query[0]
    assert skip.low is None
    reason = "no hit in the top 50" if normaliser == "hits" else "no relevant item"
    with pytest.raises(HashprobeError, match=f"{reason}.* 1 queries, the first is query 1"):
        mean_average_precision(*case.arrays, empty="error", **options)


def test_a_query_whose_hits_lie_beyond_the_list_is_empty_under_hits_alone(fixed):
    case = fixed([0, 0, 5], [False, False, True])
    with pytest.raises(HashprobeError, match="no hit in the top 2"):
        ap(case, top=2, empty="error")
    for normaliser in ("min", "relevant"):
        assert ap(case, top=2, normaliser=normaliser, empty="error") == 0


def test_all_queries_skipped_is_an_error(problem):
    case = empty_and_full(problem)
    with pytest.raises(HashprobeError, match=r"no query is left to average in MAP@all\|norm:hits"):
        mean_average_precision(
            case.query_codes[1:],
            case.database_codes,
            case.query_labels[1:],
            case.database_labels,
            empty="skip",
        )


def test_targeted_is_the_same_with_the_targets_labels(problem):
    case = problem()
    targets = np.roll(case.query_labels, 1, axis=1)
    codes = case.query_codes, case.database_codes
    plain = mean_average_precision(*codes, targets, case.database_labels, top=20)
    found = targeted_mean_average_precision(
        *codes, targets, case.database_labels, top=20, rounding="uint8"
    )
    np.testing.assert_array_equal(found.per_query, plain.per_query)
    assert plain.signature == (
        "MAP@20|norm:hits|ties:stable|empty:zero|rel:any|q:12|db:200|bits:16|ci:gaffke|v:0.1"
    )
    assert found.signature == (
        "tMAP@20|norm:hits|ties:stable|empty:zero|rel:any|q:12|db:200|bits:16|round:uint8|ci:gaffke|v:0.1"
    )


@pytest.mark.parametrize(
    ("normaliser", "ties"), [("hits", "stable"), ("min", "expected"), ("relevant", "expected")]
)
def test_each_normaliser_has_its_default_order(problem, normaliser, ties):
    signature = mean_average_precision(*problem().arrays, normaliser=normaliser).signature
    assert signature.startswith(f"MAP@all|norm:{normaliser}|ties:{ties}|empty:zero|")


def test_expected_is_not_offered_under_hits(problem):
    with pytest.raises(HashprobeError, match=r"hits the top T holds depends on.*best and worst"):
        mean_average_precision(*problem().arrays, ties="expected")


def test_values_do_not_depend_on_the_block(problem, monkeypatch):
    case = problem(q=30)
    options = [
        {"normaliser": n, "ties": t, "top": 40}
        for n, t in itertools.product(NORMALISERS, ["stable", "expected", "best", "worst"])
        if (n, t) != ("hits", "expected")
    ]
    whole = [mean_average_precision(*case.arrays, **o).per_query for o in options]
    monkeypatch.setattr("hashprobe.evaluation.ranking.BLOCK_ENTRIES", 7 * 200)
    parts = [mean_average_precision(*case.arrays, **o).per_query for o in options]
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize(("top", "name"), [(None, "all"), (199, "199"), (200, "all"), (999, "all")])
def test_a_list_as_long_as_the_database_is_called_all(problem, top, name):
    found = mean_average_precision(*problem().arrays, top=top, bootstrap=QUICK)
    assert found.signature.startswith(f"MAP@{name}|")


def test_hits_map_on_a_ranking_made_by_hand():
    """Five items at distances 1, 0, 1, 2, 1: the stable order is item 1, then 0, 2, 4, then 3.

    The first query's label is on items 0, 3 and 4: hits at ranks 2, 4 and 5, so its AP over the
    whole list is (1/2 + 2/4 + 3/5) / 3, and over the first four (1/2 + 2/4) / 2. No item carries
    the second query's label: it counts 0, or nothing where such queries are skipped.
    """
    bits = np.zeros((5, 8), bool)
    bits[0, 0] = bits[2, 1] = bits[4, 2] = True
    bits[3, :2] = True
    database, queries = PackedCodes.from_signs(bits), PackedCodes.from_signs(np.zeros((2, 8), bool))
    labels = np.array([[1, 0], [0, 1], [0, 1], [1, 0], [1, 0]], bool)
    labels = np.hstack([labels, np.zeros((5, 1), bool)])
    asked = np.array([[1, 0, 0], [0, 0, 1]], bool)

    def values(top, empty="zero"):
        return mean_average_precision(queries, database, asked, labels, top=top, empty=empty)

    whole, four = (1 / 2 + 2 / 4 + 3 / 5) / 3, (1 / 2 + 2 / 4) / 2
    assert values(None).per_query == pytest.approx([whole, 0])
    assert values(4).per_query == pytest.approx([four, 0])
    assert values(4).value == pytest.approx(four / 2)
    assert values(4, "skip").value == pytest.approx(four)
    assert values(1).value == 0
