import errno
import json
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(failure), files.atomic_path(target) as part:
        part.write_bytes(b"half")
        raise failure
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_the_file_appears_only_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "er" / "a.bin"
    with files.atomic_path(target) as part:
        part.write_bytes(b"new")
        assert not target.exists()
        assert part.suffix == ".part"
        assert part.parent == target.parent
    assert target.read_bytes() == b"new"
    assert names(target.parent) == ["a.bin"]


def test_content_is_flushed_before_the_rename(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("rename"), replace(a, b)))
    files.write_bytes(tmp_path / "a", b"x")
    assert order[:2] == ["fsync", "rename"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "a.bin: "),
    ],
)
def test_what_the_disk_refuses_is_one_line_that_names_the_file(tmp_path, monkeypatch, code, said):
    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(HashprobeError, match=said) as caught:
        files.write_bytes(tmp_path / "a.bin", b"x")
    assert str(tmp_path / "a.bin") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a full disk")
def test_a_truly_full_disk(tmp_path, monkeypatch):
    def full(path):
        with open("/dev/full", "wb") as stream:
            stream.write(b"x" * 10)

    with (
        pytest.raises(HashprobeError, match="no space left"),
        files.atomic_path(tmp_path / "a") as part,
    ):
        full(part)


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(HashprobeError, match=r"in the way|below a file"):
        files.write_bytes(tmp_path / "a" / "b" / "c", b"x")
    (tmp_path / "d").mkdir()
    with pytest.raises(HashprobeError, match=r"d is "):
        files.write_bytes(tmp_path / "d", b"x")
    assert names(tmp_path) == ["a", "d"]


def test_an_error_about_another_file_names_that_file(tmp_path):
    with (
        pytest.raises(HashprobeError, match=r"picture\.png does not exist"),
        files.atomic_path(tmp_path / "a") as part,
    ):
        part.write_bytes((tmp_path / "picture.png").read_bytes())
    with pytest.raises(OSError, match="undecodable"), files.atomic_path(tmp_path / "a"):
        raise OSError("undecodable")


def test_npz_round_trip_and_equal_bytes(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "file": np.array(["x", "yy"]), "s": np.float32(2)}
    arrays["s"] = np.asarray(arrays["s"])
    files.write_npz(tmp_path / "one.npz", arrays)
    files.write_npz(tmp_path / "two", arrays)
    back = files.read_npz(tmp_path / "two")
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_npz_cut_anywhere_is_an_error_that_names_it(tmp_path):
    whole = tmp_path / "whole.npz"
    files.write_npz(whole, {"a": np.arange(100), "b": np.ones((3, 3))})
    data = whole.read_bytes()
    cut = tmp_path / "cut.npz"
    for size in range(0, len(data), 97):
        cut.write_bytes(data[:size])
        with pytest.raises(HashprobeError, match=r"cut\.npz"):
            files.read_npz(cut)


def test_an_npz_with_a_flipped_byte_never_crashes(tmp_path):
    whole = tmp_path / "whole.npz"
    files.write_npz(whole, {"a": np.arange(20)})
    data = whole.read_bytes()
    bad = tmp_path / "bad.npz"
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        bad.write_bytes(changed)
        try:
            files.read_npz(bad)
        except HashprobeError as error:
            assert "bad.npz" in str(error)
            assert "\n" not in str(error)


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch pwned",))


def test_pickles_are_refused_unread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "bomb.npz", a=np.array([Bomb()], dtype=object))
    with pytest.raises(HashprobeError, match="pickle"):
        files.read_npz(tmp_path / "bomb.npz")
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(HashprobeError, match="no npz"):
        files.read_npz(tmp_path / "raw.npz")
    assert not (tmp_path / "pwned").exists()
    with pytest.raises(HashprobeError, match=r"'a'.*Python objects"):
        files.write_npz(tmp_path / "b.npz", {"a": np.array([Bomb()], dtype=object)})
    assert not (tmp_path / "b.npz").exists()


