"""ImageNet-100 from fake folders and lists of a few files; their content is never decoded."""

import numpy as np
import pytest

from hashprobe.data.datasets.imagenet import load_imagenet100
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError


WNIDS = [f"n{i:08d}" for i in range(8)]
FEW = {"classes": 4, "queries": 3, "training": 5}


def touch(path):
    """A file whose content is its own name, so that no two are equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.as_posix())


@pytest.fixture
def imagenet(tmp_path):
    """8 classes with 10 training and 4 validation images each."""
    root = tmp_path / "imagenet"
    for wnid in WNIDS:
        for i in range(10):
            touch(root / "train" / wnid / f"{wnid}_{i}.JPEG")
        for i in range(4):
            touch(root / "val" / wnid / f"ILSVRC2012_val_{wnid[-1]}{i:07d}.JPEG")
    return root


def sizes(data):
    return [len(split) for split in data.splits().values()]


def wnid_of(path):
    return path.split("/")[-2]


def kinds(data, kind):
    return [str(f) for f in data.findings if f.kind == kind]


def assert_labels_follow_folders(data, splits):
    for split in splits:
        assert (split.labels.sum(1) == 1).all()
        named = [data.label_names[i] for i in split.labels.argmax(1)]
        assert named == [wnid_of(path) for path in split.ids]


def test_the_recipe_draws_classes_queries_and_training_items(imagenet):
    data = load_imagenet100(imagenet, **FEW)
    assert data.name == "imagenet100"
    assert sizes(data) == [12, 20, 40]
    assert len(data.label_names) == 4
    assert set(data.label_names) < set(WNIDS)
    assert data.label_names == tuple(sorted(data.label_names))
    assert_labels_follow_folders(data, data.splits().values())
    assert data.query.labels.sum(0).tolist() == [3] * 4
    assert data.train.labels.sum(0).tolist() == [5] * 4
    assert data.database.labels.sum(0).tolist() == [10] * 4
    assert set(data.train.ids) < set(data.database.ids)
    assert all(path.startswith("val/") for path in data.query.ids)
    assert all(path.startswith("train/") for path in data.database.ids)
    assert len(set(data.query.ids)) == 12
    assert (imagenet / data.query.ids[0]).is_file()
    assert data.unseen == ()


def test_the_usual_options_are_the_papers(imagenet):
    with pytest.raises(HashprobeError, match="train holds 8 classes, too few to draw 100"):
        load_imagenet100(imagenet)
    data = load_imagenet100(imagenet, classes=8)
    # 50 and 100 of each class are asked for; there are 4 and 10.
    assert sizes(data) == [32, 80, 80]
    assert kinds(data, "sizes") == [
        "the query split has 32 items where the protocol has 5,000",
        "the training split has 80 items where the protocol has 10,000",
    ]


def test_the_protocols_sizes_are_no_finding(imagenet, monkeypatch):
    monkeypatch.setattr("hashprobe.data.datasets.imagenet.SIZES", {"query": 12, "training": 20})
    assert kinds(load_imagenet100(imagenet, **FEW), "sizes") == []


def test_everything_is_in_random_order(imagenet):
    data = load_imagenet100(imagenet, classes=8)
    for split in data.splits().values():
        classes = split.labels.argmax(1)
        assert (classes[1:] == classes[:-1]).mean() < 0.4
    assert kinds(data, "order") == []


def test_the_seed_decides_classes_and_draws(imagenet):
    first, again, other = (load_imagenet100(imagenet, seed=s, **FEW) for s in (1, 1, 2))
    assert first.checksum == again.checksum
    assert first.label_names != other.label_names
    same = [load_imagenet100(imagenet, seed=s, classes=8, queries=2) for s in (1, 2)]
    assert set(same[0].query.ids) != set(same[1].query.ids)


def test_unseen_classes_join_the_database_only(imagenet):
    closed = load_imagenet100(imagenet, **FEW)
    data = load_imagenet100(imagenet, unseen=2, **FEW)
    assert data.label_names[:4] == closed.label_names
    assert data.label_names[4:] == data.unseen
    assert len(set(data.label_names)) == 6
    assert sizes(data) == [12, 20, 60]
    assert_labels_follow_folders(data, data.splits().values())
    assert (data.query.ids, data.train.ids) == (closed.query.ids, closed.train.ids)
    assert data.database.labels.sum(0).tolist() == [10] * 6
    for split in (data.query, data.train):
        assert split.labels.shape[1] == 6
        assert not split.labels[:, 4:].any()
    # Not at the end, where ties would always put them.
    strangers = np.flatnonzero(data.database.labels[:, 4:].any(1))
    assert strangers.min() < 20
    (note,) = [f for f in data.findings if f.kind == "unseen"]
    assert (note.count, note.harmless) == (20, True)


def test_a_larger_open_set_holds_the_smaller(imagenet):
    one, three = (load_imagenet100(imagenet, unseen=n, **FEW) for n in (1, 3))
    assert one.label_names[:4] == three.label_names[:4]
    assert three.unseen[:1] == one.unseen


def test_too_many_unseen_classes_are_refused(imagenet):
    with pytest.raises(HashprobeError, match="4 classes besides the 4 of the protocol, too few"):
        load_imagenet100(imagenet, unseen=5, **FEW)


def test_classes_can_be_named(imagenet, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classes.txt").write_text(f"{WNIDS[6]} a fish\n{WNIDS[2]}\n")
    data = load_imagenet100(imagenet, lists, queries=3, training=5)
    assert data.label_names == (WNIDS[2], WNIDS[6])
    assert sizes(data) == [6, 10, 20]
    more = load_imagenet100(imagenet, lists, unseen=6, queries=3, training=5)
    assert set(more.unseen) == set(WNIDS) - {WNIDS[2], WNIDS[6]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{WNIDS[0]}\nn99999999\n", "train has no folder n99999999, which classes.txt names"),
        ("tench\n", "must name a class a line, as n01440764; got tench"),
        (f"{WNIDS[0]}\n{WNIDS[0]}\n", "each once; it has 2 lines and 1 classes"),
        (f"{WNIDS[0]}\n", "it has 1 lines and 1 classes"),
    ],
)
def test_classes_that_cannot_be_are_refused(imagenet, tmp_path, text, message):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "classes.txt").write_text(text)
    with pytest.raises(HashprobeError, match=message):
        load_imagenet100(imagenet, tmp_path / "lists")


def test_the_layout_of_the_competition_is_read(imagenet, tmp_path):
    plain = load_imagenet100(imagenet, **FEW)
    root = tmp_path / "kaggle"
    (root / "ILSVRC" / "Data").mkdir(parents=True)
    imagenet.rename(root / "ILSVRC" / "Data" / "CLS-LOC")
    data = load_imagenet100(root, **FEW)
    prefix = "ILSVRC/Data/CLS-LOC/"
    assert data.query.ids == tuple(prefix + path for path in plain.query.ids)
    assert data.database.ids == tuple(prefix + path for path in plain.database.ids)


def flatten(imagenet, table):
    """All validation images in one folder, with Kaggle's table of their classes."""
    lines = ["ImageId,PredictionString"]
    for path in sorted((imagenet / "val").glob("*/*.JPEG")):
        lines.append(f"{path.stem},{path.parent.name} 1 2 30 40 {WNIDS[0]} 5 6 70 80 ")
        path.rename(imagenet / "val" / path.name)
        if not list(path.parent.iterdir()):
            path.parent.rmdir()
    table.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("up", [0, 3])
