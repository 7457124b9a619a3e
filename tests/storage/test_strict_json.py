"""JSON that others read otherwise, or not at all, is refused in one line."""

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage import files
from hashprobe.storage.strict_json import parse_json, shown_short


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b"[" * 99 + b"]" * 99, None),
        (b"7" * 100, int("7" * 100)),
        (b"-1e-400", 0.0),
        (b'"\\udcff"', "\udcff"),
    ],
)
def test_what_json_knows_is_read(text, value):
    assert value is None or parse_json(text, "a.json") == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"a": 1', "line 1, column 8"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b"\xff\xfe\xfa", "byte 1 is no UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "byte 1 is no UTF-8"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "a number of 5,000 digits"),
        (b'{"seed": -' + b"9" * 101 + b"}", "a number of 102 digits"),
        (b'{"map": NaN}', "it holds NaN"),
        (b'{"map": -Infinity}', "it holds -Infinity"),
        (b'{"map": 1e400}', "1e400 is beyond the range"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' stands in one object twice"),
        (b"[" * 100_000 + b"]" * 100_000, "too deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "too deep"),
        (b"[" * 101 + b"]" * 101, "too deep"),
        (rb'{"a": ["\ud800"]}', "half of a character"),
        (rb'{"\uDD00": 1}', "half of a character"),
    ],
)
def test_what_json_does_not_know_is_one_line(text, words):
    with pytest.raises(HashprobeError, match=words) as caught:
        parse_json(text, "a.json")
    assert str(caught.value).startswith("a.json ") and "\n" not in str(caught.value)


def test_pairs_and_bytes_of_names_are_no_halves():
    assert parse_json(rb'["\ud83d\ude00", "caf\udce9"]', "a.json") == ["\U0001f600", "caf\udce9"]


def test_a_file_is_measured_before_it_is_read(tmp_path):
    with (tmp_path / "large.json").open("wb") as stream:
        stream.truncate(1 << 40)  # a hole: it takes no space
    with pytest.raises(HashprobeError, match=r"large\.json has 1,099,511,627,776 bytes"):
        files.read_json(tmp_path / "large.json")
    with pytest.raises(HashprobeError, match="is a folder"):
        files.read_json(tmp_path)
    with pytest.raises(HashprobeError, match="does not exist"):
        files.read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ({"a": 1}, "an object"),
        ((1,), "a list"),
        (-2.5, "-2.5"),
        ("a\x1b[31m\n", r"'a\x1b[31m\n'"),
    ],
)
def test_a_value_in_a_sentence_is_short_and_plain(value, text):
    assert shown_short(value) == text
    assert len(shown_short("é" * 10_000)) <= 60 and len(shown_short(10**90)) <= 60
