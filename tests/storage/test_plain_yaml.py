"""YAML files: keys that stand twice, and files that grow when they are read."""

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage import plain_yaml
from hashprobe.storage.plain_yaml import parse_yaml


def test_what_plain_yaml_says():
    data = b"a: {b: [1, 2.5, x, null, true]}\nbase: &it {c: 1}\nmore: {<<: *it, d: 2}\nagain: *it\n"
    assert parse_yaml(data, "a.yaml") == {
        "a": {"b": [1, 2.5, "x", None, True]},
        "base": {"c": 1},
        "more": {"c": 1, "d": 2},
        "again": {"c": 1},
    }
    assert parse_yaml(b"", "a.yaml") is None


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("train: {bits: 8}\nencode: {}\ntrain: {size: 8}", "train", "1 and 3"),
        ("train:\n  bits: 8\n  size: 8\n  bits: 16", "bits", "2 and 4"),
        ("train: {bits: 8, bits: 8}", "bits", "1 and 1"),
        ("attack:\n  dhta:\n    step-size: 1\n    step_size: 2", "step_size", "3 and 4"),
        ('a: 1\n"a": 2', "a", "1 and 2"),
        ("list:\n- x: 1\n  x: 2", "x", "2 and 3"),
    ],
)
def test_a_key_that_stands_twice_is_named_with_its_lines(text, key, lines):
    with pytest.raises(HashprobeError) as caught:
        parse_yaml(text.encode(), "a.yaml")
    assert str(caught.value) == f"a.yaml has the key '{key}' twice, in lines {lines}"


def test_keys_of_different_mappings_or_types_are_no_twins():
    assert parse_yaml(b"a: {x: 1}\nb: {x: 2}\n1: y\n'1': z", "a")["b"] == {"x": 2}


def bomb(value, levels):
    lines = [f"a0: &a0 {value}"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines).encode()


MERGES = b"a0: &a0 {x: 1}\n" + b"\n".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}".encode() for i in range(1, 9)
)


@pytest.mark.parametrize("data", [bomb("x", 9), bomb("[x]", 40), MERGES])
def test_files_that_grow_are_refused_before_they_do(data):
    with pytest.raises(HashprobeError, match="holds more than 20,000 values, aliases written"):
        parse_yaml(data, "bomb.yaml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: [1", "is not plain YAML in line 1"),
        (b"a: &x [*x]", "line 1: a value in itself"),
        (b"a: *nobody", "is not plain YAML in line 1, column 4: found undefined alias"),
        (b"a: " + b"[" * 5000, "is nested too deeply"),
        (b"a: " + b"1" * 5000, "is not plain YAML: "),
        (b"a: 2024-99-99", "is not plain YAML: "),
        (b"a: \x00", "is not plain YAML: "),
        (b"a: caf\xe9", "is not plain YAML: "),
        (b"a: 1\n---\nb: 2", "is not plain YAML in line 2"),
        (b"? [a, b]\n: 1\n? {c: 1}\n: 2", "is not plain YAML in line "),
        (b"!!python/object/apply:os.system ['true']", "is not plain YAML in line 1"),
    ],
)
def test_what_is_no_plain_yaml_is_one_line(data, said):
    with pytest.raises(HashprobeError) as caught:
        parse_yaml(data, "a.yaml")
    assert said in str(caught.value)
    assert len(" ".join(str(caught.value).split())) < 500


def test_large_files_are_refused_unread(monkeypatch):
    monkeypatch.setattr(plain_yaml, "MAX_BYTES", 5)
    with pytest.raises(HashprobeError, match="more than 5 bytes"):
        parse_yaml(b"a: 123", "a.yaml")
