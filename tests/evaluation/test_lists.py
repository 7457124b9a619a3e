import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation import ranking
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.lists import (
    list_overlap,
    list_recall,
    nearest_items,
    source_rank,
    two_stage_items,
)


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(5)
    codes = PackedCodes.from_signs(random.random((68, 10)) < 0.5)
    floats = random.normal(size=(68, 6))
    floats[11] = floats[10]  # equal cosines
    sources = Sources.of(random.integers(12, size=8), random.integers(10, size=60))
    return codes[:8], codes[8:], (floats[:8], floats[8:]), sources


def order_of(queries, database):
    """Database positions by distance, then position, with a sort of Python's own."""
    table = hamming(queries, database).tolist()
    return [sorted(range(len(row)), key=lambda i: (row[i], i)) for row in table]


def test_lists_are_ordered_by_distance_and_position(case):
    queries, database, *_ = case
    expected = [row[:7] for row in order_of(queries, database)]
    assert nearest_items(queries, database, 7).tolist() == expected


@pytest.mark.parametrize("oversample", [1, 3, 100])
def test_two_stages_are_a_short_list_in_the_order_of_cosines(case, oversample):
    queries, database, (asked, held), _ = case
    found = two_stage_items(queries, database, (asked, held), 4, oversample)
    for row, order in enumerate(order_of(queries, database)):
        short = order[: 4 * oversample]

        def cosine(i, row=row):
            a, b = asked[row], held[i]
            return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))

        expected = sorted(short, key=lambda i: (-round(cosine(i), 12), i))[:4]
        assert found[row].tolist() == expected


def test_equal_cosines_come_by_position_and_not_by_distance():
    database = PackedCodes.from_signs(np.array([[0] * 6 + [1] * 2, [0] * 8, [1] * 8]))
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    query = PackedCodes.from_signs(np.zeros((1, 8)))
    found = two_stage_items(query, database, (vectors[:1], vectors), 2, 2)
    assert nearest_items(query, database, 2).tolist() == [[1, 0]]
    assert found.tolist() == [[0, 1]]


def test_recall_overlap_and_rank_are_what_loops_count(case, monkeypatch):
    monkeypatch.setattr(ranking, "CHUNK_ITEMS", 13)
    queries, database, _, sources = case
    orders = order_of(queries, database)
    hits, ranks = [], []
    for row, order in enumerate(orders):
        own = [i for i, s in enumerate(sources.items) if s == sources.queries[row]]
        hits.append(any(i in own for i in order[:5]) if own else np.nan)
        ranks.append(min(order.index(i) for i in own) + 1 if own else np.nan)
    recall = list_recall(nearest_items(queries, database, 5), sources)
    np.testing.assert_array_equal(recall.per_query, np.array(hits, float))
    np.testing.assert_array_equal(source_rank(queries, database, sources).per_query, ranks)
    assert np.isnan(ranks).any()
    assert not np.isnan(ranks).all()
    one, other = np.array([row[:5] for row in orders]), np.array([row[3:8] for row in orders])
    assert list_overlap(one, other).value == pytest.approx(0.4)
    assert list_overlap(one, one[:, ::-1]).value == 1


@pytest.mark.usefixtures("as_for_users")
def test_misuse_is_one_sentence(case):
    queries, database, (asked, held), sources = case
    lists = nearest_items(queries, database, 3)
    with pytest.raises(HashprobeError, match="positions must be 0 to 59; got 60"):
        list_recall(lists + (60 - lists.max()), sources)
    with pytest.raises(HashprobeError, match="for 8 queries"):
        list_recall(lists[:7], sources)
    with pytest.raises(HashprobeError, match="of one length"):
        list_overlap(lists, lists[:, :2])
    bad = held.copy()
    bad[3] = 0
    with pytest.raises(HashprobeError, match="database vector 3 is 0"):
        two_stage_items(queries, database, (asked, bad), 2)
    bad[3] = np.nan
    with pytest.raises(HashprobeError, match="not finite"):
        two_stage_items(queries, database, (asked, bad), 2)
    with pytest.raises(HashprobeError, match="7 query vectors for 8 codes"):
        two_stage_items(queries, database, (asked[:7], held), 2)
    with pytest.raises(HashprobeError, match="6 values, database vectors 5"):
        two_stage_items(queries, database, (asked, held[:, :5]), 2)
    with pytest.raises(HashprobeError, match="oversample must be at least 1"):
        two_stage_items(queries, database, (asked, held), 2, 0)
    with pytest.raises(HashprobeError, match="k must be 1"):
        two_stage_items(queries, database, (asked, held), 61)
    nobody = Sources.alone(8, 60)
    with pytest.raises(HashprobeError, match="no recall"):
        list_recall(lists, nobody)
    with pytest.raises(HashprobeError, match="no rank"):
        source_rank(queries, database, nobody)
