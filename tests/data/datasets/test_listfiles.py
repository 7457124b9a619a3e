import numpy as np
import pytest
from PIL import Image

from hashprobe.data.datasets.listfiles import load_listfiles
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract, Runtime


ROWS = {
    "test": [("a/1.png", "1 0 1"), ("a/2.png", "0 1 0")],
    "train": [("b/1.png", "1 1 1"), ("b/2.png", "0 0 1"), ("b/3.png", "0 1 0")],
    "database": [("c/1.png", "1 0 0"), ("b/1.png", "1 1 1"), ("c/2.png", "0 0 0")],
}


@pytest.fixture
def root(tmp_path, picture):
    """The pictures that the lists name."""
    names = sorted({path for rows in ROWS.values() for path, _ in rows})
    for seed, name in enumerate(names):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(path)
    return tmp_path / "images"


def single(lists, rows=ROWS, query="test"):
    """One file a split, with the blank that some released lists have at the end of a line."""
    lists.mkdir()
    for name, entries in rows.items():
        text = "".join(f"{path} {labels} \n" for path, labels in entries)
        (lists / f"{query if name == 'test' else name}.txt").write_text(text)
    return lists


def pair(lists, rows=ROWS):
    """Two files a split."""
    lists.mkdir()
    for name, entries in rows.items():
        (lists / f"{name}_img.txt").write_text("\n".join(path for path, _ in entries) + "\n")
        labels = "".join(f"{labels} \n" for _, labels in entries)
        (lists / f"{name}_label.txt").write_text(labels)
    return lists


@pytest.mark.parametrize("write", [single, pair])
def test_both_formats_give_paths_labels_and_pictures(write, tmp_path, root, picture):
    data = load_listfiles(write(tmp_path / "lists"), root)
    for split, rows in zip(data.splits().values(), ROWS.values(), strict=True):
        assert split.ids == tuple(path for path, _ in rows)
        expected = [[value == "1" for value in labels.split()] for _, labels in rows]
        assert split.labels.tolist() == expected
    assert data.label_names == ("0", "1", "2")
    assert data.names_of(data.query.labels[0]) == "0, 2"
    names = sorted({path for rows in ROWS.values() for path, _ in rows})
    shown = decode(data.query, InputContract(size=8), Runtime(workers=0)).images[1]
    expected = picture(names.index("a/2.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(shown.numpy(), expected)


def test_both_formats_are_the_same_data(tmp_path, root):
    first = load_listfiles(single(tmp_path / "lists"), root)
    second = load_listfiles(pair(tmp_path / "pairs"), root)
    assert first.checksum == second.checksum


def test_the_query_list_may_be_called_query(tmp_path, root):
    lists = single(tmp_path / "lists", query="query")
    assert len(DataOptions("listfiles", root=root, lists=lists).load().query) == 2


def test_checks_see_the_item_without_labels_and_the_shared_one(tmp_path, root):
    found = {(f.kind, f.count) for f in load_listfiles(single(tmp_path / "lists"), root).findings}
    assert found == {("overlap", 1), ("unlabelled", 1)}


def test_label_names_stand_beside_the_lists(tmp_path, root):
    lists = single(tmp_path / "lists")
    # Written by a Windows editor, with its mark in front.
    (lists / "label_names.txt").write_bytes("\ufeffsky\r\nseä\r\nsun\r\n".encode())
    assert load_listfiles(lists, root).label_names == ("sky", "seä", "sun")
    (lists / "label_names.txt").write_text("sky\nsea\n")
    with pytest.raises(HashprobeError, match=r"label_names\.txt has 2 names for 3 label columns"):
        load_listfiles(lists, root)


def test_a_missing_list_is_named(tmp_path, root):
    lists = single(tmp_path / "lists")
    (lists / "database.txt").unlink()
    with pytest.raises(HashprobeError, match=r"lists has no database\.txt or database_img\.txt"):
        load_listfiles(lists, root)
    (lists / "database_img.txt").write_text("c/1.png\n")
    with pytest.raises(HashprobeError, match=r"database_img\.txt has no database_label\.txt"):
        load_listfiles(lists, root)


def test_lists_of_different_lengths_are_refused(tmp_path, root):
    lists = pair(tmp_path / "lists")
    (lists / "train_label.txt").write_text("1 0 0\n")
    with pytest.raises(HashprobeError, match=r"train_img\.txt has 3 lines, .* has 1"):
        load_listfiles(lists, root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.txt is empty"),
        ("b/1.png 1 0 1\nb/2.png 1 0\n", "entry 2: 2 label values where the first entry has 3"),
        ("b/1.png\n", "entry 1: 0 label values"),
        ("b/1.png 1 0 2\n", "entry 1: label values are 0 or 1; got 2"),
        ("b/1.png 1 0 1 1\n", "query labels have 3 columns, training labels 4"),
    ],
)
def test_a_malformed_list_is_one_line_that_says_where(tmp_path, root, text, message):
    lists = single(tmp_path / "lists")
    (lists / "train.txt").write_text(text)
    with pytest.raises(HashprobeError, match=message) as caught:
        load_listfiles(lists, root)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_no_text_is_refused(tmp_path, root):
    lists = single(tmp_path / "lists")
    (lists / "train.txt").write_bytes(b"\xff\xfe\x00b")
    with pytest.raises(HashprobeError, match=r"train\.txt is not a text file"):
        load_listfiles(lists, root)


def test_a_picture_that_the_lists_name_but_the_root_lacks_is_found_when_decoding(tmp_path, root):
    (root / "c" / "2.png").unlink()
    data = load_listfiles(single(tmp_path / "lists"), root)
    with pytest.raises(HashprobeError, match=r"c/2\.png: no such file; no other image is bad"):
        decode(data.database, InputContract(size=8), Runtime(workers=0))


OUT = ["../secret.png", "a/../../secret.png", "..", "/etc/secret.png", "a/..", "b/x/../../../s.png"]


@pytest.mark.parametrize("write", [single, pair])
@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize("split", ["test", "database"])
def test_a_path_that_leads_out_of_the_root_is_refused_unless_it_is_allowed(
    write, tmp_path, root, path, split
):
    rows = {**ROWS, split: [*ROWS[split], (path, "1 0 0")]}
    lists = write(tmp_path / "lists", rows)
    number = len(rows[split])
    with pytest.raises(HashprobeError, match=rf"{split}.*, entry {number}: .* leads out of the r"):
        load_listfiles(lists, root)
    allowed = DataOptions("listfiles", root=root, lists=lists, outside_root=True).load()
    assert path in {"test": allowed.query, "database": allowed.database}[split].ids


def test_absolute_paths_inside_the_root_are_fine(tmp_path, root):
    rows = {**ROWS, "test": [(str(root / "a/1.png"), "1 0 1"), ("./a/..2.png", "0 1 0")]}
    data = load_listfiles(single(tmp_path / "lists", rows), root)
    assert data.query.source.read(0).shape == (3, 8, 8)
