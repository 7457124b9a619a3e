import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hashprobe.codes.packed import (
    PackedCodes,
    as_codes,
    as_words,
    hamming,
    paired_hamming,
    word_distances,
)
from hashprobe.errors import HashprobeError


LENGTHS = [8, 16, 24, 32, 40, 48, 64, 72, 128, 4096]


def signs(n: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 1], size=(n, bits)).astype(np.int8)


@pytest.mark.parametrize("bits", LENGTHS)
def test_codes_come_back_as_they_went_in(bits):
    given_signs = signs(7, bits)
    codes = PackedCodes.from_signs(given_signs)
    assert (len(codes), codes.bits, codes.data.shape) == (7, bits, (7, bits // 8))
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
        (np.ones((2, 12)), "multiple of 8 bits, 8 to 4096; got 12"),
        (np.ones((2, 4104)), "got 4104"),
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
def test_what_is_no_code_is_refused(values, words):
    with pytest.raises(HashprobeError, match=words):
        PackedCodes.from_signs(values)


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        (np.array([[1.0] * 8, [1.0] * 7 + [np.nan]]), "NaN, first in row 1"),
        (np.ones((1, 8), dtype=bool), "real numbers; got dtype bool"),
        (np.ones((1, 8), dtype=complex), "real numbers; got dtype complex128"),
        (np.ones((1, 9)), "logits must have|multiple of 8"),
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
    assert as_codes(matrix, 64).bits == 64


@pytest.mark.parametrize(
    ("data", "bits", "words"),
    [
        (np.zeros((2, 4), np.uint8), 48, "48 bits need 6 bytes a code; got 4"),
        (np.zeros((2, 4), np.int64), 32, "uint8 of shape .*; got int64"),
        (np.zeros(4, np.uint8), 32, r"got uint8 of shape \(4,\)"),
        (np.zeros((2, 4), np.uint8), 31, "multiple of 8"),
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
    with pytest.raises(HashprobeError, match=r"\[8, 16\] bits"):
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


def test_long_distances_do_not_wrap():
    a, b = np.ones((1, 4096)), np.zeros((1, 4096))
    words = [as_words(PackedCodes.from_signs(x).data) for x in (a, b)]
    assert word_distances(*words).tolist() == [[4096]]


@given(st.data())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_distance_is_the_half_of_what_the_inner_product_lacks(data):
    bits = 8 * data.draw(st.integers(1, 12))
    a, b = (signs(4, bits, data.draw(st.integers(0, 99))) for _ in range(2))
    found = hamming(PackedCodes.from_signs(a), PackedCodes.from_signs(b))
    np.testing.assert_array_equal(found, (bits - a.astype(int) @ b.T.astype(int)) // 2)


def test_codes_that_do_not_match_are_not_compared():
    a, b = PackedCodes.from_signs(signs(3, 16)), PackedCodes.from_signs(signs(3, 8))
    with pytest.raises(HashprobeError, match="16 and 8 bits"):
        hamming(a, b)
    with pytest.raises(HashprobeError, match="16 and 8 bits"):
        paired_hamming(a, b)
    with pytest.raises(HashprobeError, match="3 beside 2"):
        paired_hamming(a, a[:2])


def test_codes_of_different_bits_or_rows_are_not_equal():
    codes = PackedCodes.from_signs(signs(3, 16))
    assert codes == PackedCodes.from_signs(signs(3, 16))
    assert codes != codes[:2]
    assert codes != "codes"
    assert repr(codes) == "PackedCodes(3 x 16 bits)"
