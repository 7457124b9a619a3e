"""The finished parts of an encoding on the disk."""

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.storage.files import read_npz, write_npz
from hashprobe.workflow.shards import Part, Parts


def test_parts_end_at_the_first_gap(tmp_path):
    parts = Parts(tmp_path, "weights", 8)
    code = PackedCodes.from_signs([[1] * 8])
    for start, stop in ((0, 2), (2, 4), (6, 8)):
        parts.write(start, Part(stop, code, np.array([start]), (f"{stop}.png: cut off",)))
    assert [part.stop for part in parts.read()] == [2, 4]
    assert [part.bad for part in parts.read()][1] == ("4.png: cut off",)
    assert list(Parts(tmp_path, "others", 8).read()) == []
    (tmp_path / "mine.txt").write_text("kept")
    parts.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_part_that_was_cut_off_ends_the_reading(tmp_path):
    parts = Parts(tmp_path, "weights", 8)
    code = PackedCodes.from_signs([[1] * 8])
    for start in range(3):
        parts.write(start, Part(start + 1, code, np.array([start]), ()))
    second = parts.path(1)
    second.write_bytes(second.read_bytes()[:100])
    assert [part.stop for part in parts.read()] == [1]


def test_nothing_is_left_once_the_parts_are_removed(tmp_path):
    parts = Parts(tmp_path / "query.parts", "weights", 8)
    parts.remove()
    parts.write(0, Part(1, PackedCodes.from_signs([[1] * 8]), np.array([0]), ()))
    parts.remove()
    assert list(tmp_path.iterdir()) == []


def test_only_parts_are_removed_and_never_through_a_link(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("photos.npz", "0000000001.npz", "1.npz"):
        (mine / name).write_text("precious")
    (tmp_path / "query.parts").symlink_to(mine)
    Parts(tmp_path / "query.parts", "weights", 8).remove()
    assert len(list(mine.iterdir())) == 3
    Parts(mine, "weights", 8).remove()
    assert sorted(path.name for path in mine.iterdir()) == ["1.npz", "photos.npz"]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("stop", np.array(0)),
        ("stop", np.array(-2)),
        ("stop", np.array(2.0)),
        ("stop", np.array(1)),
        ("positions", np.array([1, 0])),
        ("positions", np.array([0, 5])),
        ("positions", np.arange(3)),
        ("positions", np.arange(2.0)),
        ("codes", np.zeros((2, 2), np.uint8)),
        ("codes", np.zeros((2, 1), np.int8)),
        ("bad", np.arange(1)),
        ("made_by", np.array(7)),
    ],
)
def test_a_part_that_was_changed_is_encoded_again(tmp_path, part, value):
    parts = Parts(tmp_path, "these weights", 8)
    parts.write(0, Part(2, PackedCodes.from_signs([[1] * 8] * 2), np.arange(2), ()))
    assert [each.stop for each in parts.read()] == [2]
    arrays = read_npz(parts.path(0))
    write_npz(parts.path(0), {**arrays, part: value})
    assert list(parts.read()) == []
