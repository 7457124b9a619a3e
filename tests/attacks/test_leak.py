import numpy as np
import pytest

from hashprobe.attacks.leak import code_leak
from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.errors import HashprobeError


def drawn(n, bits, seed=0):
    return PackedCodes.from_signs(np.random.default_rng(seed).random((n, bits)) < 0.5)


@pytest.mark.parametrize(("bits", "known"), [(16, 40), (64, 64), (256, 300)])
def test_enough_known_codes_give_every_bit_away(bits, known):
    codes, secret = drawn(known, bits), drawn(5, bits, 1)
    leak = code_leak(hamming(secret, codes), codes)
    determined = leak.codes != 0
    assert leak.rank == np.linalg.matrix_rank(codes.signs())
    assert (leak.codes == secret.signs())[determined].all()
    if leak.rank == bits:
        assert determined.all()


def test_too_few_known_codes_leave_bits_open():
    known = PackedCodes.from_signs(np.array([[1, 1, 1, 1], [1, -1, -1, -1], [1, 1, -1, -1]]))
    secret = PackedCodes.from_signs(np.array([[-1, 1, -1, 1]]))
    leak = code_leak(hamming(secret, known), known)
    assert leak.codes.tolist() == [[-1, 1, 0, 0]]  # of the last two only their sum is known
    assert (leak.rank, leak.share) == (3, 0.5)


def test_distances_of_no_code_are_refused():
    codes = drawn(20, 8)
    distances = hamming(drawn(1, 8, 1), codes)
    with pytest.raises(HashprobeError, match="no code has these distances"):
        code_leak(distances + np.eye(1, 20, dtype=np.int32), codes)
    with pytest.raises(HashprobeError, match="19 distances for 20 known codes"):
        code_leak(distances[:, :19], codes)
    one = PackedCodes.from_signs(np.ones((1, 1)))
    with pytest.raises(HashprobeError, match="no code has these distances"):
        code_leak(np.array([[2]]), one)
