"""NUS-WIDE from a fake copy of its raw files: 81 concepts, no pictures."""

import numpy as np
import pytest

from hashprobe.data.datasets.nuswide import load_nuswide
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError


COUNT = 600
SMALL = {20: {"query": 50, "training": 100}, 21: {"query": 63, "training": 147}}


@pytest.fixture
def marks():
    """(600, 81): concept i has fewer pictures the larger i is; 20 and 21 are tied."""
    rng = np.random.default_rng(0)
    table = np.zeros((COUNT, 81), dtype=bool)
    for i in range(81):
        count = 150 - i if i != 21 else 130
        table[rng.permutation(COUNT)[:count], i] = True
    # The last items have rare concepts only, and none at all.
    table[500:, :22] = False
    table[500:560, 22:] = True
    table[560:] = False
    for i in range(22):
        missing = (150 - i if i != 21 else 130) - int(table[:, i].sum())
        table[np.flatnonzero(~table[:500, i])[:missing], i] = True
    table[:, 22:] &= np.arange(COUNT)[:, None] % 2 == 0
    return table


@pytest.fixture
def nuswide(tmp_path, marks):
    root = tmp_path / "nus"
    (root / "ImageList").mkdir(parents=True)
    (root / "Groundtruth" / "AllLabels").mkdir(parents=True)
    (root / "Flickr").mkdir()
    lines = "".join(f"actor\\{i:04d}_{i}.jpg\r\n" for i in range(COUNT))
    (root / "ImageList" / "Imagelist.txt").write_bytes(lines.encode())
    for i, column in enumerate(marks.T):
        text = "\r\n".join("01"[value] for value in column.astype(int))
        path = root / "Groundtruth" / "AllLabels" / f"Labels_{concept(i)}.txt"
        path.write_bytes(text.encode())
    return root


def concept(i):
    """Names in another order than the frequencies; of the tied two, 21 has the earlier name."""
    return f"c{(i * 37 + 5) % 81:02d}" if i not in (20, 21) else ("tie_b", "tie_a")[i - 20]


@pytest.fixture
def scaled(monkeypatch):
    monkeypatch.setattr("hashprobe.data.datasets.nuswide.SIZES", SMALL)


def number(path):
    return int(path.split("_")[1].removesuffix(".jpg"))


def sizes(data):
    return [len(split) for split in data.splits().values()]


@pytest.mark.parametrize("labels", [20, 21])
def test_the_most_frequent_concepts_label_the_pictures(nuswide, marks, scaled, labels):
    data = load_nuswide(nuswide, labels)
    assert data.name == f"nuswide-{labels}"
    chosen = sorted((concept(i), i) for i in ([*range(20), 21] if labels == 21 else range(20)))
    assert data.label_names == tuple(name for name, _ in chosen)
    columns = [i for _, i in chosen]
    for split in data.splits().values():
        where = [number(path) for path in split.ids]
        np.testing.assert_array_equal(split.labels, marks[where][:, columns])
        assert split.labels.any(1).all()
    labelled = {i for i in range(COUNT) if marks[i, columns].any()}
    everyone = [number(path) for split in (data.query, data.database) for path in split.ids]
    assert len(everyone) == len(labelled)
    assert set(everyone) == labelled


@pytest.mark.parametrize("labels", [20, 21])
def test_sizes_and_what_stands_where(nuswide, scaled, labels):
    data = load_nuswide(nuswide, labels)
    assert sizes(data)[:2] == list(SMALL[labels].values())
    assert not set(data.query.ids) & set(data.database.ids)
    assert set(data.train.ids) < set(data.database.ids)
    for split in data.splits().values():
        assert len(set(split.ids)) == len(split)
        assert sorted(split.ids) != list(split.ids)
    assert [f for f in data.findings if f.kind in ("sizes", "order")] == []


def test_nuswide_21_draws_for_each_label(nuswide, scaled):
    data = load_nuswide(nuswide, 21)
    assert (data.query.labels.sum(0) >= 3).all()
    assert (data.train.labels.sum(0) >= 7).all()


def test_the_true_sizes_are_the_protocols(nuswide):
    # 600 pictures are far from enough: all of them become queries.
    with pytest.raises(HashprobeError, match="nuswide-20: the training split is empty"):
        load_nuswide(nuswide, 20)


def test_a_short_split_is_a_finding(nuswide, monkeypatch):
    wanted = {20: {"query": 50, "training": 5_000}}
    monkeypatch.setattr("hashprobe.data.datasets.nuswide.SIZES", wanted)
    data = load_nuswide(nuswide, 20)
    (found,) = [f for f in data.findings if f.kind == "sizes"]
    there = len(data.train)
    assert there == len(data.database) < 5_000
    assert str(found) == f"the training split has {there} items where the protocol has 5,000"
    assert found.count == 5_000 - there


