"""Files that are written together: whole or not at all, in order, after one wait for the disk."""

import errno
import os

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage import files, together
from hashprobe.storage.together import write_together


def test_all_contents_are_on_the_disk_before_the_first_file_appears(tmp_path, monkeypatch):
    order, flush, replace = [], together.flush_to_disk, os.replace
    wanted = {tmp_path / "b" / f"{i}.bin": bytes([i]) * 9 for i in range(40)}
    wanted[tmp_path / "a.bin"] = b"last"

    def flushed(path):
        order.append("folder" if path.is_dir() else path.read_bytes())
        flush(path)

    monkeypatch.setattr(together, "flush_to_disk", flushed)
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(b), replace(a, b)))
    write_together(wanted)
    assert sorted(order[:41]) == sorted(wanted.values())
    assert order[41:] == [*wanted, "folder", "folder"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.bin")} == wanted
    assert not list(tmp_path.rglob("*.part"))


def test_what_the_disk_refuses_names_the_file_and_nothing_appears(tmp_path, monkeypatch):
    flush = together.flush_to_disk

    def second(path):
        if path.name.startswith(".2"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path)

    monkeypatch.setattr(together, "flush_to_disk", second)
    with pytest.raises(HashprobeError, match=r"no space left on the disk for .*/2\.bin") as caught:
        write_together({tmp_path / f"{i}.bin": b"x" for i in range(4)})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_is_kept(tmp_path):
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(HashprobeError, match="link is a link"):
        write_together({tmp_path / "a": b"1", tmp_path / "link": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
    write_together({})


def test_arrays_as_bytes_are_those_of_their_file(tmp_path):
    arrays = {"a": np.arange(5), "b": np.array("text")}
    files.write_npz(tmp_path / "a.npz", arrays)
    assert files.npz_bytes("a.npz", arrays) == (tmp_path / "a.npz").read_bytes()
    with pytest.raises(HashprobeError, match=r"array 'o' for b\.npz holds Python objects"):
        files.npz_bytes("b.npz", {"o": np.array([{}])})
