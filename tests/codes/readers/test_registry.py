"""Files that hold codes are read whatever they are called; all others are one sentence."""

import numpy as np
import pytest

from hashprobe.codes.npz import save_codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.readers.registry import read_codes
from hashprobe.errors import HashprobeError


SIGNS = np.random.default_rng(0).choice([-1, 1], size=(9, 20)).astype(np.int8)
PACKED = PackedCodes.from_signs(SIGNS)


@pytest.mark.parametrize(
    ("array", "bits"),
    [
        (SIGNS, None),
        (SIGNS.astype(np.float64), None),
        ((SIGNS + 1) // 2, None),
        (SIGNS == 1, None),
        ((SIGNS == 1).astype(np.uint8), None),
        (np.asfortranarray(SIGNS), None),
        (PACKED.data, 20),
    ],
)
def test_an_array_may_hold_codes_in_any_form(tmp_path, array, bits):
    np.save(tmp_path / "codes.npy", array)
    (tmp_path / "codes.npy").rename(tmp_path / "odd name")
    found = read_codes(tmp_path / "odd name", bits)
    assert found.codes == PACKED
    assert found.ids == tuple(map(str, range(9)))


def test_packed_bytes_without_bits_are_used_whole(tmp_path):
    np.save(tmp_path / "codes.npy", PACKED.data)
    found = read_codes(str(tmp_path / "codes.npy"))
    assert found.bits == 24
    assert found.codes.data.tolist() == PACKED.data.tolist()


def test_an_archive_may_be_of_any_of_our_own_kinds(tmp_path):
    path = tmp_path / "codes.npz"
    save_codes(path, PACKED)
    assert read_codes(path).codes == PACKED
    np.savez(path, codes=PACKED.data, bits=20, positions=np.arange(9) * 2, labels=np.eye(9))
    assert read_codes(path).ids[:2] == ("0", "2")
    names, floats = [f"{i}.jpg" for i in range(9)], np.random.default_rng(0).normal(size=(9, 3))
    np.savez(path, database_codes=SIGNS, paths=names, embeddings=floats)
    found = read_codes(path)
    assert found.codes == PACKED
    assert found.ids == found.paths == tuple(names)
    np.testing.assert_allclose(found.floats, floats, rtol=1e-6)


def said(path, bits=None):
    with pytest.raises(HashprobeError) as error:
        read_codes(path, bits)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_no_archive_of_codes_is_one_sentence(tmp_path):
    path = tmp_path / "codes.npz"
    np.savez(path, other=SIGNS)
    assert "it lacks codes or data or database_codes; it holds 'other'" in said(path)
    np.savez(path, codes=PACKED.data, bits=20)
    assert "have 20 bits; asked for were 24" in said(path, 24)
    for key, value, words in (
        ("bits", np.ones(2), "bits must be one whole number"),
        ("ids", np.ones(9), "ids must be texts or whole numbers"),
        ("ids", np.arange(8), "8 ids for 9 codes"),
        ("floats", np.ones((9, 2), int), "floats must be floats"),
        ("floats", np.full((9, 2), np.nan), "NaN or infinity, first in row 0"),
        ("floats", np.ones((8, 2)), "8 float vectors for 9 codes"),
        ("codes", np.zeros((0, 8), bool), "empty"),
    ):
        np.savez(path, **{"codes": SIGNS, key: value})
        assert words in said(path)


def test_float_vectors_are_no_codes(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(4, 8)))
    assert "these are float vectors" in said(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.full((4, 8), np.nan))
    assert "such as nan" in said(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.ones((4, 5000), np.int8))
    assert "1 to 4096 bits" in said(tmp_path / "a.npy")


def test_headers_that_lie_cost_no_memory(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((10, 8), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(10, 8), }         ", b"(10000000000, 8), }"))
    assert "damaged or was cut off" in said(path)


def test_every_cut_of_an_array_is_one_sentence(tmp_path):
    np.save(tmp_path / "a.npy", SIGNS)
    data = (tmp_path / "a.npy").read_bytes()
    for end in range(1, len(data), 7):
        (tmp_path / "a.npy").write_bytes(data[:end])
        assert "a.npy" in said(tmp_path / "a.npy")


def test_what_is_no_file_of_codes_is_one_sentence(tmp_path):
    assert "does not exist" in said(tmp_path / "none")
    assert "is a folder" in said(tmp_path)
    (tmp_path / "empty").touch()
    assert "is empty" in said(tmp_path / "empty")
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    assert "is of no kind" in said(tmp_path / "noise")
    assert "no regular file" in said("/dev/zero")
    assert "got http://..." in said("http://me:secret@host/x")
    assert "must be a file or an address" in said(5)
    assert "must be a file or an address" in said("")
    assert "cannot be the name of a file" in said("a\0b")
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    assert "pickle" in said(tmp_path / "o.npy")
    with pytest.raises(HashprobeError, match="1 to 4096 bits"):
        read_codes(tmp_path / "o.npy", 0)