def test_other_files_are_no_npz(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(HashprobeError, match="no npz"):
        files.read_npz(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(HashprobeError, match=r"'readme\.txt', which is no numpy array"):
        files.read_npz(tmp_path / "a.zip")
    with pytest.raises(HashprobeError, match="does not exist"):
        files.read_npz(tmp_path / "none.npz")
    with pytest.raises(HashprobeError, match="is a folder"):
        files.read_npz(tmp_path)


def test_json_round_trip_and_errors(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, 2.5, None, True], "a": "é\u2028"})
    assert files.read_json(path) == {"b": [1, 2.5, None, True], "a": "é\u2028"}
    assert list(files.read_json(path)) == ["b", "a"]
    before = path.read_bytes()
    with pytest.raises(HashprobeError, match=r"value\.x\[1\] is nan"):
        files.write_json(path, {"x": [1.0, float("nan")]})
    assert path.read_bytes() == before
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(HashprobeError, match="no JSON"):
        files.read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(HashprobeError, match="no JSON"):
        files.read_json(path)


@dataclass(frozen=True)
class Options:
    steps: int = 3
    out: Path = Path("a")


def test_jsonable_and_fingerprint():
    value = {"o": Options(), "n": np.float32(0.5), "a": np.eye(2, dtype=bool), "t": (1,)}
    assert files.jsonable(value) == {
        "o": {"steps": 3, "out": "a"},
        "n": 0.5,
        "a": [[True, False], [False, True]],
        "t": [1],
    }
    assert files.fingerprint(value) == files.fingerprint(
        json.loads(json.dumps(files.jsonable(value)))
    )
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})
    # A fixed value: it must hold over versions, machines and Python's hash seed.
    assert files.fingerprint({"b": 1, "a": "é"}) == (
        "6d9eb45284090145dc16661b06abe01185a16a7dabba07c992a131bffa6b8114"
    )
    with pytest.raises(HashprobeError, match=r"value\.x is a set"):
        files.jsonable({"x": {1}})
    with pytest.raises(HashprobeError, match="keys must be text"):
        files.fingerprint({1: 2})


def test_checksums(tmp_path):
    files.write_bytes(tmp_path / "a", b"abc")
    assert files.sha256_file(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(HashprobeError, match="does not exist"):
        files.sha256_file(tmp_path / "b")
    a = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert files.sha256_array(a) == files.sha256_array(a.astype(">i4"))
    assert files.sha256_array(a) == files.sha256_array(a.T.copy().T)
    assert files.sha256_array(a) != files.sha256_array(a.reshape(4, 3))
    assert files.sha256_array(a) != files.sha256_array(a.astype(np.int64))
    with pytest.raises(HashprobeError, match="Python objects"):
        files.sha256_array(np.array([None]))


@pytest.mark.parametrize(
    "read", [files.read_bytes, files.read_json, files.read_npz, files.sha256_file]
)
def test_only_regular_files_are_opened(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero"), Path("/dev/stdin")):
        if path.is_file():
            continue  # the standard input of the tests may be a file
        with pytest.raises(HashprobeError, match=f"{path} is no regular file"):
            read(path)
    with pytest.raises(HashprobeError, match="cannot be the name of a file: embedded null"):
        read("a\0b")
    with pytest.raises(HashprobeError, match="is a folder; a file was expected"):
        read(tmp_path)


def test_files_of_text_that_are_too_large_are_refused_unread(tmp_path):
    with (tmp_path / "a.json").open("wb") as stream:
        stream.truncate(files.MAX_JSON_BYTES + 1)  # takes no place on the disk
    with pytest.raises(HashprobeError, match="at most 268,435,456 are read"):
        files.read_json(tmp_path / "a.json")


def test_names_that_are_not_utf_8_survive_json(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    files.write_json(tmp_path / "a.json", {name: [name, "é"]})
    assert files.read_json(tmp_path / "a.json") == {name: [name, "é"]}
    assert "é" in (tmp_path / "a.json").read_text("utf-8")
