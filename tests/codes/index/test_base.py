"""What every index must do; a new one joins by one line in INDEXES."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashprobe.codes.index.base import Index, exact_search
from hashprobe.codes.index.fake import FakeIndex
from hashprobe.codes.index.flat import FlatIndex
from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.errors import HashprobeError

from .served import ServedIndex


INDEXES = [
    FakeIndex,
    FlatIndex,
    ServedIndex,
]
every_index = pytest.mark.parametrize("kind", INDEXES, indirect=True)


@pytest.fixture(scope="module")
def kind(request):
    """An index, and the server where it needs one."""
    if request.param is ServedIndex:
        request.getfixturevalue("postgres")
    return request.param


def random_codes(n: int, bits: int, seed: int = 0) -> PackedCodes:
    return PackedCodes.from_signs(np.random.default_rng(seed).random((n, bits)) < 0.5)


def filled(kind, codes: PackedCodes):
    index = kind(codes.bits)
    index.add(codes)
    return index


def by_distance_then_position(database, queries, k):
    distances = hamming(queries, database).tolist()
    lists = [sorted(range(len(database)), key=lambda i: (row[i], i))[:k] for row in distances]
    return [[row[i] for i in found] for row, found in zip(distances, lists, strict=True)], lists


@every_index
def test_it_is_an_index(kind):
    index = kind(16)
    assert isinstance(index, Index)
    assert (index.bits, len(index)) == (16, 0)


@every_index
@pytest.mark.parametrize("bits", [1, 7, 8, 12, 16, 24, 31, 32, 48, 64, 65, 128, 256, 1024])
@pytest.mark.parametrize("k", [1, 57, 300])
def test_order_is_distance_then_position(kind, bits, k):
    database, queries = random_codes(300, bits), random_codes(40, bits, seed=1)
    distances, positions = filled(kind, database).search(queries, k)
    assert (distances.dtype, positions.dtype) == (np.int32, np.int64)
    expected = by_distance_then_position(database, queries, k)
    assert distances.tolist() == expected[0]
    assert positions.tolist() == expected[1]


@every_index
@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 60), st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_order_holds_where_the_list_ends_inside_a_tie(kind, seed, distinct, n, data):
    """Few distinct codes, so that nearly every place is tied, the opposite code among them."""
    random = np.random.default_rng(seed)
    pool = np.concatenate([random.integers(0, 256, (distinct, 2)), [[0, 0], [255, 255]]])
    rows = random.integers(len(pool), size=n)
    database = PackedCodes(pool[rows].astype(np.uint8), 16)
    queries = PackedCodes(pool[-2:].astype(np.uint8), 16)
    k = data.draw(st.integers(1, n))
    distances, positions = filled(kind, database).search(queries, k)
    expected = by_distance_then_position(database, queries, k)
    assert (distances.tolist(), positions.tolist()) == expected


@every_index
def test_equal_codes_come_in_the_order_of_the_database(kind):
    same = PackedCodes.from_signs(np.ones((50, 32)))
    _, positions = filled(kind, same).search(same[:3], 7)
    assert positions.tolist() == [list(range(7))] * 3


@every_index
def test_positions_go_on_when_codes_are_added(kind):
    database, queries = random_codes(90, 24), random_codes(5, 24, seed=1)
    index = kind(24)
    for start in range(0, 90, 30):
        index.add(database[start : start + 30])
    assert len(index) == 90
    whole = filled(kind, database).search(queries, 90)
    np.testing.assert_array_equal(index.search(queries, 90)[1], whole[1])


@every_index
def test_a_batch_gives_what_one_by_one_gives(kind):
    database, queries = random_codes(400, 16), random_codes(70, 16, seed=1)
    index = filled(kind, database)
    _, together = index.search(queries, 100)
    alone = [index.search(queries[i], 100)[1][0] for i in range(len(queries))]
    np.testing.assert_array_equal(together, alone)


@every_index
def test_codes_may_be_a_view_of_others(kind):
    database = random_codes(60, 32)
    index = filled(kind, database[::2])
    _, positions = index.search(database[::-2], 3)
    expected = by_distance_then_position(database[::2], database[::-2], 3)
    assert positions.tolist() == expected[1]


@every_index
@pytest.mark.parametrize("k", [0, -1, 11])
def test_a_list_that_does_not_fit_is_refused(kind, k):
    index = filled(kind, random_codes(10, 8))
    with pytest.raises(HashprobeError, match=f"size of the database, 10; got {k}"):
        index.search(random_codes(2, 8), k)


@every_index
def test_an_empty_database_is_refused(kind):
    with pytest.raises(HashprobeError, match="the database is empty"):
        kind(8).search(random_codes(2, 8), 1)


@every_index
def test_no_queries_are_refused(kind):
    with pytest.raises(HashprobeError, match="no queries"):
        filled(kind, random_codes(10, 8)).search(random_codes(2, 8)[:0], 1)


@every_index
def test_codes_of_another_length_are_refused(kind):
    index = filled(kind, random_codes(10, 16))
    with pytest.raises(HashprobeError, match="16 bits; got 8 bits"):
        index.add(random_codes(1, 8))
    with pytest.raises(HashprobeError, match="16 bits; got 8 bits"):
        index.search(random_codes(1, 8), 1)


@every_index
@pytest.mark.parametrize("bits", [0, -8, 4097])
def test_a_length_that_no_code_can_have_is_refused(kind, bits):
    with pytest.raises(HashprobeError, match=f"1 to 4096 bits; got {bits}"):
        kind(bits)


@every_index
@given(bits=st.integers(1, 130), n=st.integers(1, 40), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_length_is_searched_as_by_plain_numpy(kind, bits, n, seed, data):
    random = np.random.default_rng(seed)
    database, queries = random.random((n, bits)) < 0.5, random.random((3, bits)) < 0.5
    k = data.draw(st.integers(1, n))
    distances = (queries[:, None] != database[None]).sum(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    index = filled(kind, PackedCodes.from_signs(database))
    found = index.search(PackedCodes.from_signs(queries), k)
    np.testing.assert_array_equal(found[0], np.take_along_axis(distances, order, axis=1))
    np.testing.assert_array_equal(found[1], order)


@every_index
def test_the_longest_odd_length_is_searched_and_saved(kind, tmp_path):
    database, queries = random_codes(50, 4095), random_codes(4, 4095, seed=1)
    index = filled(kind, database)
    distances, positions = index.search(queries, 50)
    assert (distances.tolist(), positions.tolist()) == by_distance_then_position(
        database, queries, 50
    )
    index.save(tmp_path / "long.npz")
    again = kind.load(tmp_path / "long.npz")
    assert again.bits == 4095
    np.testing.assert_array_equal(again.search(queries, 50), (distances, positions))


@every_index
def test_it_comes_back_from_its_file(kind, tmp_path):
    database, queries = random_codes(100, 48), random_codes(7, 48, seed=1)
    path = tmp_path / "some.index"
    filled(kind, random_codes(3, 48)).save(path)
    index = filled(kind, database)
    index.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["some.index"]
    again = kind.load(path)
    assert (len(again), again.bits) == (100, 48)
    np.testing.assert_array_equal(again.search(queries, 100), index.search(queries, 100))


@every_index
@pytest.mark.parametrize("keep", [0.0, 0.2, 0.6, 0.99])
def test_a_truncated_file_is_one_line_that_names_it(kind, tmp_path, keep):
    path = tmp_path / "cut.npz"
    filled(kind, random_codes(1000, 64)).save(path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(HashprobeError, match=r"cut\.npz") as caught:
        kind.load(path)
    assert "\n" not in str(caught.value)


@every_index
def test_a_file_damaged_inside_is_refused(kind, tmp_path):
    path = tmp_path / "bad.npz"
    filled(kind, random_codes(1000, 64)).save(path)
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(HashprobeError, match=r"bad\.npz is damaged"):
        kind.load(path)


def test_a_search_does_not_depend_on_the_block(monkeypatch):
    database, queries = random_codes(50, 31), random_codes(9, 31, seed=1)
    whole = exact_search(database, queries, 20)
    monkeypatch.setattr("hashprobe.codes.index.base.BLOCK_ENTRIES", 120)
    np.testing.assert_array_equal(exact_search(database, queries, 20), whole)


def test_a_failed_save_names_the_file_and_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(HashprobeError, match="taken is"):
        filled(FakeIndex, random_codes(3, 8)).save(tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
