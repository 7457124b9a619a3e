"""A data set as queries, training items and a database."""

import numpy as np
import pytest

from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError


def test_the_checksum_sees_content_labels_order_and_role(build, alternating):
    base = build([1, 2], [3, 4], [5, 6, 7])
    assert build([1, 2], [3, 4], [5, 6, 7]).checksum == base.checksum
    others = [
        build([1, 2], [3, 4], [5, 6, 8]),
        build([2, 1], [3, 4], [5, 6, 7]),
        build([3, 4], [1, 2], [5, 6, 7]),
        build([1, 2], [3, 4], [5, 6, 7], lambda n: ~alternating(n)),
    ]
    assert len({base.checksum, *(other.checksum for other in others)}) == 5
    assert len(base.checksum) == 64


def test_an_empty_split_is_refused(build):
    with pytest.raises(HashprobeError, match="test: the database split is empty"):
        build([1], [2], [])


def test_labels_of_another_width_are_refused(make_split):
    first, second = make_split([1], [[True]]), make_split([2], [[True, False]])
    with pytest.raises(HashprobeError, match="training labels are 1 wide, but there are 2 label"):
        RetrievalData("test", second, first, second, ("a", "b"))


@pytest.mark.parametrize("role", ["query", "training", "database"])
def test_a_split_without_any_label_is_refused(make_split, role):
    splits = {name: make_split([1], [[True]]) for name in ("query", "training", "database")}
    splits[role] = make_split([2], [[False]])
    with pytest.raises(HashprobeError, match=f"no item of the {role} split carries a label"):
        RetrievalData("test", *splits.values(), ("a",))


def test_labels_in_words(build):
    data = build([1], [2], [3])
    assert data.names_of(np.array([True, True])) == "a, b"
    assert data.names_of(np.array([False, False])) == "no label"


def test_a_data_set_is_of_images_or_of_clips(make_clips, make_split):
    clips, images = make_clips([2]), make_split([1], [[1]])
    assert RetrievalData("test", clips, clips, clips, ("a",)).video
    assert not RetrievalData("test", images, images, images, ("a",)).video
    with pytest.raises(HashprobeError, match="test: the database split and the queries must both"):
        RetrievalData("test", clips, clips, images, ("a",))


def test_two_labels_of_one_name_are_refused(make_split):
    split = make_split([1], [[True, False, True]])
    with pytest.raises(HashprobeError, match="test: two labels have the name 'cat'"):
        RetrievalData("test", split, split, split, ("dog", "cat", "cat"))
