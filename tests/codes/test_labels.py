import numpy as np
import pytest
import torch

from hashprobe.codes.labels import as_labels, check_classes
from hashprobe.errors import HashprobeError


EYE = np.eye(3, dtype=bool)


@pytest.mark.parametrize(
    "values",
    [[2, 0], np.array([2, 0]), np.array([2, 0], np.uint8), torch.tensor([2, 0])],
    ids=["list", "int64", "uint8", "tensor"],
)
def test_classes_become_multi_hot(values):
    np.testing.assert_array_equal(as_labels(values), EYE[[2, 0]])
    assert as_labels(values, 5).shape == (2, 5)


@pytest.mark.parametrize(
    "values",
    [[[1], [0], [1]], np.array([[1], [0], [1]], np.uint8), torch.tensor([[1], [0], [1]])],
    ids=["list", "uint8", "tensor"],
)
def test_one_column_of_integers_holds_classes(values):
    expected = as_labels([1, 0, 1])
    np.testing.assert_array_equal(as_labels(values), expected)
    np.testing.assert_array_equal(as_labels(values, 2), expected)


def test_one_column_of_bool_is_one_label_that_an_item_has_or_not():
    np.testing.assert_array_equal(as_labels([[True], [False]]), [[True], [False]])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
def test_multi_hot_labels_become_bool(dtype):
    found = as_labels(EYE.astype(dtype), 3)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, EYE)


def test_multi_hot_labels_may_be_a_tensor_or_a_list():
    np.testing.assert_array_equal(as_labels(torch.eye(3)), EYE)
    np.testing.assert_array_equal(as_labels(EYE.tolist()), EYE)


def test_no_items_have_no_labels():
    assert as_labels(np.zeros(0, np.int64)).shape == (0, 1)
    assert as_labels(np.zeros((0, 4), bool)).shape == (0, 4)


@pytest.mark.parametrize(
    ("values", "classes", "words"),
    [
        (np.array([0, -2]), None, "not be negative; got -2 at item 1"),
        (np.array([0, 3]), 3, "label 3 of item 1 is not below 3"),
        (np.array([0.5]), None, "got float64"),
        (np.zeros((2, 2, 2)), None, r"got float64 of shape \(2, 2, 2\)"),
        (np.array([[0, 2]]), None, "bool or 0/1"),
        (np.eye(3), 4, "4 classes; got 3"),
        (np.array([["a"]]), None, r"integers \(N,\)"),
        (np.array([["a", "b"]]), None, "bool or 0/1"),
        (np.array([[0, 1], [-1, 1]]), None, "got -1 at item 1, label 0"),
        (np.array([[0.0], [1.0]]), None, r"shape \(2, 1\) must be integers .* got float64"),
        (np.array([[0.0], [np.nan]]), None, "item 1 has no label"),
        (np.array([0.0, 1.0, np.nan]), None, "item 2 has no label"),
        ([0, None, 1], None, "item 1 has no label"),
        ([[0], [1, 2]], None, "rows have different lengths"),
        (np.array([[0], [-3]]), None, "not be negative; got -3 at item 1"),
        (np.array([[0], [3]]), 3, "label 3 of item 1 is not below 3"),
        (np.array([[0, np.nan]]), None, "got nan at item 0, label 1"),
        (["cat", "dog"], None, r"integers \(N,\)"),
    ],
)
def test_labels_in_another_form_are_refused(values, classes, words):
    with pytest.raises(HashprobeError, match=words):
        as_labels(values, classes)


def test_class_numbers_may_be_large():
    check_classes(np.array([0, 2**40]))
    with pytest.raises(HashprobeError, match="negative"):
        check_classes(np.array([0, -1]))
