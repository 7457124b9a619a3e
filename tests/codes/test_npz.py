import zipfile

import numpy as np
import pytest

from hashprobe.codes.npz import load_codes, save_codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError


@pytest.mark.parametrize("bits", [1, 7, 12, 16, 65, 4095, 4096])
def test_codes_come_back_from_their_file(tmp_path, bits):
    codes = PackedCodes.from_signs(np.random.default_rng(bits).random((5, bits)) < 0.5)
    save_codes(tmp_path / "codes.npz", codes)
    assert load_codes(tmp_path / "codes.npz") == codes


def test_a_file_without_codes_keeps_their_length(tmp_path):
    save_codes(tmp_path / "none.npz", PackedCodes.empty(12))
    assert load_codes(tmp_path / "none.npz") == PackedCodes.empty(12)


def test_dirty_padding_in_a_file_is_refused(tmp_path):
    path = tmp_path / "dirty.npz"
    np.savez(path, data=np.array([[255, 240], [255, 248]], np.uint8), bits=12)
    with pytest.raises(HashprobeError, match=r"dirty\.npz .*4 zero bits; row 1"):
        load_codes(path)


def test_files_of_other_kinds_are_refused(tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, rows=np.ones(3))
    with pytest.raises(HashprobeError, match="needs data and bits; it holds rows"):
        load_codes(other)
    np.savez(other, data=np.ones((2, 3), np.uint8), bits=16)
    with pytest.raises(HashprobeError, match="16 bits need 2 bytes"):
        load_codes(other)
    np.savez(other, data=np.array([{}], dtype=object), bits=8)
    with pytest.raises(HashprobeError, match="Python objects"):
        load_codes(other)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("data.npy", b"no array")
    with pytest.raises(HashprobeError, match="no numpy array"):
        load_codes(other)
    with pytest.raises(HashprobeError, match="does not exist"):
        load_codes(tmp_path / "none.npz")
    with pytest.raises(HashprobeError, match="is a folder"):
        load_codes(tmp_path)


def test_an_index_of_another_program_is_told_what_is_read(tmp_path):
    path = tmp_path / "db.faiss"
    path.write_bytes(b"IBxF" + bytes(40))
    with pytest.raises(HashprobeError, match=r"db\.faiss is no npz .* data .* and bits"):
        load_codes(path)
