import numpy as np
import pytest

from hashprobe.attacks.search import Answer, Reading, Search
from hashprobe.codes.index.base import exact_search
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


DATABASE = PackedCodes.from_signs(np.random.default_rng(0).random((30, 16)) < 0.5)
QUERIES = PackedCodes.from_signs(np.random.default_rng(1).random((4, 16)) < 0.5)


def test_answers_are_exact_lists():
    search = Search(DATABASE, np.full((4, 1), -1), 4, top=7)
    distances, positions = exact_search(DATABASE, QUERIES, 7)
    answer = search.answer(QUERIES)
    np.testing.assert_array_equal(answer.positions, positions)
    np.testing.assert_array_equal(answer.distances, distances)
    cut = Search(DATABASE, np.full((4, 1), -1), 4, top=7, only_matches=True).answer(QUERIES)
    np.testing.assert_array_equal(cut.positions, np.where(distances <= 4, positions, -1))
    assert Search(DATABASE, np.full((1, 1), -1), 4, top=99).answer(QUERIES).positions.shape[1] == 30


LIST = Answer(np.array([[5, 7, 9]]), np.array([[2, 4, 6]]))


@pytest.mark.parametrize(
    ("items", "radius", "wish", "score", "there"),
    [
        ([[7, 9]], 3, "leave", 4, True),  # the nearest of its items lies beyond the radius
        ([[7, 9]], 4, "leave", 4, False),
        ([[8, -1]], 4, "leave", 7, True),  # not in the list: farther than all that are
        ([[-1, -1]], 1, "leave", 2, True),  # all items
        ([[-1, -1]], 2, "leave", 2, False),
        ([[9, 7]], 4, "enter", -4, True),
        ([[9, 7]], 3, "enter", -4, False),
        ([[8, -1]], 9, "enter", -7, False),
    ],
)
def test_distances_are_read(items, radius, wish, score, there):
    reading = Reading(Search(DATABASE, np.array(items), radius % 17, wish))
    found, done = reading.of([0], LIST)
    assert (found[0], bool(done[0])) == (score, there)


def test_ids_alone_are_read_by_place_and_then_by_overlap():
    ids = Answer(LIST.positions, None)

    def read(item, wish, known, answer=ids, **more):
        search = Search(DATABASE, np.array([[item]]), 3, wish, **more)
        found, done = Reading(search, np.array([known])).of([0], answer)
        return found[0], bool(done[0])

    same, gone = read(7, "leave", [5, 7, 9])[0], read(7, "leave", [1, 2, 3])[0]
    assert 1 <= same < gone < 2 + 1e-9
    assert read(7, "leave", [5, 7, 9])[1] is False
    assert read(8, "leave", [5, 7, 9]) == (pytest.approx(3 + 1 - 3 / 4), True)
    near, far = read(7, "enter", [5, 7, 9])[0], read(7, "enter", [1, 2, 3])[0]
    assert -2 <= far < near < -1
    assert read(5, "enter", [5, 7, 9])[1] is True
    assert read(9, "enter", [5, 7, 9])[1] is False
    matches = Answer(np.array([[5, 7, -1]]), None)
    assert read(7, "leave", [5, 7, 9], matches, only_matches=True)[1] is False
    assert read(9, "leave", [5, 7, 9], matches, only_matches=True)[1] is True
    assert read(7, "enter", [5, 7, 9], matches, only_matches=True)[1] is True


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"items": np.array([[30]])}, "positions must be -1 to 29; got 30"),
        ({"items": np.array([[-2]])}, "positions must be -1 to 29; got -2"),
        ({"radius": 17}, "radius must be 0 to the bits, 16; got 17"),
        ({"top": 0}, "top must be at least 1"),
        ({"database": PackedCodes.empty(16)}, "the database is empty"),
        ({"wish": "enter", "items": np.array([[1], [-1]])}, "query 1 has no item to enter"),
        ({"wish": "stay"}, "wish must be leave or enter"),
    ],
)
def test_misuse_is_one_sentence(given, words):
    whole = {"database": DATABASE, "items": np.array([[1]]), "radius": 3}
    with pytest.raises(HashprobeError, match=words):
        Search(**{**whole, **given})
