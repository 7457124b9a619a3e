import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hashprobe.codes.index.flat import FlatIndex
from hashprobe.codes.packed import (
    PackedCodes,
    as_codes,
    as_words,
    hamming,
    paired_hamming,
    word_distances,
)
from hashprobe.errors import HashprobeError


LENGTHS = [1, 7, 8, 12, 16, 31, 32, 48, 64, 65, 72, 128, 250, 255, 256, 4095, 4096]


def signs(n: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 1], size=(n, bits)).astype(np.int8)


@pytest.mark.parametrize("bits", LENGTHS)
def test_codes_come_back_as_they_went_in(bits):
    given_signs = signs(7, bits)
    codes = PackedCodes.from_signs(given_signs)
    assert (len(codes), codes.bits, codes.data.shape) == (7, bits, (7, -(-bits // 8)))
    np.testing.assert_array_equal(codes.signs(), given_signs)
    assert codes.signs().dtype == np.int8


@pytest.mark.parametrize(
    "encode",
    [
        lambda s: s.astype(np.float32),
        lambda s: s.astype(np.int64),
        lambda s: s > 0,
        lambda s: (s > 0).astype(np.uint8),
        lambda s: (s > 0).astype(np.float64),
        lambda s: torch.from_numpy(s),
        lambda s: s.tolist(),
    ],
)
def test_every_encoding_gives_the_same_codes(encode):
    assert PackedCodes.from_signs(encode(signs(5, 16))) == PackedCodes.from_signs(signs(5, 16))


def test_the_first_bit_is_the_most_significant():
    assert PackedCodes.from_signs(np.array([[1] + [-1] * 7])).data.tolist() == [[128]]


def test_the_sign_of_zero_is_plus():
    logits = np.array([[0.0, -0.0, -1e-300, 1e-300, -np.inf, np.inf, -1.0, 1.0]])
    expected = [[1, 1, -1, 1, -1, 1, -1, 1]]
    assert PackedCodes.from_logits(logits).signs().tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_may_be_tensors_that_want_gradients(dtype):
    logits = torch.tensor([[0.5, -0.5] * 8], dtype=dtype, requires_grad=True)
    assert PackedCodes.from_logits(logits).signs().tolist() == [[1, -1] * 8]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((2, 4097)), "1 to 4096 bits; got 4097"),
        (np.ones((2, 0)), "got 0"),
        (np.ones(8), r"shape \(N, K\); got \(8,\)"),
        (np.ones((0, 8)), "codes are empty"),
        (np.full((1, 8), 0.37), "got 0.37.*logits"),
        (np.full((1, 8), np.nan), "got nan"),
        (np.array([[1, 0, -1, 1, 1, 1, 1, 1]]), "got -1 beside 0"),
        (np.array([[1, -1, 0, 1, 1, 1, 1, 1]]), "got 0 beside -1"),
        (np.arange(8, dtype=np.uint8)[None], "packed bytes"),
    ],
)
def test_values_that_are_not_codes_are_refused(values, words):
    with pytest.raises(HashprobeError, match=words):
        PackedCodes.from_signs(values)


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        (np.array([[1.0] * 8, [1.0] * 7 + [np.nan]]), "NaN, first in row 1"),
        (np.ones((1, 8), dtype=bool), "real numbers; got dtype bool"),
        (np.ones((1, 8), dtype=complex), "numbers or booleans; got complex128"),
        (np.ones((1, 4097)), "1 to 4096 bits; got 4097"),
        (np.ones((0, 8)), "logits are empty"),
    ],
)
def test_logits_without_a_code_are_refused(logits, words):
    with pytest.raises(HashprobeError, match=words):
        PackedCodes.from_logits(logits)


def test_bytes_are_packed_codes_only_beside_their_bits():
    codes = PackedCodes.from_signs(signs(4, 48))
    assert as_codes(codes.data, 48) == codes
    assert as_codes(codes.signs(), 48) == codes
    assert as_codes(codes) is codes
    matrix = (signs(4, 8) > 0).astype(np.uint8)
    assert as_codes(matrix) == PackedCodes.from_signs(matrix)
    with pytest.raises(HashprobeError, match="64 bits in 8 columns of 0 and 1"):
        as_codes(matrix, 64)


@pytest.mark.parametrize("column", [[[1], [0], [1]], [[128], [0], [128]], [[0], [0], [0]]])
def test_codes_of_one_bit_are_read_packed_or_not(column):
    values = np.array(column, np.uint8)
    expected = [[1 if value else -1] for value in values[:, 0]]
    assert as_codes(values, 1).signs().tolist() == expected


