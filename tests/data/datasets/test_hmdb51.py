import pytest

from hashprobe.data.datasets.hmdb51 import load_hmdb51
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError


CLASSES = ("cartwheel", "climb", "wave")


def clip_paths():
    """Names as they are there, blanks and brackets included."""
    return [f"{name}/(HQ)_Film - {i}#1_{name}_f_cm.avi" for name in CLASSES for i in range(10)]


@pytest.fixture
def hmdb(write_files):
    """Root of ten clips of each of three classes."""
    return write_files(clip_paths())


@pytest.fixture
def lists(hmdb, tmp_path):
    """Split files beside the root: clip i of a class does what USES[i] says, shifted in split 2."""
    folder = tmp_path / "testTrainMulti_7030_splits"
    folder.mkdir()
    for number in (1, 2):
        for name in CLASSES:
            clips = [path.split("/")[1] for path in clip_paths() if path.startswith(name)]
            lines = [f"{clip} {USES[(i + number) % 10]} \n" for i, clip in enumerate(clips)]
            (folder / f"{name}_test_split{number}.txt").write_text("".join(lines))
    return folder


USES = (2, 2, 2, 1, 1, 1, 1, 1, 0, 0)


def expected(number, use):
    clips = enumerate(clip_paths())
    return {path for i, path in clips if USES[(i % 10 + number) % 10] == use}


def test_without_split_files_the_split_is_random_and_says_so(hmdb):
    data = load_hmdb51(hmdb)
    assert data.name == "hmdb51:random"
    counts = [split.labels.sum(0).tolist() for split in data.splits().values()]
    assert counts == [[3] * 3, [3] * 3, [4] * 3]
    ids = [name for split in data.splits().values() for name in split.ids]
    assert sorted(ids) == sorted(clip_paths())
    (found,) = [f for f in data.findings if f.kind == "split"]
    assert "no official split files were found: the split is random" in str(found)
    assert not found.harmless
    assert set(load_hmdb51(hmdb, seed=1).query.ids) != set(data.query.ids)


@pytest.mark.parametrize("number", [None, 1, 2])
def test_official_splits_say_what_each_clip_does(hmdb, lists, number):
    data = DataOptions("hmdb51", root=hmdb, official_split=number).load()
    number = number or 1
    assert data.name == f"hmdb51:{number}"
    assert set(data.query.ids) == expected(number, 2)
    assert set(data.database.ids) == expected(number, 1)
    assert data.train.ids == data.database.ids
    for split in data.splits().values():
        named = [data.label_names[i] for i in split.labels.argmax(1)]
        assert named == [path.split("/")[0] for path in split.ids]
    (left,) = [f for f in data.findings if f.kind == "left out"]
    assert (left.count, left.harmless) == (6, True)
    assert {f.kind for f in data.findings} == {"left out", "sizes", "overlap"}


def test_split_files_can_stand_in_the_root_or_elsewhere(hmdb, lists, tmp_path):
    plain = load_hmdb51(hmdb, split=1)
    inside = lists.rename(hmdb / lists.name)
    assert load_hmdb51(hmdb, split=1).checksum == plain.checksum
    inside.rename(tmp_path / "elsewhere")
    assert load_hmdb51(hmdb, lists=tmp_path / "elsewhere").checksum == plain.checksum


def test_split_files_that_cannot_be_used_say_why(hmdb, lists, tmp_path):
    with pytest.raises(HashprobeError, match="official splits 1, 2 and 3; got 0"):
        load_hmdb51(hmdb, split=0)
    with pytest.raises(HashprobeError, match=r"cartwheel_test_split3\.txt does not exist"):
        load_hmdb51(hmdb, split=3)
    path = lists / "climb_test_split1.txt"
    whole = path.read_text()
    path.write_text(whole + "gone.avi 1\n")
    with pytest.raises(HashprobeError, match=r"names gone\.avi, which is not in climb"):
        load_hmdb51(hmdb)
    path.write_text(whole + "gone.avi 3\n")
    with pytest.raises(HashprobeError, match=r"climb_test_split1\.txt: .* got 'gone.avi 3'"):
        load_hmdb51(hmdb)
    for options in ({"split": 1}, {"lists": tmp_path / "nowhere"}):
        lists = lists.rename(tmp_path / "moved") if lists.name != "moved" else lists
        with pytest.raises(HashprobeError, match="no split files of HMDB51 in"):
            load_hmdb51(hmdb, **options)
