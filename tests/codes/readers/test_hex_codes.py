import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.readers.base import Columns
from hashprobe.codes.readers.hex_codes import packed_digits
from hashprobe.codes.readers.registry import read_codes
from hashprobe.errors import HashprobeError


CODES = PackedCodes.from_signs(np.random.default_rng(0).random((5, 256)) < 0.5)
HASHES = [row.tobytes().hex() for row in CODES.data]


def written(tmp_path, text, name="list.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("\n".join(HASHES), "01234"),
        ("\n".join(f"0x{h.upper()}" for h in HASHES) + "\n\n", "01234"),
        ("id,hash\n" + "\n".join(f"{i},{h}" for i, h in zip("abcde", HASHES, strict=True)),
         "abcde"),
        ("hash;path\r\n" + "\r\n".join(f"{h};{i}" for i, h in zip("abcde", HASHES, strict=True)),
         "abcde"),
        ("\ufeffPDQ\tquality\n" + "\n".join(f"{h}\t100" for h in HASHES), "01234"),
        ("\n".join(f'{h},100,"a, b.jpg"' for h in HASHES), "01234"),
        ("x,y\n" + "\n".join(f"{h},{i}" for i, h in enumerate(HASHES)), "01234"),
    ],
)  # fmt: skip
def test_lists_are_read_as_they_are_exchanged(tmp_path, text, ids):
    found = read_codes(written(tmp_path, text))
    assert found.codes == CODES
    assert found.ids == tuple(ids)


def test_json_is_read_as_lines_a_list_or_an_answer(tmp_path):
    rows = [f'{{"indicator": "{h}", "id": {i}, "tags": ["a"]}}' for i, h in enumerate(HASHES)]
    for name, text in (
        ("a.jsonl", "\n".join(rows)),
        ("a.json", f"[{','.join(rows)}]"),
        ("a", "[\n" + ",\n".join(rows) + "\n]"),
        ("a.json", '{"data": [' + ",\n".join(rows) + "]}"),
    ):
        found = read_codes(written(tmp_path, text, name))
        assert found.codes == CODES
        assert found.ids == tuple("01234")


def test_columns_can_be_named(tmp_path):
    head = "pdq,other,name,where\n"
    text = head + "\n".join(f"{h},{g},n{i},p{i}" for i, (h, g) in
                            enumerate(zip(HASHES, HASHES[::-1], strict=True)))  # fmt: skip
    path = written(tmp_path, text)
    found = read_codes(path, columns=Columns("other", "name", "where"))
    assert found.codes == CODES[::-1]
    assert (found.ids[0], found.paths[1]) == ("n0", "p1")
    with pytest.raises(HashprobeError, match="has no column 'none'"):
        read_codes(path, columns=Columns("none"))


def test_hashes_of_other_libraries_keep_their_bits():
    imagehash = pytest.importorskip("imagehash")
    for side in (3, 5, 8, 16):
        bits = np.random.default_rng(side).random((6, side, side)) < 0.5
        digits = [str(imagehash.ImageHash(each)) for each in bits]
        expected = PackedCodes.from_signs(bits.reshape(6, -1))
        assert packed_digits(digits, side * side) == expected


@pytest.mark.parametrize("bits", [1, 7, 12, 20, 25, 28, 31, 64])
def test_packed_bytes_and_numbers_of_any_length_are_told_apart(bits):
    signs = np.random.default_rng(bits).random((40, bits)) < 0.5
    signs[0] = True
    codes = PackedCodes.from_signs(signs)
    assert packed_digits([row.tobytes().hex() for row in codes.data], bits) == codes
    text = ["".join("1" if bit else "0" for bit in row) for row in signs]
    numbers = [f"{int(row, 2):0{-(-bits // 4)}x}" for row in text]
    assert packed_digits(numbers, bits) == codes


def test_a_number_is_read_from_its_end_even_where_that_is_zero():
    assert packed_digits(["1000000"], 25).signs()[0].tolist() == [1] + [-1] * 24
    assert packed_digits(["80000000"], 25).signs()[0].tolist() == [1] + [-1] * 24


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"id,hash\na,{HASHES[0]}\nb,\n", "line 3: column 'hash' is empty"),
        (f"id,hash\na,{HASHES[0]}\n\nb,nan\n", "line 4: column 'hash' is empty"),
        (f"id,hash\na,{HASHES[0]}\nb,xyz\n", "line 3: column 'hash' holds 'xyz', no hex number"),
        (
            f"{HASHES[0]}\n{HASHES[1][:62]}\n",
            "line 2: a hash of 62 digits where the first one has 64",
        ),
        (f"id,hash\n,{HASHES[0]}\n", "line 2: column 'id' is empty"),
        (f"id,hash\na,{HASHES[0]}\nb\n", "line 3: 1 values for 2 columns"),
        ("id,hash\n", "no rows below"),
        ("id,id\n1,2\n", "two columns 'id'"),
        ("name,size\na,1\n", "no column of hashes: name one of 'name', 'size'"),
        (f"x,y\n{HASHES[0]},{HASHES[1]}\n", "several columns that may be hashes"),
        ('id,hash\n"a,ff\n', "line 2: unexpected end of data"),
        ("\n\n \n", "is empty"),
        ("hash\n" + "f" * 1026, "1 to 4096 bits; 1026 digits"),
        ("\u202ehash,x\n1,2\n", "no column of hashes"),
        ('{"a": 1}\n{"a"', "line 2 is no JSON"),
        ('{"hash": "ff"}\n[1]\n', "entry 2: an object is wanted"),
        ('{"hash": "ff"}\n{"hash": [1]}\n', "entry 2: 'hash' must be text"),
        ('{"hash": "ff"}\n{"hash": NaN}\n', "line 2 is damaged"),
        ('{"hash": "ff"}\n{"id": 1}\n', "line 2: column 'hash' is empty"),
        ("[]", "is empty"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, text, words):
    with pytest.raises(HashprobeError) as error:
        read_codes(written(tmp_path, text))
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_bits_must_fit_the_digits(tmp_path):
    path = written(tmp_path, "\n".join(HASHES))
    assert read_codes(path, 256).bits == 256
    for bits in (128, 257):
        with pytest.raises(HashprobeError, match=f"have 256 bits; asked for were {bits}"):
            read_codes(path, bits)
    with pytest.raises(HashprobeError, match="use all their 256 bits; asked for were 255"):
        read_codes(path, 255)


def test_bytes_in_a_text_are_one_sentence(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"hash\nff\xff\nfe\n")
    with pytest.raises(HashprobeError, match="no hex number"):
        read_codes(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"hash\nffffffffffffffff\n" + b"\0" * 20)
    with pytest.raises(HashprobeError, match="NUL byte in line 3"):
        read_codes(tmp_path / "a.csv")
