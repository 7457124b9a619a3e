"""The cache of decoded clips."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.data.cache import ClipCache
from hashprobe.data.clip_sources import FrameFolderSource
from hashprobe.data.loader import decode
from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract, Runtime


CONTRACT = InputContract(size=8, frames=4)


@pytest.fixture
def split(tmp_path):
    """Six clips of three frames of 12x12 pixels."""
    rng = np.random.default_rng(0)
    for i in range(6):
        (tmp_path / f"c{i}").mkdir()
        for t in range(3):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"c{i}" / f"{t}.png")
    paths = tuple(f"c{i}" for i in range(6))
    return Split(paths, FrameFolderSource(tmp_path, paths), np.ones((6, 1), dtype=bool))


@pytest.fixture
def reads(monkeypatch):
    """Paths of the clips that were decoded from their files."""
    seen = []
    read = FrameFolderSource.read

    def counted(self, position):
        seen.append(self.paths[position])
        return read(self, position)

    monkeypatch.setattr(FrameFolderSource, "read", counted)
    return seen


def run(split, folder, contract=CONTRACT, budget=100_000):
    return decode(split, contract, Runtime(workers=0, cache=ClipCache(folder, budget)))


def test_what_was_decoded_once_is_read_from_the_cache(split, reads, tmp_path):
    plain = decode(split, CONTRACT, Runtime(workers=0))
    first = run(split, tmp_path / "cache")
    assert len(reads) == 12
    again = run(split, tmp_path / "cache")
    assert len(reads) == 12, "decoded a second time"
    for found in (first, again):
        assert torch.equal(found.images, plain.images)
        assert found.lengths.tolist() == [3] * 6
    # By content, not by place.
    assert torch.equal(run(split.take([4, 1]), tmp_path / "cache").images, plain.images[[4, 1]])
    assert len(reads) == 12


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_share_the_cache(split, tmp_path):
    plain = decode(split, CONTRACT, Runtime(workers=0))
    shared = decode(split, CONTRACT, Runtime(workers=2, cache=ClipCache(tmp_path / "cache")))
    assert torch.equal(shared.images, plain.images)
    assert len(list((tmp_path / "cache").iterdir())) == 6


@pytest.mark.parametrize(
    "other",
    [
        InputContract(size=9, frames=4),
        InputContract(size=8, frames=2),
        InputContract(size=8, frames=4, filter="bicubic"),
        InputContract(size=8, frames=4, fit="crop"),
    ],
    ids=["size", "frames", "filter", "fit"],
)
def test_another_contract_is_another_clip(split, reads, tmp_path, other):
    run(split, tmp_path / "cache")
    found = run(split, tmp_path / "cache", other)
    assert len(reads) == 12
    assert torch.equal(found.images, decode(split, other, Runtime(workers=0)).images)


def test_what_changes_nothing_that_is_seen_is_the_same_clip(split, reads, tmp_path):
    run(split, tmp_path / "cache")
    run(split, tmp_path / "cache", InputContract(size=8, frames=4, mean=(0.0, 0.0, 0.0)))
    assert len(reads) == 6


def test_another_frame_rule_or_another_content_is_another_clip(split, reads, tmp_path):
    run(split, tmp_path / "cache")
    ids, labels = split.ids, split.labels
    strided = Split(ids, FrameFolderSource(tmp_path, ids, stride=2), labels)
    assert run(strided, tmp_path / "cache").lengths.tolist() == [2] * 6
    assert len(reads) == 12
    Image.new("RGB", (12, 12), (9, 9, 9)).save(tmp_path / "c0" / "0.png")
    assert (run(split, tmp_path / "cache").images[0, 0] == 9).all()
    assert len(reads) == 13


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_files_are_decoded_again(split, reads, tmp_path, damage):
    plain = run(split, tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        data = bytearray(path.read_bytes())
        if damage == "flipped":
            data[-5] ^= 1
        path.write_bytes({"cut": data[:100], "empty": b"", "text": b"hello"}.get(damage, data))
    reads.clear()
    assert torch.equal(run(split, tmp_path / "cache").images, plain.images)
    assert len(reads) == 6
    assert torch.equal(run(split, tmp_path / "cache").images, plain.images)
    assert len(reads) == 6, "the damaged files were not replaced"


def clip(level=0):
    return torch.full((2, 3, 8, 8), level, dtype=torch.uint8)


def test_the_budget_holds_and_the_least_recently_used_go_first(tmp_path):
    one = ClipCache(tmp_path / "one")
    one.check()
    one.put("a", clip())
    (file,) = (tmp_path / "one").iterdir()
    size = file.stat().st_size
    cache = ClipCache(tmp_path / "cache", budget=3 * size)
    for number, key in enumerate("abc"):
        cache.put(key, clip(number))
        os.utime(tmp_path / "cache" / f"{key}.clip", (1000 + number,) * 2)
    assert shown(cache.get("a")) == 0
    cache.put("d", clip(3))
    assert cache.get("b") is None
    assert [shown(cache.get(key)) for key in "acd"] == [0, 2, 3]
    assert sum(p.stat().st_size for p in (tmp_path / "cache").iterdir()) == 3 * size


def shown(found):
    return int(found[0, 0, 0, 0])


def test_decoding_keeps_within_the_budget(split, tmp_path):
    run(split, tmp_path / "cache", budget=2_000)
    sizes = [p.stat().st_size for p in (tmp_path / "cache").iterdir()]
    assert 0 < sum(sizes) <= 2_000
    assert run(split, tmp_path / "none", budget=0).lengths.tolist() == [3] * 6
    assert list((tmp_path / "none").iterdir()) == []


def test_what_a_killed_process_left_is_cleared_and_other_files_are_not(tmp_path):
    (tmp_path / ".old.clip.0123abcd.part").write_bytes(bytes(5_000))
    os.utime(tmp_path / ".old.clip.0123abcd.part", (1000, 1000))
    (tmp_path / "precious.txt").write_bytes(bytes(5_000))
    ClipCache(tmp_path, budget=2_000).put("a", clip())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.clip", "precious.txt"]


def test_clips_in_memory_and_images_are_not_cached(make_clips, make_split, tmp_path):
    cache = ClipCache(tmp_path / "cache")
    decode(make_clips([2]), InputContract(size=4, frames=2), Runtime(cache=cache))
    decode(make_split([1], [[1]]), InputContract(size=4), Runtime(cache=cache))
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_is_said_before_anything_is_decoded(split, reads, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HashprobeError, match=r"no cache of clips: .* lies below a file"):
        run(split, tmp_path / "file" / "cache")
    with pytest.raises(HashprobeError, match=r"no cache of clips: .*file is in the way"):
        run(split, tmp_path / "file")
    with pytest.raises(HashprobeError, match="budget of 0 or more bytes; got -1"):
        run(split, tmp_path / "cache", budget=-1)
    assert reads == []


def test_a_folder_that_cannot_be_written_is_said(split, reads, monkeypatch, tmp_path):
    # Whoever runs the tests as root may write everywhere.
    monkeypatch.setattr("hashprobe.data.cache.os.access", lambda path, mode: False)
    with pytest.raises(HashprobeError, match=r"no cache of clips: no permission for .*cache"):
        run(split, tmp_path / "cache")
    assert reads == []


def test_a_full_disk_only_costs_time(split, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hashprobe.storage.files.os.replace", full)
    assert run(split, tmp_path / "cache").lengths.tolist() == [3] * 6
    assert list((tmp_path / "cache").iterdir()) == []
