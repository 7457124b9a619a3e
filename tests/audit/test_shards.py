"""The finished parts of an encoding on the disk."""

import numpy as np

from hashprobe.audit.shards import Part, Parts
from hashprobe.codes.packed import PackedCodes


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
