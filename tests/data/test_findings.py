"""What the checks on loading report; each of these has been wrong in released code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashprobe.data.findings import class_order
from hashprobe.data.retrieval import RetrievalData, one_hot


def test_clean_data_have_no_findings(build):
    assert build([1, 2], [3, 4], [5, 6, 7, 8]).findings == ()


def test_queries_in_the_database_are_reported(build):
    (found,) = build([1, 2, 3], [4, 5], [6, 3, 7, 2]).findings
    assert (found.kind, found.count, found.examples, found.harmless) == (
        "overlap",
        2,
        ("q/1", "q/2"),
        False,
    )
    assert str(found) == "2 of 3 query items stand in the database split too, for example q/1"


def test_queries_among_the_training_items_are_reported(build):
    (found,) = build([1, 2], [4, 1], [6, 7, 8]).findings
    assert str(found) == "1 of 2 query items stand in the training split too, for example q/0"
    assert not found.harmless


def test_training_items_in_the_database_are_part_of_the_protocol(build):
    (found,) = build([1, 2], [3, 4], [4, 5, 3, 6]).findings
    assert found.harmless
    assert str(found) == (
        "all 2 training items are in the database, too (retrieval protocols have it so; MAP then "
        "counts items that the network has seen), for example t/0"
    )


def test_duplicates_are_counted_in_each_split(build):
    found = build([1, 1], [2, 3], [5, 5, 6, 5, 6]).findings
    assert [(f.kind, f.count) for f in found] == [("duplicates", 1), ("duplicates", 3)]
    assert "query" in str(found[0])
    assert str(found[1]) == "3 database items repeat the content of another, for example d/0"


def test_items_without_labels_are_reported_with_their_names(build, alternating):
    def labels(n):
        rows = alternating(n)
        rows[1] = False
        return rows

    found = build([1, 2], [3, 4], [5, 6, 7, 8], labels).findings
    assert [str(f) for f in found] == [
        "1 query items carry no label, for example q/1",
        "1 training items carry no label, for example t/1",
        "1 database items carry no label, for example d/1",
    ]


def test_a_database_ordered_by_class_is_reported(build):
    found = build([1, 2], [3], range(10, 50), lambda n: one_hot(np.arange(n) * 2 // n, 2)).findings
    (order,) = [f for f in found if f.kind == "order"]
    assert order.count == 40
    assert "ordered by class (97% of neighbours share their label)" in str(order)


@pytest.mark.parametrize(("classes", "each"), [(2, 10), (3, 4), (10, 5), (100, 13), (10, 1000)])
def test_order_is_seen_whatever_the_sizes(classes, each):
    kinds = np.repeat(np.arange(classes), each)
    assert class_order(one_hot(kinds, classes)).count == classes * each
    # A few strays do not hide it.
    if len(kinds) >= 50:
        kinds[[0, -1]] = kinds[[-1, 0]]
        assert class_order(one_hot(kinds, classes)).count == classes * each


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(3, 400), st.integers(0, 10**6))
def test_random_order_is_not_reported(classes, n, seed):
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.ones(classes))
    kinds = rng.choice(classes, size=n, p=share)
    # Tiny sets can come out sorted by chance.
    if n >= 30:
        assert class_order(one_hot(kinds, classes)).count == 0


def test_order_counts_label_vectors_of_several_labels():
    labels = np.repeat(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=bool), 20, axis=0)
    assert class_order(labels).count == 60
    assert class_order(labels[np.random.default_rng(0).permutation(60)]).count == 0


def test_sizes_other_than_the_protocols_are_reported(build):
    base = build([1, 2], [3, 4], [5, 6, 7])
    splits = (base.query, base.train, base.database)
    expected = {"query": 1_002, "training": 2, "database": 1}
    sized = RetrievalData("test", *splits, ("a", "b"), sizes=expected)
    found = [f for f in sized.findings if f.kind == "sizes"]
    assert [(str(f), f.count, f.harmless) for f in found] == [
        ("the query split has 2 items where the protocol has 1,002", 1_000, False),
        ("the database split has 3 items where the protocol has 1", 2, False),
    ]
    assert sized.checksum == base.checksum
    assert base.findings == ()