def test_a_flat_validation_folder_needs_kaggles_table(imagenet, tmp_path, up):
    plain = load_imagenet100(imagenet, **FEW)
    root = tmp_path / "a" / "b" / "c"
    root.parent.mkdir(parents=True)
    imagenet.rename(root)
    flatten(root, [root, *root.parents][up] / "LOC_val_solution.csv")
    data = load_imagenet100(root, **FEW)
    flat = [path.replace(f"val/{wnid_of(path)}/", "val/") for path in plain.query.ids]
    assert list(data.query.ids) == flat
    np.testing.assert_array_equal(data.query.labels, plain.query.labels)
    assert data.database.ids == plain.database.ids
    assert (root / data.query.ids[0]).is_file()


def test_a_flat_validation_folder_alone_says_what_is_missing(imagenet, tmp_path):
    flatten(imagenet, tmp_path / "elsewhere.csv")
    with pytest.raises(HashprobeError, match=r"val must hold one folder a class .* LOC_val_sol"):
        load_imagenet100(imagenet, **FEW)
    (imagenet / "LOC_val_solution.csv").write_text("image,class\na,b\n")
    with pytest.raises(HashprobeError, match="the columns ImageId and PredictionString"):
        load_imagenet100(imagenet, **FEW)


def test_no_validation_folder_is_the_same_error(imagenet):
    (imagenet / "val").rename(imagenet / "other")
    with pytest.raises(HashprobeError, match="val must hold one folder a class"):
        load_imagenet100(imagenet, **FEW)


def test_a_class_without_pictures_is_named(imagenet):
    for path in (imagenet / "train" / WNIDS[3]).iterdir():
        path.unlink()
    with pytest.raises(HashprobeError, match=f"train/{WNIDS[3]} holds no images"):
        load_imagenet100(imagenet, classes=8)


