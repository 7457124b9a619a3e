import pytest

from hashprobe.data.clip_sources import FrameFolderSource, VideoFileSource
from hashprobe.data.datasets.jhmdb import load_jhmdb
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError


CLASSES = ("brush_hair", "catch", "clap")


def clip_paths(suffix):
    return [f"{name}/{name}_film_{i}{suffix}" for name in CLASSES for i in range(24)]


@pytest.fixture
def videos(write_files):
    """Root of 24 clips of each of three classes as .avi files."""
    return write_files(clip_paths(".avi"))


def test_ten_of_each_class_ask_ten_train_and_the_rest_is_the_database(videos):
    data = load_jhmdb(videos)
    assert (data.name, data.video, data.label_names) == ("jhmdb", True, CLASSES)
    counts = [split.labels.sum(0).tolist() for split in data.splits().values()]
    assert counts == [[10] * 3, [10] * 3, [4] * 3]
    ids = [name for split in data.splits().values() for name in split.ids]
    assert sorted(ids) == sorted(clip_paths(".avi"))
    source = data.query.source
    assert isinstance(source, VideoFileSource)
    assert (source.stride, source.limit) == (1, 40)
    for split in data.splits().values():
        named = [data.label_names[i] for i in split.labels.argmax(1)]
        assert named == [path.split("/")[0] for path in split.ids]
    wanted = [
        str(f).split(" where the protocol has ")[1] for f in data.findings if f.kind == "sizes"
    ]
    assert wanted == ["210", "210", "508"]


def test_the_seed_decides_the_draw(videos):
    first, again = load_jhmdb(videos), load_jhmdb(videos)
    other = DataOptions("jhmdb", root=videos, split_seed=1).load()
    assert first.checksum == again.checksum
    assert set(first.query.ids) != set(other.query.ids)


def test_what_the_archives_unpack_to_is_found_and_frames_come_first(write_files, tmp_path):
    root = tmp_path / "jhmdb"
    write_files(clip_paths(".avi"), root=root / "ReCompress_Videos")
    assert load_jhmdb(root).query.source.root == root / "ReCompress_Videos"
    frames = [f"{clip}/{t:05d}.png" for clip in clip_paths("") for t in (1, 2)]
    write_files(frames, root=root / "Rename_Images")
    source = load_jhmdb(root).query.source
    assert isinstance(source, FrameFolderSource)
    assert source.root == root / "Rename_Images"
    assert len(source.frames(0)) == 2


def test_a_class_with_too_few_clips_is_named(videos):
    for path in sorted((videos / "clap").iterdir())[:5]:
        path.unlink()
    with pytest.raises(HashprobeError, match="class clap has 19 clips, too few to draw 20"):
        load_jhmdb(videos)
