import pytest

from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.datasets.ucf101 import load_ucf101
from hashprobe.errors import HashprobeError


CLASSES = ("Archery", "Basketball", "HandstandPushups")


def clip_paths(groups=4, each=3):
    return [
        f"{name}/v_{name}_g{g:02d}_c{c:02d}.avi"
        for name in CLASSES
        for g in range(1, groups + 1)
        for c in range(1, each + 1)
    ]


@pytest.fixture
def ucf(write_files, monkeypatch):
    """Root of twelve clips of each of three classes, with the counts made small."""
    monkeypatch.setattr("hashprobe.data.datasets.ucf101.QUERIES", 2)
    monkeypatch.setattr("hashprobe.data.datasets.ucf101.TRAINING", 3)
    return write_files(clip_paths())


@pytest.fixture
def lists(ucf):
    """The official lists of split 1: the first group asks."""
    folder = ucf / "ucfTrainTestlist"
    folder.mkdir()
    tests = [path for path in clip_paths() if "_g01_" in path]
    trains = [path for path in clip_paths() if "_g01_" not in path]
    (folder / "testlist01.txt").write_text("\n".join(tests) + "\n")
    numbered = [f"{path} {CLASSES.index(path.split('/')[0]) + 1}" for path in trains]
    (folder / "trainlist01.txt").write_text("\r\n".join(numbered) + "\r\n")
    return folder


def sizes(data):
    return [len(split) for split in data.splits().values()]


def assert_labels_follow_folders(data):
    for split in data.splits().values():
        named = [data.label_names[i] for i in split.labels.argmax(1)]
        assert named == [path.split("/")[0] for path in split.ids]


def test_the_paper_s_split(ucf):
    data = load_ucf101(ucf)
    assert (data.name, data.video, data.label_names) == ("ucf101", True, CLASSES)
    assert [split.labels.sum(0).tolist() for split in data.splits().values()] == [
        [2] * 3,
        [3] * 3,
        [7] * 3,
    ]
    ids = [name for split in data.splits().values() for name in split.ids]
    assert sorted(ids) == sorted(clip_paths())
    assert_labels_follow_folders(data)
    source = data.database.source
    assert (source.stride, source.limit, source.root) == (3, 40, ucf)
    assert [str(f) for f in data.findings if f.kind == "sizes"] == [
        "the query split has 6 items where the protocol has 3,030",
        "the training split has 9 items where the protocol has 3,030",
        "the database split has 21 items where the protocol has 7,260",
    ]
    assert "overlap" not in {f.kind for f in data.findings}


def test_the_counts_are_the_paper_s():
    from hashprobe.data.datasets import ucf101

    counts = (101 * ucf101.QUERIES, 101 * ucf101.TRAINING)
    assert (*counts, 13_320 - sum(counts)) == tuple(ucf101.SIZES.values())
    assert {sum(pair) for pair in ucf101.OFFICIAL.values()} == {13_320}


def test_the_folder_above_will_do(ucf, tmp_path):
    plain = load_ucf101(ucf)
    (tmp_path / "above").mkdir()
    ucf.rename(tmp_path / "above" / "UCF-101")
    data = load_ucf101(tmp_path / "above")
    assert (data.query.ids, data.checksum) == (plain.query.ids, plain.checksum)


def test_the_seed_decides_the_draw(ucf):
    first, again, other = (load_ucf101(ucf, seed=seed) for seed in (0, 0, 1))
    assert first.checksum == again.checksum
    assert set(first.query.ids) != set(other.query.ids)
    options = DataOptions("ucf101", root=ucf, split_seed=1)
    assert options.load().checksum == other.checksum


@pytest.mark.parametrize("place", ["inside", "beside", "given"])
def test_official_lists_are_used_as_they_are(ucf, lists, tmp_path, place):
    given = None
    if place != "inside":
        lists = lists.rename(tmp_path / ("ucfTrainTestlist" if place == "beside" else "lists"))
        given = lists if place == "given" else None
    data = DataOptions("ucf101", root=ucf, lists=given, official_split=1).load()
    assert data.name == "ucf101:1"
    assert sizes(data) == [9, 27, 27]
    assert {path for path in data.query.ids} == {p for p in clip_paths() if "_g01_" in p}
    assert data.train.ids == data.database.ids
    assert sorted(data.query.ids + data.database.ids) == sorted(clip_paths())
    assert_labels_follow_folders(data)
    assert data.label_names == CLASSES
    assert "order" not in {f.kind for f in data.findings}
    assert data.query.source.stride == 3


def test_lists_in_the_root_are_no_class(ucf, lists):
    assert load_ucf101(ucf).label_names == CLASSES


def test_lists_that_cannot_be_used_say_why(ucf, lists):
    with pytest.raises(HashprobeError, match="official splits 1, 2 and 3; got 4"):
        load_ucf101(ucf, split=4)
    with pytest.raises(HashprobeError, match=r"testlist02\.txt does not exist"):
        load_ucf101(ucf, split=2)
    (lists / "testlist01.txt").write_text("Archery/a.avi\nb.avi\n")
    with pytest.raises(HashprobeError, match=r"entry 2: <class>/<clip>.avi expected; got b.avi"):
        load_ucf101(ucf, split=1)
    for path in lists.iterdir():
        path.unlink()
    lists.rmdir()
    with pytest.raises(HashprobeError, match="an official split of UCF-101 needs --lists"):
        load_ucf101(ucf, split=1)


def test_a_class_with_too_few_clips_is_named(ucf):
    for path in sorted((ucf / "Archery").iterdir())[:8]:
        path.unlink()
    with pytest.raises(HashprobeError, match="class Archery has 4 clips, too few to draw 5"):
        load_ucf101(ucf)
