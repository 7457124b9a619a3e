import numpy as np
import pytest

from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.evaluation.relevance import Relevance, check_labels


def test_classes_and_multi_hot_labels_give_the_same_numbers():
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


def test_items_that_share_a_label_are_relevant():
    rng = np.random.default_rng(1)
    queries, database = rng.random((5, 21)) < 0.2, rng.random((40, 21)) < 0.1
    queries[0], database[0] = False, False
    found = Relevance.between(queries, database).of(slice(1, 4), slice(0, 33))
    expected = (queries[1:4].astype(int) @ database[:33].T.astype(int)) > 0
    np.testing.assert_array_equal(found, expected)
    assert not Relevance.between(queries, database).of(slice(0, 1), slice(0, 40)).any()


def test_class_numbers_may_be_large():
    found = Relevance.between(np.array([2**40, 1]), np.array([1, 2**40, 3]))
    assert found.of(slice(0, 2), slice(0, 3)).tolist() == [
        [False, True, False],
        [True, False, False],
    ]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(9), r"multi-hot bool .*got float64 of shape \(9,\): .*as_labels"),
        (np.zeros((9, 0), dtype=bool), "multi-hot bool"),
        (np.arange(9) - 2, "database labels must not be negative; got -2"),
        (np.arange(8), "8 database labels for 9 database codes"),
    ],
)
def test_labels_that_are_not_one_for_each_code_are_refused(labels, words):
    codes = PackedCodes.from_signs(np.ones((9, 12)))
    with pytest.raises(HashprobeError, match=words):
        check_labels(labels, codes, "database", "database")