@pytest.mark.parametrize("labels", [20, 21])
def test_the_seed_decides_the_draw(nuswide, scaled, labels):
    first, again, other = (load_nuswide(nuswide, labels, seed=s) for s in (0, 0, 1))
    assert first.checksum == again.checksum
    assert set(first.query.ids) != set(other.query.ids)
    assert set(first.train.ids) != set(other.train.ids)


def test_the_pictures_are_where_they_are(nuswide, scaled):
    assert load_nuswide(nuswide).query.source.root == nuswide / "Flickr"
    (nuswide / "Flickr").rename(nuswide / "images")
    assert load_nuswide(nuswide).query.source.root == nuswide / "images"
    (nuswide / "images").rmdir()
    data = load_nuswide(nuswide)
    assert data.query.source.root == nuswide
    assert data.query.source.paths == data.query.ids
    assert data.query.ids[0].startswith("actor/")


def test_other_cases_and_places_are_found(nuswide, scaled):
    plain = load_nuswide(nuswide)
    (nuswide / "Groundtruth" / "AllLabels").rename(nuswide / "alllabels")
    (nuswide / "ImageList" / "Imagelist.txt").rename(nuswide / "ImageList" / "ImageList.txt")
    (nuswide / "ImageList").rename(nuswide / "imagelist")
    (nuswide / "Flickr").rename(nuswide / "flickr")
    moved = load_nuswide(nuswide)
    assert moved.query.ids == plain.query.ids
    assert moved.query.source.root.name.lower() == "flickr"


def test_what_is_missing_is_named(nuswide, tmp_path):
    with pytest.raises(HashprobeError, match=r"no NUS-WIDE in .*: it must hold ImageList/Imagelis"):
        load_nuswide(tmp_path / "nowhere")
    labels = nuswide / "Groundtruth" / "AllLabels"
    (labels / f"Labels_{concept(3)}.txt").unlink()
    with pytest.raises(HashprobeError, match=r"has 80 files Labels_<concept>.txt where .* has 81"):
        load_nuswide(nuswide)
    labels.rename(nuswide / "gone")
    with pytest.raises(HashprobeError, match=r"no labels of NUS-WIDE in .* Groundtruth/AllLabels"):
        load_nuswide(nuswide)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n0\n", r"Labels_c05\.txt has 2 values, Imagelist\.txt has 600 lines"),
        ("1\n2\n", r"Labels_c05\.txt must hold one 0 or 1 a line"),
        ("", r"Labels_c05\.txt has 0 values"),
    ],
)
def test_a_damaged_label_file_is_named(nuswide, text, message):
    path = nuswide / "Groundtruth" / "AllLabels" / f"Labels_{concept(0)}.txt"
    path.write_text(text)
    with pytest.raises(HashprobeError, match=message):
        load_nuswide(nuswide)


def test_other_numbers_of_labels_are_refused(nuswide):
    with pytest.raises(HashprobeError, match="with 20 or 21 labels; got 81"):
        load_nuswide(nuswide, 81)


@pytest.fixture
def lists(tmp_path):
    """Two files a split, with 21 labels."""
    folder = tmp_path / "lists"
    folder.mkdir()
    for role, count in (("test", 2), ("train", 3), ("database", 4)):
        rows = [" ".join("01"[i == row] for i in range(21)) for row in range(count)]
        (folder / f"{role}_label.txt").write_text("".join(f"{row} \n" for row in rows))
        images = "".join(f"images/{role}{r}.jpg\n" for r in range(count))
        (folder / f"{role}_img.txt").write_text(images)
    return folder


def test_lists_are_used_as_they_are(tmp_path, lists):
    data = load_nuswide(tmp_path, 21, lists=lists)
    assert data.name == "nuswide-21"
    assert sizes(data) == [2, 3, 4]
    assert data.query.ids == ("images/test0.jpg", "images/test1.jpg")
    assert data.query.source.root == tmp_path
    assert [str(f) for f in data.findings if f.kind == "sizes"] == [
        "the query split has 2 items where the protocol has 2,100",
        "the training split has 3 items where the protocol has 10,500",
    ]
    with pytest.raises(HashprobeError, match="21 label columns where nuswide-20 has 20"):
        load_nuswide(tmp_path, 20, lists=lists)


@pytest.mark.parametrize("labels", [20, 21])
def test_the_options_reach_it(nuswide, scaled, labels):
    options = DataOptions(f"nuswide-{labels}", root=nuswide, split_seed=2)
    assert options.load().checksum == load_nuswide(nuswide, labels, seed=2).checksum


def test_the_options_pass_lists_on(tmp_path, lists):
    data = DataOptions("nuswide-21", root=tmp_path, lists=lists).load()
    assert sizes(data) == [2, 3, 4]
