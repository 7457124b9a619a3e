import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashprobe.attacks.targets import (
    anchor_code,
    draw_target_codes,
    draw_target_labels,
    vote,
)
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


ALL_CODES = np.array(list(itertools.product([-1, 1], repeat=10)), np.int8)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_theorem_1_by_brute_force(n, seed):
    """No code of 10 bits has a smaller sum of Hamming distances than the vote."""
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (n, 10))
    sums = (ALL_CODES[:, None] != signs[None]).sum((1, 2))
    won = vote(signs)
    assert set(np.unique(won)) <= {-1, 1}
    assert (won != signs).sum() == sums.min()
    # Of the codes that are as good, the vote is the one with most +1: ties are +1.
    best = ALL_CODES[sums == sums.min()]
    assert (won == best.max(0)).all()


def test_vote_by_counting():
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (3, 4, 16))
    plus, zero = vote(signs), vote(signs, tie="zero")
    ties = 0
    for q, k in itertools.product(range(3), range(16)):
        up = sum(signs[q, i, k] == 1 for i in range(4))
        assert plus[q, k] == (1 if up >= 2 else -1)
        assert zero[q, k] == (0 if up == 2 else plus[q, k])
        ties += up == 2
    assert ties > 5
    assert (anchor_code(PackedCodes.from_signs(signs[1])) == plus[1]).all()
    assert (anchor_code(PackedCodes.from_signs(signs[1]), tie="zero") == zero[1]).all()


def test_vote_refuses():
    with pytest.raises(HashprobeError, match="no codes to vote"):
        vote(np.ones((0, 8), np.int8))


@pytest.fixture
def multi_label():
    """60 items: {0} x 20, {0, 1} x 15, {1} x 12, {2} x 8, none x 5, in a mixed order."""
    kinds = (
        [(1, 0, 0)] * 20 + [(1, 1, 0)] * 15 + [(0, 1, 0)] * 12 + [(0, 0, 1)] * 8 + [(0, 0, 0)] * 5
    )
    return np.random.default_rng(7).permutation(np.array(kinds, bool))


def draw_many(database, label, n=3000, **options):
    queries = np.repeat(np.array([label], bool), n, axis=0)
    drawn = draw_target_labels(queries, database, **options)
    kinds, counts = np.unique(drawn, axis=0, return_counts=True)
    return {tuple(map(int, kind)): count / n for kind, count in zip(kinds, counts, strict=True)}


def test_labels_are_uniform_over_vectors_not_items(multi_label):
    shares = draw_many(multi_label, (1, 0, 0), minimum=8)
    assert set(shares) == {(1, 1, 0), (0, 1, 0), (0, 0, 1)}  # shared labels are allowed
    assert all(abs(share - 1 / 3) < 0.04 for share in shares.values())


def test_label_pool_disjoint_and_minimum(multi_label):
    assert set(draw_many(multi_label, (1, 0, 0), minimum=8, pool="disjoint")) == {
        (0, 1, 0),
        (0, 0, 1),
    }
    assert set(draw_many(multi_label, (1, 0, 0), minimum=9)) == {(1, 1, 0), (0, 1, 0)}
    # Five items carry no label at all: that is no target.
    assert set(draw_many(multi_label, (0, 0, 1), minimum=1)) == {(1, 0, 0), (1, 1, 0), (0, 1, 0)}


def test_label_draw_ignores_batch_order_and_database_order(multi_label):
    queries = multi_label[:20]
    ids = list(range(100, 120))
    whole = draw_target_labels(queries, multi_label, minimum=8, seed=3, query_ids=ids)
    for row in (0, 7, 19):
        alone = draw_target_labels(
            queries[row : row + 1], multi_label, minimum=8, seed=3, query_ids=ids[row : row + 1]
        )
        assert (alone[0] == whole[row]).all()
    back = draw_target_labels(
        queries[::-1], multi_label[::-1], minimum=8, seed=3, query_ids=ids[::-1]
    )
    assert (back[::-1] == whole).all()
    other = draw_target_labels(queries, multi_label, minimum=8, seed=4, query_ids=np.array(ids))
    assert (other != whole).any()


