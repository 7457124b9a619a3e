import numpy as np
import pytest
import torch

from hashprobe.attacks.oracle import Oracle
from hashprobe.attacks.search import Search
from hashprobe.codes.packed import hamming
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.victims.encoding import encode


@pytest.fixture
def pictures():
    chance = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=chance)


def test_answers_are_those_of_judged_codes(conv, pictures):
    victim = conv()
    database = encode(victim, Queries(pictures.flip(-1).float() / 255))
    codes = encode(victim, Queries(pictures.float() / 255))
    oracle = Oracle(victim, Search(database, np.zeros((5, 1), int), 3), most=2, batch_size=2)
    answer = oracle.ask([4, 0, 2], pictures[[4, 0, 2]])
    wanted = np.sort(hamming(codes[np.array([4, 0, 2])], database), axis=1)
    np.testing.assert_array_equal(answer.distances, wanted)
    assert oracle.asked.tolist() == [1, 0, 1, 0, 1]


def test_a_code_is_compared_bit_by_bit_and_zeros_do_not_count(conv, pictures):
    victim = conv()
    targets = np.random.default_rng(0).integers(-1, 2, (5, 16)).astype(np.int8)
    signs = encode(victim, Queries(pictures.float() / 255)).signs()
    answer = Oracle(victim, targets, most=1).ask([0, 1, 2, 3, 4], pictures)
    naive = [sum(t != 0 and t != s for t, s in zip(*rows, strict=True))
             for rows in zip(targets, signs, strict=True)]  # fmt: skip
    assert answer.distances[:, 0].tolist() == naive


def test_no_query_asks_once_too_often(conv, pictures):
    oracle = Oracle(conv(), np.ones((5, 16), np.int8), most=1)
    oracle.ask([1, 3], pictures[:2])
    with pytest.raises(HashprobeError, match="query 3 may ask 1 times"):
        oracle.ask([0, 3], pictures[:2])
    assert oracle.asked.tolist() == [0, 1, 0, 1, 0]  # a refused call counts for nobody
    with pytest.raises(HashprobeError, match="query 0 may ask"):
        oracle.ask([0, 0], pictures[:2])
    with pytest.raises(HashprobeError, match="no database"):
        oracle.ask_items([0])


def test_ids_alone_need_a_database(conv):
    with pytest.raises(HashprobeError, match="lists of ids, which need a database"):
        Oracle(conv(), np.ones((5, 16), np.int8), most=1, distances=False)
    with pytest.raises(HashprobeError, match="codes of 24 bits, the victim 16"):
        Oracle(conv(), np.ones((5, 24), np.int8), most=1)


def test_an_item_is_asked_for_a_query(conv, pictures):
    victim = conv()
    database = encode(victim, Queries(pictures.float() / 255))
    search = Search(database, np.array([[-1, 3], [2, 0]]), 3, top=5)
    oracle = Oracle(victim, search, most=1, distances=False)
    answer = oracle.ask_items([0, 1])
    assert answer.distances is None
    wanted = search.answer(database[np.array([3, 2])]).positions
    np.testing.assert_array_equal(answer.positions, wanted)
    assert oracle.asked.tolist() == [1, 1]
