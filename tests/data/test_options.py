import inspect
import re

import pytest

from hashprobe.data import DataOptions
from hashprobe.data.options import DATA_NAMES
from hashprobe.errors import HashprobeError


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(HashprobeError, match="unknown data 'mnist': choose from digits, cifar10,"):
        DataOptions("mnist").load()


@pytest.mark.parametrize("name", [name for name in DATA_NAMES if name != "digits"])
def test_data_with_pictures_need_their_root(name):
    with pytest.raises(HashprobeError, match=f"data {name} needs --root"):
        DataOptions(name).load()


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


@pytest.mark.parametrize("option", [{"labels": "colour:"}, {"group": "product"}])
def test_options_of_a_table_are_refused_elsewhere(option):
    with pytest.raises(HashprobeError, match="for data table only, not digits"):
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
    assert re.findall(r"[a-z]+[0-9]*(?:-[0-9]+)?", choices.replace(" or ", " ")) == list(DATA_NAMES)
