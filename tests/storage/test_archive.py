"""npz files that nobody should trust: one line for each, and no memory for what is only claimed."""

import io
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.files import read_npz


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def with_header(text, data=b"", version=1):
    """An array in numpy's format with a header of one's own."""
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode("latin1") + data


def header(shape="(2,)", descr="'<i8'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


@pytest.fixture
def npz(tmp_path):
    def write(*members, compress=zipfile.ZIP_STORED):
        path = tmp_path / "a.npz"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compress) as archive:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, data in members:
                archive.writestr(name, data)
        return path

    return write


@pytest.mark.parametrize("dtype", ["?", "u1", "<i8", ">i4", "<u8", "<f2", "<f4", ">f8", "<U3"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_plain_arrays_are_read_as_numpy_reads_them(npz, dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    for given in (array, np.asfortranarray(array)):
        (back,) = read_npz(npz(("x.npy", npy(given)))).values()
        np.testing.assert_array_equal(back, given)
        assert (back.dtype, back.shape, back.flags.writeable) == (given.dtype, given.shape, True)


def test_compressed_arrays_are_read(npz):
    path = npz(("x.npy", npy(np.arange(1000))), compress=zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(read_npz(path)["x"], np.arange(1000))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, "V4"),
        np.zeros(2, [("a", "i4"), ("b", "f8")]),
        np.zeros(2, "M8[ns]"),
        np.zeros(2, "m8[s]"),
        np.zeros(2, "c8"),
        np.zeros(2, "c16"),
        np.zeros(2, "S3"),
    ],
    ids=str,
)
def test_arrays_of_other_kinds_are_refused(npz, array):
    with pytest.raises(HashprobeError, match=r"a\.npz: 'x' must be numbers or booleans; got"):
        read_npz(npz(("x.npy", npy(array))))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (header("(2,"), "header cannot be read"),
        (header("((((((((2,"), "header cannot be read"),
        ("{'descr': '<i8', 'shape': [[[", "header cannot be read"),
        (header("'ab'"), "header cannot be read"),
        (header(descr="()"), "header cannot be read"),
        (header(descr="'<q9'"), "header cannot be read"),
        (header(descr="'<U99999999999'"), "header cannot be read|does not take"),
        ("(" * 5000, "header cannot be read"),
        ("", "header cannot be read"),
        ("0", "header cannot be read"),
        (header(f"({2**70},)"), "does not take 16 bytes"),
        (header(f"({2**62}, 8)"), "does not take 16 bytes"),
        (header(f"({'9' * 4000},)"), "does not take 16 bytes|header cannot be read"),
        (header(f"({'9' * 5000},)"), "header cannot be read"),
        (header("(-2,)"), "does not take 16 bytes"),
        (header("(-1, -2)"), "does not take 16 bytes"),
        (header("(3,)"), "does not take 16 bytes"),
        (header("(1,)"), "does not take 16 bytes"),
        (header(f"({'1,' * 70} 2)"), "is no array of numpy"),
        (header("(10,)", "'<U0'"), "does not take 16 bytes"),
        (header(descr="'|O'"), "Python objects"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_headers_that_lie_are_refused(npz, text, words, version):
    with pytest.raises(HashprobeError, match=words) as caught:
        read_npz(npz(("x.npy", with_header(text, bytes(16), version))))
    assert "a.npz" in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_empty_array_of_endless_rows_is_refused(npz):
    with pytest.raises(HashprobeError, match="is no array of numpy"):
        read_npz(npz(("x.npy", with_header(header(f"(0, {2**70})")))))


def test_a_new_version_of_the_format_is_refused(npz):
    with pytest.raises(HashprobeError, match=r"version 9\.0"):
        read_npz(npz(("x.npy", with_header(header(), bytes(16), version=9))))


def test_a_name_that_stands_there_twice_is_refused(npz):
    with pytest.raises(HashprobeError, match=r"holds 'x\.npy' 2 times"):
        read_npz(npz(("x.npy", npy(np.arange(2))), ("x.npy", npy(np.arange(3)))))
    with pytest.raises(HashprobeError, match="no numpy array"):
        read_npz(npz(("x.npy", npy(np.arange(2))), ("x", npy(np.arange(3)))))


def test_an_encrypted_member_is_refused(npz):
    path = npz(("x.npy", npy(np.arange(2))))
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the header of the member, and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(HashprobeError, match="'x' is encrypted"):
        read_npz(path)


def test_what_unpacks_to_far_more_than_its_size_takes_no_memory(npz, monkeypatch):
    monkeypatch.setattr("hashprobe.storage.archive.MAX_UNPACKED", 1 << 20)
    small = npz(("x.npy", npy(np.zeros(1 << 16))), compress=zipfile.ZIP_DEFLATED)
    assert read_npz(small)["x"].nbytes == 1 << 19
    parts = [(f"{i}.npy", npy(np.zeros(1 << 16))) for i in range(4)]
    bomb = npz(*parts, compress=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    with pytest.raises(HashprobeError, match=r"claims to unpack to 2,097,664: refused"):
        read_npz(bomb)
    assert tracemalloc.get_traced_memory()[1] < 1 << 19
    tracemalloc.stop()


def test_a_member_that_was_damaged_is_refused(npz):
    path = npz(("x.npy", npy(np.arange(100))))
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    with pytest.raises(HashprobeError, match="is damaged or was cut off"):
        read_npz(path)


def test_bytes_that_were_changed_never_do_more_than_raise(npz):
    rng = np.random.default_rng(0)
    path = npz(
        ("x.npy", npy(np.arange(6.0))), ("y.npy", npy(np.eye(3))), compress=zipfile.ZIP_DEFLATED
    )
    whole = path.read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=rng.integers(1, 5)):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data) // 2, len(data) + 1)])
        try:
            read_npz(path)
        except HashprobeError as error:
            assert "a.npz" in str(error) and "\n" not in str(error)


WANTED = {"codes": Member("uint8", "n b"), "bits": Member("whole"), "rows": Member("int64", "n")}
GOOD = {"codes": np.zeros((2, 1), np.uint8), "bits": np.array(8), "rows": np.arange(2)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bits": np.array(8.0)}, r"bits must be whole \(\); got float64"),
        ({"bits": np.array([8])}, r"bits must be whole \(\); got int64 of shape \(1,\)"),
        ({"rows": np.arange(3)}, "rows has 3 rows, codes 2"),
        ({"rows": np.arange(2.0)}, r"rows must be int64 \(n\); got float64 of shape \(2,\)"),
        ({"codes": np.zeros(2, np.uint8)}, r"codes must be uint8 \(n, b\)"),
        ({"more": np.zeros(2)}, "needs codes, bits and rows; it holds codes, bits, rows, more"),
    ],
)
def test_members_are_of_their_type_and_length(change, words):
    check_members(GOOD, WANTED, "a.npz")
    with pytest.raises(HashprobeError, match=words):
        check_members({**GOOD, **change}, WANTED, "a.npz")
