import errno

import numpy as np
import pytest

from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.query_files import clear, png_path, query_path, read_query, without_pixels
from hashprobe.errors import HashprobeError
from hashprobe.storage import files

from .work import assert_same, attack, quick


NOISE = {"name": "noise", "options": None}


def test_foreign_query_files_are_not_taken_over(work, tmp_path):
    """Files of another attack under a new index: the checksum inside each file tells."""
    attack(work, out=tmp_path / "a", seed=1)
    right = attack(work, out=tmp_path / "b", **NOISE)
    foreign = (tmp_path / "a" / "queries" / "7.npz").read_bytes()
    (tmp_path / "b" / "queries" / "7.npz").write_bytes(foreign)
    with pytest.raises(HashprobeError, match=r"7\.npz belongs to another attack"):
        AttackResult.load(tmp_path / "b")
    again = attack(work, out=tmp_path / "b", **NOISE)
    assert_same(right, again)


def test_pixels_leave_the_memory_for_good(work, tmp_path):
    """A slice of nothing that held on to the whole would be a leak that no length shows."""
    attack(work, out=tmp_path)
    query = read_query(tmp_path, AttackResult.load(tmp_path).recipe, work.queries.ids[0])
    rest = without_pixels(query)
    assert rest.image.base is None and rest.image8.base is None
    assert rest.image.shape == (0, 3, 8, 6) and rest.image8.dtype == np.uint8


def test_full_disk_and_unwritable_folder(work, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(HashprobeError, match="file") as caught:
        attack(work, out=tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "flush_to_disk", full)
        with pytest.raises(HashprobeError, match=r"no space left on the disk for .*out"):
            attack(work, out=tmp_path / "out")
    assert not list(tmp_path.rglob("*.part"))


def test_files_of_images_from_before_there_were_clips(work, tmp_path):
    recipe = attack(work, out=tmp_path).recipe
    path = query_path(tmp_path, 7)
    arrays = files.read_npz(path)
    del arrays["length"]
    files.write_npz(path, arrays)
    assert read_query(tmp_path, recipe, 7).length == 0
    del arrays["code"]
    files.write_npz(path, arrays)
    with pytest.raises(
        HashprobeError, match=r"7\.npz is no attacked query: it needs .*; it holds target_label"
    ):
        read_query(tmp_path, recipe, 7)


def test_an_attack_clears_its_own_files_alone(work, clip_work, tmp_path):
    for name, one in (("images", work), ("clips", clip_work)):
        folder = tmp_path / name
        attack(one, options=quick("dhta"), out=folder)
        (folder / "png" / "mine.png").write_bytes(b"kept")
        (folder / "notes.txt").write_text("kept")
        clear(folder)
        left = {path.name for path in folder.rglob("*") if path.is_file()}
        assert left == {"mine.png", "notes.txt"}
    stray = tmp_path / "stray"
    png_path(stray, 3).parent.mkdir(parents=True)
    png_path(stray, 3).write_bytes(b"kept")
    clear(stray)  # without an index nothing is the attack's own
    assert png_path(stray, 3).exists()
