import inspect
import re

import pytest

from hashprobe.data.datasets.registry import CLIP_NAMES, DATA_NAMES, DataOptions
from hashprobe.errors import HashprobeError


BUNDLED = {"digits", "moving-digits"}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(HashprobeError, match="unknown data 'mnist': choose from digits, cifar10,"):
        DataOptions("mnist").load()


@pytest.mark.parametrize("name", sorted(set(DATA_NAMES) - BUNDLED))
def test_data_with_files_need_their_root(name):
    what = "videos" if name in CLIP_NAMES else "pictures"
    with pytest.raises(HashprobeError, match=f"data {name} needs --root, the folder of its {what}"):
        DataOptions(name).load()


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_bundled_data_need_nothing(name):
    data = DataOptions(name).load()
    assert data.name == name
    assert data.video == (name in CLIP_NAMES)


def test_listfiles_need_their_lists(tmp_path):
    with pytest.raises(HashprobeError, match="data listfiles needs --lists"):
        DataOptions("listfiles", root=tmp_path).load()


def test_each_option_reaches_its_data_set(write_tree):
    root = write_tree({"ant": 10, "bee": 10})
    data = DataOptions("folder", root=root, queries=2, training=0.5).load()
    assert [len(split) for split in data.splits().values()] == [4, 10, 16]
    assert data.name == "folder:tree"


def test_the_name_of_a_cifar10_is_its_convention(tmp_path):
    with pytest.raises(HashprobeError, match="no CIFAR-10 in"):
        DataOptions("cifar10-1", root=tmp_path).load()


def test_a_table_needs_its_file(tmp_path):
    with pytest.raises(HashprobeError, match="data table needs --lists, the CSV file"):
        DataOptions("table", root=tmp_path).load()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"labels": "colour:"}, "--labels is for data table only, not digits"),
        ({"group": "product"}, "--group is for data table and videofolder only, not digits"),
        ({"official_split": 1}, "--official-split is for data ucf101 and hmdb51 only, not digits"),
        ({"stride": 2}, "--stride is for data videofolder only, not digits"),
    ],
)
def test_options_of_some_data_are_refused_elsewhere(option, message):
    with pytest.raises(HashprobeError, match=message):
        DataOptions("digits", **option).load()


def test_unseen_labels_are_held_back_whatever_the_data(write_tree):
    root = write_tree({"ant": 10, "bee": 10, "cow": 10})
    data = DataOptions("folder", root=root, queries=2, training=0.5, unseen=1).load()
    assert [len(split) for split in data.splits().values()] == [4, 10, 24]
    assert len(data.unseen) == 1


def test_options_of_older_runs_mean_what_they_did():
    old = {
        "name": "digits",
        "root": None,
        "lists": None,
        "queries": 0.1,
        "training": 0.3,
        "split_seed": 0,
        "download": False,
    }
    assert DataOptions(**old) == DataOptions("digits")


def test_every_name_stands_in_the_choices():
    said = inspect.getsource(DataOptions)
    choices = re.search(r'name: str\n +"""(.*?)"""', said, re.DOTALL)[1]
    words = re.sub(r"Images:|Videos:| or ", " ", choices)
    assert re.findall(r"[a-z]+[0-9]*(?:-[a-z0-9]+)?", words) == list(DATA_NAMES)