@given(bits=st.integers(1, 4096), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_length_comes_back_from_its_bytes(bits, seed):
    given_signs = signs(3, bits, seed)
    codes = PackedCodes.from_logits(given_signs * 0.5)
    np.testing.assert_array_equal(codes.data, np.packbits(given_signs > 0, axis=1))
    again = as_codes(codes.data, bits)
    np.testing.assert_array_equal(again.signs(), given_signs)
    np.testing.assert_array_equal(PackedCodes.concatenate([again, codes])[3:].signs(), given_signs)


@given(bits=st.integers(1, 300), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_bit_set_in_the_padding_is_refused(bits, seed, data):
    clean = PackedCodes.from_signs(signs(4, bits, seed)).data
    padding = 8 * clean.shape[1] - bits
    if not padding:
        return
    row = data.draw(st.integers(0, 3))
    dirty = clean.copy()
    dirty[row, -1] |= 1 << data.draw(st.integers(0, padding - 1))
    with pytest.raises(HashprobeError, match=f"{padding} zero bits; row {row} does not"):
        PackedCodes(dirty, bits)


def test_bytes_packed_in_the_other_bit_order_are_refused():
    reversed_order = np.packbits(np.ones((2, 12), bool), axis=1, bitorder="little")
    with pytest.raises(HashprobeError, match="most significant bit first"):
        as_codes(reversed_order, 12)


def test_packed_codes_of_another_length_than_asked_for_are_refused():
    codes = PackedCodes.from_signs(signs(3, 12))
    assert as_codes(codes, 12) is codes
    with pytest.raises(HashprobeError, match="12 bits; asked for were 16"):
        as_codes(codes, 16)


@pytest.mark.parametrize("bits", [1, 12, 4096])
def test_there_may_be_no_codes_of_a_length(bits):
    none = PackedCodes.empty(bits)
    assert (len(none), none.bits) == (0, bits)
    some = PackedCodes.from_signs(signs(2, bits))
    assert PackedCodes.concatenate([none, some]) == some
    with pytest.raises(HashprobeError, match="got 0"):
        PackedCodes.empty(0)


@pytest.mark.parametrize(
    ("data", "bits", "words"),
    [
        (np.zeros((2, 4), np.uint8), 48, "48 bits need 6 bytes a code; got 4"),
        (np.zeros((2, 4), np.int64), 32, r"uint8 \(N, 4\); got int64"),
        (np.zeros(4, np.uint8), 32, r"got uint8 of shape \(4,\)"),
        (np.zeros((2, 4), np.uint8), 4097, "1 to 4096 bits; got 4097"),
        (np.zeros((2, 4), np.uint8), 0, "1 to 4096 bits; got 0"),
        (np.array([[255, 240], [0, 1]], np.uint8), 12, "4 zero bits; row 1 does not"),
        (np.array([[3]], np.uint8), 1, "7 zero bits; row 0 does not"),
        (np.zeros((0, 4), np.uint8), 32, "codes are empty"),
    ],
)
def test_bytes_that_do_not_fit_their_bits_are_refused(data, bits, words):
    with pytest.raises(HashprobeError, match=words):
        as_codes(data, bits)


def test_rows_are_picked_like_those_of_an_array():
    codes = PackedCodes.from_signs(signs(6, 16))
    for rows in (slice(1, 4), np.array([3, 0, 3]), np.arange(6) % 2 == 0, slice(0, 0)):
        np.testing.assert_array_equal(codes[rows].signs(), codes.signs()[rows])
    np.testing.assert_array_equal(codes[2].signs(), codes.signs()[2:3])


def test_codes_are_joined_in_order():
    codes = PackedCodes.from_signs(signs(6, 16))
    assert PackedCodes.concatenate([codes[:2], codes[2:2], codes[2:]]) == codes
    with pytest.raises(HashprobeError, match="no codes"):
        PackedCodes.concatenate([])
    with pytest.raises(HashprobeError, match=r"got \[8, 16\] bits"):
        PackedCodes.concatenate([codes, PackedCodes.from_signs(signs(1, 8))])


@pytest.mark.parametrize("bits", LENGTHS)
def test_distances_count_the_signs_that_differ(bits):
    a, b = signs(9, bits), signs(5, bits, seed=1)
    b[0], b[1] = a[0], -a[0]
    naive = [[sum(x != y for x, y in zip(p, q, strict=True)) for q in b] for p in a]
    found = hamming(PackedCodes.from_signs(a), PackedCodes.from_signs(b))
    assert found.dtype == np.int32
    assert found.tolist() == naive
    assert (found[0, 0], found[0, 1]) == (0, bits)
    paired = paired_hamming(PackedCodes.from_signs(a[:5]), PackedCodes.from_signs(b))
    assert paired.tolist() == np.diag(found[:5]).tolist()


def test_distances_do_not_depend_on_the_block(monkeypatch):
    a, b = PackedCodes.from_signs(signs(50, 72)), PackedCodes.from_signs(signs(31, 72, seed=1))
    whole = hamming(a, b)
    monkeypatch.setattr("hashprobe.codes.packed.BLOCK_ENTRIES", 40)
    np.testing.assert_array_equal(hamming(a, b), whole)


@pytest.mark.parametrize("bits", [248, 249, 255, 256, 257, 320, 511, 512, 513, 4096])
def test_long_distances_do_not_wrap(bits):
    """A byte ends at 255, and words of eight bytes at 256."""
    a, b = (PackedCodes.from_signs(np.full((1, bits), value)) for value in (1, -1))
    assert word_distances(as_words(a.data), as_words(b.data)).tolist() == [[bits]]
    assert hamming(a, b).tolist() == [[bits]] and paired_hamming(a, b).tolist() == [bits]
    index = FlatIndex(bits)
    index.add(PackedCodes.concatenate([b, a]))
    distances, places = index.search(a, 2)
    assert (distances.tolist(), places.tolist()) == ([[0, bits]], [[1, 0]])


@given(st.data())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_distance_is_the_half_of_what_the_inner_product_lacks(data):
    bits = data.draw(st.integers(1, 130))
    a, b = (signs(4, bits, data.draw(st.integers(0, 99))) for _ in range(2))
    found = hamming(PackedCodes.from_signs(a), PackedCodes.from_signs(b))
    np.testing.assert_array_equal(found, (bits - a.astype(int) @ b.T.astype(int)) // 2)


def test_codes_that_do_not_match_are_not_compared():
    a, b = PackedCodes.from_signs(signs(3, 16)), PackedCodes.from_signs(signs(3, 8))
    with pytest.raises(HashprobeError, match="16 and 8 bits"):
        hamming(a, b)
    with pytest.raises(HashprobeError, match="16 and 8 bits"):
        paired_hamming(a, b)
    with pytest.raises(HashprobeError, match="got 3 and 2"):
        paired_hamming(a, a[:2])


def test_codes_of_different_bits_or_rows_are_not_equal():
    codes = PackedCodes.from_signs(signs(3, 16))
    assert codes == PackedCodes.from_signs(signs(3, 16))
    assert codes != codes[:2]
    assert codes != "codes"
    assert repr(codes) == "PackedCodes(3 x 16 bits)"


KINDS = [
    np.zeros((2, 8), "V4"),
    np.zeros((2, 8), [("a", "i4")]),
    np.zeros((2, 8), object),
    np.zeros((2, 8), "M8[ns]"),
    np.zeros((2, 8), "m8[s]"),
    np.zeros((2, 8), complex),
    np.full((2, 8), "1"),
    np.full((2, 8), b"1"),
    torch.zeros(2, 8, dtype=torch.complex64),
    [[10**30] * 8] * 2,
    [[None] * 8] * 2,
]


@pytest.mark.parametrize("read", [as_codes, PackedCodes.from_signs, PackedCodes.from_logits])
@pytest.mark.parametrize("values", KINDS, ids=lambda v: str(getattr(v, "dtype", v[0][0])))
def test_arrays_of_other_kinds_are_no_codes(read, values):
    with pytest.raises(HashprobeError, match="must be numbers or booleans; got"):
        read(values)


@pytest.mark.parametrize("values", [[[1, 0], [1]], torch.eye(8).to_sparse()])
def test_what_is_no_array_is_no_codes(values):
    with pytest.raises(HashprobeError, match="codes must be a list, an array or a tensor"):
        as_codes(values)


@pytest.mark.parametrize("bits", [8.0, "8", True, [8], np.float64(8)])
def test_bits_are_one_whole_number(bits, as_for_users):
    with pytest.raises(HashprobeError, match=r"bits must be a whole number.*; got"):
        as_codes(np.full((2, 1), 143, np.uint8), bits)


@pytest.mark.parametrize("bits", [57, 64])
def test_bits_that_contradict_columns_of_0_and_1_are_refused(bits):
    entries = np.tile(np.uint8([1, 0, 1, 1, 0, 1, 1, 0]), (4, 1))
    with pytest.raises(HashprobeError, match=r"8 columns of 0 and 1|zero bits"):
        as_codes(entries, bits)
    assert as_codes(entries, 8) == as_codes(entries)
    assert as_codes(np.full((4, 8), 3, np.uint8), 64).bits == 64
