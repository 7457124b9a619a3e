"""Which files of a tree count, what is skipped, and what is reported as left out."""

import os

import pytest

from hashprobe.data.datasets.folder import load_folder
from hashprobe.data.walk import Tree
from hashprobe.errors import HashprobeError


@pytest.fixture
def root(tmp_path):
    """A folder with one picture of class a."""
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "1.png").write_text("x")
    return tmp_path / "tree"


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


@pytest.mark.parametrize(
    "name",
    ["a/.1.png", "a/._1.png", "a/.ipynb_checkpoints/0-checkpoint.png", "a/b/.thumbs/c/1.png"],
)
def test_hidden_parts_are_skipped_without_a_finding(root, name):
    put(root, name)
    tree = Tree(root)
    assert tree.pictures("a") == ["a/1.png"]
    assert tree.left_out() == ()


def test_parts_of_the_root_itself_may_be_hidden(tmp_path):
    root = tmp_path / ".cache" / "pictures"
    put(root, "a/1.png")
    assert Tree(root).pictures("a") == ["a/1.png"]


def test_every_suffix_of_a_picture_counts_in_any_case(root):
    names = ["2.jfif", "3.jpe", "4.JPG", "5.jpeg", "6.WebP", "7.gif", "deep/er/8.PNG"]
    put(root, *(f"a/{name}" for name in names))
    assert Tree(root).pictures("a") == ["a/1.png", *(f"a/{name}" for name in names)]


def test_what_is_left_out_is_counted_by_suffix(root):
    put(root, "a/2.bmp", "a/3.BMP", "a/4.tif", "a/b/5.avif", "a/README", "a/x.tar.gz", "loose.png")
    os.mkfifo(root / "a" / "6.png")
    (root / "a" / "7.png").symlink_to("nowhere.png")
    (root / "a" / "8.png").mkdir()
    tree = Tree(root)
    tree.loose()
    assert tree.pictures("a") == ["a/1.png"]
    (finding,) = tree.left_out()
    assert (finding.kind, finding.count, finding.harmless) == ("left out", 9, False)
    assert str(finding) == (
        "9 files were left out (1 .avif, 2 .bmp, 1 .gz, 1 .png in no class folder, 1 .tif, "
        "1 broken link, 1 special file, 1 without a suffix), for example a/2.bmp"
    )


def test_links_to_files_and_folders_are_followed(root, tmp_path):
    put(tmp_path, "elsewhere/2.png", "elsewhere/more/3.png")
    (root / "a" / "link.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (root / "a" / "there").symlink_to(tmp_path / "elsewhere")
    assert Tree(root).pictures("a") == [
        "a/1.png", "a/link.png", "a/there/2.png", "a/there/more/3.png"
    ]  # fmt: skip


@pytest.mark.parametrize("target", [".", "..", "../..", "/", "loop"])
def test_links_that_lead_back_are_refused(root, target):
    (root / "a" / "loop").symlink_to(target)
    with pytest.raises(HashprobeError, match=r"a/loop leads back to a folder|levels of symbolic"):
        Tree(root).pictures("a")


def test_a_data_set_reports_what_it_left_out(write_tree):
    root = write_tree({"ant": 4, "bee": 4})
    write_tree({".ipynb_checkpoints": 2}, root=root / "ant", seed=900)
    put(root, "ant/9.heic", "bee/labels.csv", "notes.txt")
    data = load_folder(root, queries=1, training=1)
    assert len(data.query) + len(data.database) == 8
    (finding,) = [f for f in data.findings if f.kind == "left out"]
    assert "(1 .csv, 1 .heic, 1 .txt)" in str(finding)


@pytest.mark.parametrize(
    "words", ["train folder --out OUT --root LOOP", "reproduce table1 --root LOOP"]
)
def test_a_root_whose_links_lead_in_a_circle(hashprobe, tmp_path, words):
    loop, out = tmp_path / "loop", tmp_path / "out"
    loop.symlink_to(loop)
    error = hashprobe(words.replace("OUT", str(out)).replace("LOOP", str(loop))).error
    assert str(loop) in error
    assert not out.exists()
