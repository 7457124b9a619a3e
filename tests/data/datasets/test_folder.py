import numpy as np
import pytest

from hashprobe.data.datasets.folder import load_folder, up_to_each
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError


COUNTS = {"ant": 20, "bee": 30, "cow": 10}


def per_class(split, names):
    return dict(zip(names, split.labels.sum(0).tolist(), strict=True))


def test_shares_are_taken_of_each_class(write_tree):
    root = write_tree(COUNTS)
    data = load_folder(root, queries=0.1, training=0.3)
    assert data.label_names == ("ant", "bee", "cow")
    assert per_class(data.query, data.label_names) == {"ant": 2, "bee": 3, "cow": 1}
    assert per_class(data.train, data.label_names) == {"ant": 6, "bee": 9, "cow": 3}
    assert per_class(data.database, data.label_names) == {"ant": 18, "bee": 27, "cow": 9}
    assert not set(data.query.ids) & set(data.database.ids)
    assert set(data.train.ids) < set(data.database.ids)
    assert len(set(data.query.ids) | set(data.database.ids)) == 60


def test_whole_numbers_are_counts_of_each_class(write_tree):
    data = load_folder(write_tree(COUNTS), queries=4, training=5)
    assert per_class(data.query, data.label_names) == {"ant": 4, "bee": 4, "cow": 4}
    assert per_class(data.train, data.label_names) == {"ant": 5, "bee": 5, "cow": 5}
    assert len(data.database) == 48


def test_labels_are_the_folder_that_holds_the_file(write_tree):
    data = load_folder(write_tree(COUNTS))
    for split in data.splits().values():
        named = [data.label_names[i] for i in split.labels.argmax(1)]
        assert named == [path.split("/")[0] for path in split.ids]
        assert (split.labels.sum(1) == 1).all()


def test_the_seed_decides_the_split(write_tree):
    root = write_tree(COUNTS)
    first, again, other = (load_folder(root, seed=seed) for seed in (0, 0, 1))
    assert (first.query.ids, first.checksum) == (again.query.ids, again.checksum)
    assert set(first.query.ids) != set(other.query.ids)
    options = DataOptions("folder", root=root, split_seed=1)
    assert options.load().checksum == other.checksum


def test_database_and_queries_are_not_ordered_by_class(write_tree):
    data = load_folder(write_tree({"ant": 40, "bee": 40}))
    for split in (data.query, data.database):
        kinds = split.labels.argmax(1)
        assert (np.diff(kinds) != 0).sum() > 2
    assert "order" not in {f.kind for f in data.findings}


def test_any_depth_and_any_suffix_count_hidden_files_do_not(write_tree, tmp_path):
    root = write_tree({"ant": 3, "bee": 3})
    write_tree({"deep": 2}, root=root / "ant", seed=500, suffix=".JPEG")
    (root / "ant" / "._0000.png").write_bytes(b"not a picture")
    (root / "ant" / "notes.txt").write_text("no picture either")
    (root / ".cache").mkdir()
    data = load_folder(root, queries=1, training=1)
    ants = [p for s in (data.query, data.database) for p in s.ids if p.startswith("ant/")]
    assert sorted(ants) == [
        "ant/0000.png",
        "ant/0001.png",
        "ant/0002.png",
        "ant/deep/0000.JPEG",
        "ant/deep/0001.JPEG",
    ]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(HashprobeError, match="holds no class folders"):
        load_folder(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HashprobeError, match=r"no such folder: .*nowhere"):
        load_folder(tmp_path / "nowhere")


def test_a_class_without_images_is_named(write_tree):
    root = write_tree({"ant": 3})
    (root / "bee").mkdir()
    with pytest.raises(HashprobeError, match=r"tree/bee holds no images \(\.gif, "):
        load_folder(root)


def test_one_class_is_refused(write_tree):
    with pytest.raises(HashprobeError, match="one class, ant: retrieval needs two or more"):
        load_folder(write_tree({"ant": 5}))


def test_a_class_with_too_few_images_is_named(write_tree):
    with pytest.raises(HashprobeError, match="class cow has 10 images, too few to draw 12"):
        load_folder(write_tree(COUNTS), queries=4, training=8)


@pytest.mark.parametrize("count", [0, -1, 1.5, float("nan")])
def test_counts_are_whole_or_shares(write_tree, count):
    root = write_tree({"ant": 3, "bee": 3})
    with pytest.raises(HashprobeError, match="queries of each class must be a whole number"):
        load_folder(root, queries=count)
    with pytest.raises(HashprobeError, match="training of each class must be a whole number"):
        load_folder(root, queries=1, training=count)


def test_items_of_each_label_are_drawn_once_and_none_that_is_taken():
    labels = np.random.default_rng(0).random((300, 4)) < 0.3
    first = up_to_each(labels, 10, np.random.default_rng(1))
    second = up_to_each(labels, 15, np.random.default_rng(1), taken=first)
    assert (len(first), len(second)) == (40, 60)
    assert len({*first, *second}) == 100
    assert (labels[first].sum(0) >= 10).all()
    assert (labels[second].sum(0) >= 15).all()


def test_a_label_with_fewer_items_gives_what_it_has():
    labels = np.repeat(np.eye(2, dtype=bool), [3, 9], axis=0)
    drawn = up_to_each(labels, 5, np.random.default_rng(0))
    assert labels[drawn].sum(0).tolist() == [3, 5]
    assert up_to_each(labels[:0], 5, np.random.default_rng(0)).shape == (0,)