def test_fixed_target_label(multi_label):
    queries = multi_label[:4]
    drawn = draw_target_labels(queries, multi_label, target=2, minimum=8)
    assert (drawn == np.array([False, False, True])).all() and drawn.shape == (4, 3)
    with pytest.raises(HashprobeError, match=r"^unknown target label 3: labels run from 0 to 2$"):
        draw_target_labels(queries, multi_label, target=3)
    with pytest.raises(HashprobeError, match="n_t is 9 but only 8 database items carry exactly"):
        draw_target_labels(queries, multi_label, target=2)


def test_label_errors(multi_label, as_for_users):
    query = np.array([[True, True, False]])
    said = r"no target label for query 5: .* 9 items or more .*; lower n_t, and minimum .* to 8$"
    with pytest.raises(HashprobeError, match=said):
        draw_target_labels(query, multi_label, pool="disjoint", query_ids=[5])
    with pytest.raises(HashprobeError, match="the database is empty"):
        draw_target_labels(query, np.zeros((0, 3), bool))
    with pytest.raises(HashprobeError, match="queries have 3 classes but the database has 4"):
        draw_target_labels(query, np.ones((2, 4), bool))


@pytest.fixture
def database_codes():
    signs = np.random.default_rng(1).choice(np.array([-1, 1], np.int8), (60, 16))
    return PackedCodes.from_signs(signs)


def test_codes_are_the_vote_of_members_with_exactly_the_label(multi_label, database_codes):
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]], bool)
    drawn = draw_target_codes(database_codes, multi_label, targets, n_t=7, seed=2)
    signs = database_codes.signs()
    for label, code, members in zip(drawn.labels, drawn.codes, drawn.members, strict=True):
        assert len(set(members)) == 7
        assert (multi_label[members] == label).all()
        assert (code == vote(signs[members])).all()
    assert set(drawn.members[2]) != set(drawn.members[3])  # same label, another query


def test_p2p_takes_the_first_of_the_nine(multi_label, database_codes):
    targets = np.repeat([[True, False, False]], 5, axis=0)
    nine, one, all20 = (
        draw_target_codes(database_codes, multi_label, targets, n_t=n_t, seed=6)
        for n_t in (9, 1, 20)
    )
    assert (nine.members[:, :1] == one.members).all()
    assert (all20.members[:, :9] == nine.members).all()
    assert (one.codes == database_codes.signs()[one.members[:, 0]]).all()
    assert (np.sort(all20.members) == np.flatnonzero((multi_label == [1, 0, 0]).all(1))).all()


def test_members_ignore_batch_and_order(multi_label, database_codes):
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    ids = [40, 2, 77]
    whole = draw_target_codes(database_codes, multi_label, targets, seed=1, query_ids=ids)
    back = draw_target_codes(
        database_codes, multi_label, targets[::-1], seed=1, query_ids=ids[::-1]
    )
    assert (back.members[::-1] == whole.members).all()
    alone = draw_target_codes(database_codes, multi_label, targets[1:2], seed=1, query_ids=[2])
    assert (alone.members[0] == whole.members[1]).all()
    other = draw_target_codes(database_codes, multi_label, targets, seed=2, query_ids=ids)
    assert (other.members != whole.members).any()


def test_every_member_is_equally_likely(multi_label, database_codes):
    targets = np.repeat([[False, False, True]], 4000, axis=0)
    drawn = draw_target_codes(database_codes, multi_label, targets, n_t=3)
    _, counts = np.unique(drawn.members, return_counts=True)
    assert len(counts) == 8 and np.abs(counts / 4000 - 3 / 8).max() < 0.035


def test_code_errors(multi_label, database_codes, as_for_users):
    label = np.array([[False, False, True]])
    with pytest.raises(
        HashprobeError,
        match=r"^n_t is 9 but only 8 database items carry exactly target label 2 \(query 31\)$",
    ):
        draw_target_codes(database_codes, multi_label, label, query_ids=[31])
    unknown = np.array([[True, False, True]])
    with pytest.raises(HashprobeError, match=r"^unknown target label 0\+2 \(query 0\): no data"):
        draw_target_codes(database_codes, multi_label, unknown)
    with pytest.raises(HashprobeError, match="n_t must be at least 1; got 0"):
        draw_target_codes(database_codes, multi_label, label, n_t=0)
    with pytest.raises(HashprobeError, match="60 database labels for 59 database codes"):
        draw_target_codes(database_codes[:59], multi_label, label)
    with pytest.raises(HashprobeError, match="the database is empty"):
        draw_target_codes(database_codes, multi_label[:0], label)
