import numpy as np
import pytest
import torch

from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


SIGNS = np.array([[1, -1, 1], [-1, -1, 1]])
PACKED = PackedCodes.from_signs(SIGNS)


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (PACKED, None),
        (PACKED, 3),
        (PACKED.data, 3),
        (SIGNS, None),
        (SIGNS.tolist(), None),
        (torch.from_numpy(SIGNS), None),
    ],
)
@pytest.mark.parametrize("labels", [[0, 2], np.eye(3)[[0, 2]], torch.tensor([0, 2])])
def test_codes_and_labels_are_read_in_every_form(values, bits, labels):
    codes = Codes.of(values, labels, bits=bits)
    assert codes.packed == PACKED
    assert (len(codes), codes.bits) == (2, 3)
    np.testing.assert_array_equal(codes.labels, np.eye(3, dtype=bool)[[0, 2]])


class FromFiles:
    """Pixels in files: they have a shape, and rows are read when asked for."""

    shape = (2, 3, 4, 4)


def test_pictures_may_lie_in_files():
    assert Codes(PACKED, pictures=FromFiles()).pictures.shape == (2, 3, 4, 4)


def test_labels_and_pictures_may_be_unknown():
    assert repr(Codes(PACKED)) == "Codes(2 x 3 bits, no labels)"
    assert Codes.of(PACKED, pictures=np.zeros((2, 3, 4, 4))).pictures.shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"labels": [0, 1, 2]}, "3 labels for 2 codes"),
        ({"labels": [0, -1]}, "not be negative"),
        ({"pictures": np.zeros((1, 3, 4, 4))}, "1 pictures for 2 codes"),
        ({"bits": 4}, "3 bits; asked for were 4"),
    ],
)
def test_what_does_not_fit_the_codes_is_refused(given, words):
    with pytest.raises(HashprobeError, match=words):
        Codes.of(PACKED, **given)


def test_the_constructor_takes_multi_hot_labels_alone(as_for_users):
    with pytest.raises(HashprobeError, match=r"array of bool, \(N, C\).*got .*int64.*as_labels"):
        Codes(PACKED, np.array([0, 1]))


@pytest.mark.parametrize("labels", [np.zeros(2, "m8[s]"), np.zeros(2, complex), np.zeros(2, "V2")])
def test_labels_of_other_kinds_are_refused(labels):
    with pytest.raises(HashprobeError, match="labels must be integers"):
        Codes.of(SIGNS, labels)
    with pytest.raises(HashprobeError, match="labels must be bool or 0/1"):
        Codes.of(SIGNS, labels[:, None].repeat(2, 1))


@pytest.mark.parametrize("database", [None, SIGNS, PACKED, [1]])
def test_what_is_no_database_is_named(database):
    with pytest.raises(HashprobeError, match=f"must be Codes, .*; got {type(database).__name__}"):
        labels_of(database)