def test_no_imagenet_is_said(tmp_path):
    with pytest.raises(HashprobeError, match=r"no ImageNet in .*: it must hold train/<wnid>"):
        load_imagenet100(tmp_path)


@pytest.mark.parametrize(
    ("option", "number", "least"),
    [("unseen", -1, 0), ("classes", 1, 2), ("queries", 0, 1), ("training", 0, 1)],
)
def test_senseless_numbers_are_refused(imagenet, option, number, least):
    with pytest.raises(HashprobeError, match=f"{option} must be at least {least}; got {number}"):
        load_imagenet100(imagenet, **{option: number})


@pytest.fixture
def lists(imagenet, tmp_path):
    """Lists over the first three classes, 130 training lines of two and 90 of the third."""
    folder = tmp_path / "lists"
    folder.mkdir()

    def lines(paths):
        marks = {wnid: " ".join(str(int(w == wnid)) for w in WNIDS[:3]) for wnid in WNIDS[:3]}
        return "".join(f"{path} {marks[wnid_of(path)]}\n" for path in paths)

    train = [
        f"train/{wnid}/{wnid}_{i}.JPEG"
        for wnid, count in zip(WNIDS, (130, 130, 90), strict=False)
        for i in range(count)
    ]
    test = [f"ILSVRC2012/val/{wnid}/v{i}.JPEG" for wnid in WNIDS[:3] for i in range(2)]
    (folder / "train.txt").write_text(lines(train))
    (folder / "test.txt").write_text(lines(test))
    (folder / "database.txt").write_text(lines([*train, f"train/{WNIDS[1]}/more.JPEG"]))
    return folder


def test_lists_are_used_and_training_items_cut_to_a_hundred(imagenet, lists):
    data = load_imagenet100(imagenet, lists)
    assert data.name == "imagenet100"
    assert sizes(data) == [6, 290, 351]
    assert data.train.labels.sum(0).tolist() == [100, 100, 90]
    assert len(set(data.train.ids)) == 290
    assert set(data.train.ids) < set(data.database.ids)
    assert data.database.ids[0] == f"train/{WNIDS[0]}/{WNIDS[0]}_0.JPEG"
    assert kinds(data, "sizes") == [
        "the query split has 6 items where the protocol has 5,000",
        "the training split has 290 items where the protocol has 10,000",
        "the database split has 351 items where the protocol has 128,503",
    ]
    other = load_imagenet100(imagenet, lists, seed=1)
    assert set(other.train.ids) != set(data.train.ids)
    assert other.database.ids == data.database.ids


def test_short_training_lists_stay_as_they_are(imagenet, lists):
    data = load_imagenet100(imagenet, lists, training=130)
    written = [line.split()[0] for line in (lists / "train.txt").read_text().splitlines()]
    assert list(data.train.ids) == written


def test_unseen_classes_beside_lists_come_from_the_folder(imagenet, lists):
    data = load_imagenet100(imagenet, lists, unseen=5)
    assert data.label_names[:3] == ("0", "1", "2")
    assert set(data.unseen) == set(WNIDS[3:])
    assert sizes(data) == [6, 290, 401]
    strangers = data.database.labels[:, 3:].any(1)
    assert strangers.sum() == 50
    for position in np.flatnonzero(strangers):
        name = data.label_names[data.database.labels[position].argmax()]
        assert wnid_of(data.database.ids[position]) == name
    assert np.flatnonzero(strangers).min() < 100
    assert not data.query.labels[:, 3:].any()
    closed = load_imagenet100(imagenet, lists)
    assert data.train.ids == closed.train.ids
    # What the protocol has grows with them.
    assert kinds(data, "sizes")[-1] == (
        "the database split has 401 items where the protocol has 128,553"
    )


def test_unseen_classes_beside_lists_need_the_folder(tmp_path, lists):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(HashprobeError, match=r"no ImageNet in .*pictures"):
        load_imagenet100(tmp_path / "pictures", lists, unseen=1)


def test_unseen_classes_beside_lists_need_classes_in_their_paths(imagenet, lists):
    for path in lists.iterdir():
        path.write_text(path.read_text().replace("/n0", "/x0"))
    with pytest.raises(HashprobeError, match="have no folder with the name of a class"):
        load_imagenet100(imagenet, lists, unseen=1)


def test_the_options_reach_it(imagenet, lists):
    data = DataOptions("imagenet100", root=imagenet, lists=lists, unseen=2, split_seed=3).load()
    assert data.checksum == load_imagenet100(imagenet, lists, unseen=2, seed=3).checksum
