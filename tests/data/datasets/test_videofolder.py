import re

import numpy as np
import pytest

from hashprobe.data.clip_sources import FrameFolderSource, VideoFileSource
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.datasets.videofolder import groups_of, load_videofolder
from hashprobe.data.loader import decode
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract, Runtime


def objects(classes=("apple", "car"), each=10, rings=4):
    """Paths of clips of some objects of each class, seen from some sides."""
    return [
        f"{name}/{name}{i}_r{ring}"
        for name in classes
        for i in range(each)
        for ring in range(rings)
    ]


@pytest.fixture
def videos(write_files):
    """Root of 80 video files of 20 objects in two classes."""
    return write_files([f"{path}.avi" for path in objects()])


def of_object(split):
    return {re.sub(r"_r.*", "", path) for path in split.ids}


def test_video_files_are_split_class_by_class(videos):
    data = load_videofolder(videos, queries=4, training=0.5)
    assert data.video
    assert data.name == "videofolder:clips"
    assert data.label_names == ("apple", "car")
    assert isinstance(data.query.source, VideoFileSource)
    assert [s.labels.sum(0).tolist() for s in data.splits().values()] == [
        [4, 4],
        [20, 20],
        [36, 36],
    ]
    assert not set(data.query.ids) & set(data.database.ids)
    assert set(data.train.ids) < set(data.database.ids)
    for split in data.splits().values():
        named = [data.label_names[i] for i in split.labels.argmax(1)]
        assert named == [path.split("/")[0] for path in split.ids]
        assert (np.diff(split.labels.argmax(1)) != 0).sum() > 2
    assert [f.kind for f in data.findings if not f.harmless] == []


def test_folders_of_frames_are_clips_too(write_tree, tmp_path):
    root = tmp_path / "tree"
    for name in objects(each=2, rings=2):
        folder, _, clip = name.rpartition("/")
        write_tree({clip: 3}, root=root / "more" / folder if "car" in name else root / folder)
    (root / "more" / "car").rename(root / "car")
    (root / "more").rmdir()
    data = load_videofolder(root, queries=1, training=1)
    assert isinstance(data.query.source, FrameFolderSource)
    assert len(data.query) + len(data.database) == 8
    pixels = decode(data.database, InputContract(size=8, frames=5), Runtime(workers=0))
    assert pixels.lengths.tolist() == [3] * 6


def test_no_group_is_divided(videos):
    data = load_videofolder(videos, group="^(.*)_", queries=2, training=0.3)
    assert len(data.query) == 2 * 2 * 4
    assert len(of_object(data.query)) == 4
    assert len(of_object(data.train)) == 6
    assert len(data.train) == 24
    assert len(data.database) == 64
    assert not of_object(data.query) & of_object(data.database)
    assert of_object(data.train) < of_object(data.database)
    # Without the rule, clips of one object stand on both sides.
    mixed = load_videofolder(videos, queries=8, training=0.3)
    assert of_object(mixed.query) & of_object(mixed.database)


def test_groups_over_several_classes_are_drawn_from_all(write_files):
    people = [f"{name}/p{i:02d}_{name}_{t}.mp4" for name in "abc" for i in range(10) for t in "xy"]
    root = write_files(people)
    data = load_videofolder(root, group="^(p[0-9]+)_", queries=3, training=0.5)
    asking, learning, all_others = (
        {path.split("/")[1][:3] for path in split.ids} for split in data.splits().values()
    )
    assert (len(asking), len(learning), len(all_others)) == (3, 5, 7)
    assert not asking & all_others
    assert data.query.labels.sum(0).tolist() == [6, 6, 6]


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("(", r"group '\(' is no regular expression: missing \)"),
        ("_r", r"group '_r' must have parentheses"),
        ("(_q)", r"group '\(_q\)' finds nothing in 'apple/apple0_r0' of clip apple/apple0_r0.avi"),
        ("_r(x)?", r"finds nothing in 'apple0_r0' of clip apple/"),
    ],
)
def test_groups_that_cannot_be_had_are_refused(videos, group, message):
    with pytest.raises(HashprobeError, match=message):
        load_videofolder(videos, group=group)


