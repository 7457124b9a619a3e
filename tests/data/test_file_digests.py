"""Digests of files that are kept: what changed is read again, and nothing else is."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hashprobe.data import file_digests
from hashprobe.data.file_digests import FileDigests, digests_kept_at, file_digest
from hashprobe.errors import HashprobeError


@pytest.fixture
def paths(tmp_path):
    """Five small files that were there long before."""
    made = [tmp_path / f"{i}.bin" for i in range(5)]
    for number, path in enumerate(made):
        path.write_bytes(bytes([number]) * 9)
    return [str(path) for path in made]


@pytest.fixture
def reads(monkeypatch):
    """The files that were read; none counts as changed just now."""
    read = []
    monkeypatch.setattr(file_digests, "FRESH", -(10**15))
    monkeypatch.setattr(
        file_digests,
        "file_digest",
        lambda path: (read.append(Path(path).name), file_digest(path))[1],
    )
    return read


def loaded(kept, *lists):
    """What a command would see of some lists of files."""
    with digests_kept_at(kept):
        known = FileDigests()
        found = [known.of(each) for each in lists]
        known.keep()
    return found


def test_a_file_is_read_again_only_if_it_changed(paths, reads, tmp_path):
    kept, wanted = tmp_path / "digests.npz", [file_digest(path) for path in paths]
    assert loaded(kept, paths) == [wanted] and len(reads) == 5
    assert loaded(kept, paths) == [wanted] and len(reads) == 5
    before = os.stat(paths[2])
    Path(paths[2]).write_bytes(b"\xff" * 9)
    os.utime(paths[2], ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time as they were
    (found,) = loaded(kept, paths)
    assert reads[5:] == ["2.bin"]
    assert found == [file_digest(path) for path in paths] and found != wanted
    Path(paths[1]).unlink()
    (found,) = loaded(kept, paths)
    assert found == [file_digest(path) for path in paths]
    assert loaded(kept, paths) == [found] and reads[6:] == ["1.bin", "1.bin"]


def test_a_file_in_the_place_of_another_is_read_where_there_are_no_times_of_change(
    paths, reads, tmp_path, monkeypatch
):
    """Some file systems of a network show the time of modification in its place."""

    def without(path):
        about = os.stat(path)
        times = {"st_mtime_ns": about.st_mtime_ns, "st_ctime_ns": about.st_mtime_ns}
        kept = {name: getattr(about, name) for name in ("st_mode", "st_size", "st_ino")}
        return SimpleNamespace(**times, **kept)

    monkeypatch.setattr(file_digests, "os", SimpleNamespace(stat=without))
    kept, new = tmp_path / "digests.npz", tmp_path / "new"
    loaded(kept, paths)
    new.write_bytes(b"\xff" * 9)
    os.utime(new, ns=(0, os.stat(paths[2]).st_mtime_ns))
    os.replace(new, paths[2])  # as rsync and tar do
    (found,) = loaded(kept, paths)
    assert reads[5:] == ["2.bin"] and found == [file_digest(path) for path in paths]


def test_a_file_that_could_not_be_read_is_tried_again(paths, tmp_path, monkeypatch):
    """Errors of a disk may pass, and leave no trace in a file's times."""
    monkeypatch.setattr(file_digests, "FRESH", -(10**15))
    kept, wanted = tmp_path / "digests.npz", [file_digest(path) for path in paths]

    def broken(path):
        raise HashprobeError(f"{path} cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(file_digests, "regular_size", broken)
        assert loaded(kept, paths) != [wanted]
    assert loaded(kept, paths) == [wanted]


def test_a_file_that_changed_just_now_is_read_each_time(paths, reads, tmp_path, monkeypatch):
    monkeypatch.setattr(file_digests, "FRESH", 10**15)
    for _ in range(2):
        loaded(tmp_path / "digests.npz", paths)
    assert len(reads) == 10


def test_lists_that_share_files_read_them_once(paths, reads, tmp_path):
    kept = tmp_path / "digests.npz"
    whole, part = loaded(kept, paths, paths[3:1:-1])
    assert part == whole[3:1:-1] and len(reads) == 5
    assert loaded(kept, paths, paths[3:1:-1]) == [whole, part] and len(reads) == 5
    size = kept.stat().st_size
    loaded(kept, paths[:4])
    assert kept.stat().st_size < size  # what was not asked for is forgotten
    assert FileDigests().of(paths) == whole and len(reads) == 14


@pytest.mark.parametrize("damage", ["cut", "type", "width", "member", "folder"])
def test_a_damaged_file_costs_time_alone(paths, reads, tmp_path, damage):
    kept = tmp_path / "digests.npz"
    (wanted,) = loaded(kept, paths)
    arrays = dict(np.load(kept))
    stamps = next(name for name in arrays if name.endswith("stamps"))
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:50])
    elif damage == "folder":
        kept.unlink()
        kept.mkdir()
    else:
        arrays[stamps] = {
            "type": arrays[stamps].astype(float),
            "width": arrays[stamps][:, :2],
            "member": arrays[stamps],
        }[damage]
        extra = {"more": arrays[stamps]} if damage == "member" else {}
        np.savez(kept, **arrays, **extra)
    assert loaded(kept, paths) == [wanted] and len(reads) == 10
    assert loaded(kept, paths) == [wanted] and len(reads) == (15 if damage == "folder" else 10)


def test_pipes_and_missing_files_are_never_taken_for_known(paths, reads, tmp_path):
    kept, pipe = tmp_path / "digests.npz", tmp_path / "pipe"
    os.mkfifo(pipe)
    names = [str(pipe), str(tmp_path / "none"), "nul\0"]
    for _ in range(2):
        assert loaded(kept, names) == [[file_digest(name) for name in names]]
    assert len(reads) == 6