def test_the_group_sees_the_name_without_folder_and_suffix(write_files):
    root = write_files([f"{c}/deep/x{i}.y{i}.avi" for c in "ab" for i in range(3)])
    data = load_videofolder(root, group=r"^(x\d\.y\d)$", queries=1, training=1)
    assert [len(split) for split in data.splits().values()] == [2, 2, 4]
    # A folder of frames has no suffix, whatever stands after its last dot.
    root = write_files([f"{c}/x{i}.y{i}/0.png" for c in "ab" for i in range(3)], root=root / "f")
    data = load_videofolder(root, group=r"^(x\d\.y\d)$", queries=1, training=1)
    assert [len(split) for split in data.splits().values()] == [2, 2, 4]


@pytest.mark.parametrize("pattern", [r"/(S\d+)_", r"^[a-z]+/(S\d+)"])
def test_a_pattern_about_folders_is_looked_for_in_the_path_that_is_shown(pattern):
    ids = tuple(f"attention/S{i}_{k}_1m.avi" for i in (10, 11, 12) for k in (1, 2))
    assert groups_of(ids, pattern).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_pattern_that_fits_some_names_must_fit_all():
    ids = ("a/S1_x.avi", "b_/T2.avi")
    with pytest.raises(HashprobeError, match=r"'\(\\w\)_' finds nothing in 'T2' of clip b_/T2"):
        groups_of(ids, r"(\w)_")


def test_the_seed_decides_the_split_and_options_reach_it(videos):
    first, again, other = (load_videofolder(videos, seed=seed) for seed in (0, 0, 1))
    assert (first.query.ids, first.checksum) == (again.query.ids, again.checksum)
    assert set(first.query.ids) != set(other.query.ids)
    options = {"queries": 2, "training": 3, "group": "^(.*)_", "stride": 5}
    data = DataOptions("videofolder", root=videos, split_seed=1, **options).load()
    assert data.checksum == load_videofolder(videos, seed=1, **options).checksum
    assert [len(data.query), len(data.train)] == [16, 24]
    assert data.query.source.stride == 5


def test_hidden_files_and_other_files_are_no_clips(write_files):
    more = ["apple/._apple0_r0.avi", "apple/.AppleDouble/x.avi", "car/notes.txt", ".git/x.avi"]
    root = write_files([f"{path}.avi" for path in objects(each=2)] + more)
    data = load_videofolder(root, queries=1, training=1)
    assert len(data.query) + len(data.database) == 16
    assert data.label_names == ("apple", "car")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["a/x.avi", "b/y/0.png"], r"video files \(a/x.avi\) and folders of pictures \(b/y\): it"),
        (["a/x.avi", "b/0.png"], r"/b holds pictures, but clips are expected"),
        (["a/x.avi", "b/x.txt"], r"/b holds no clips: neither video files \(\.3gp, \.avi, "),
        (["a/x.avi"], "holds one class, a: retrieval needs two or more"),
        (["x.avi"], "holds no class folders"),
        (["a/x.avi", "a/y.avi", "b/z.avi"], "class b has 1 clips, too few to draw 2"),
    ],
)
def test_trees_that_cannot_be_used_say_why(write_files, paths, message):
    with pytest.raises(HashprobeError, match=message):
        load_videofolder(write_files(paths), queries=1, training=1)


def test_too_few_groups_are_said_to_be_groups(videos):
    with pytest.raises(HashprobeError, match="class apple has 10 groups of clips, too few to dra"):
        load_videofolder(videos, group="^(.*)_", queries=6, training=6)


@pytest.mark.parametrize("count", [0, 1.5])
def test_counts_are_whole_or_shares(videos, count):
    with pytest.raises(HashprobeError, match="queries of each class must be a whole number"):
        load_videofolder(videos, queries=count)
