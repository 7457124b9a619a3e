"""The registry of data sets, and the options that choose one of them."""

import inspect
import re
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from hashprobe.data.datasets.registry import (
    DATA_SETS,
    EXCLUSIVE,
    DataOptions,
    DataSet,
    data_help,
    data_names,
)
from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError


BUNDLED = {"digits", "moving-digits"}


@pytest.fixture
def toy(monkeypatch, make_split):
    """A data set that one function and one entry make."""
    asked = {}

    def load_toy(root, *, seed, stride, colour):
        asked.update(root=root, seed=seed, stride=stride, colour=colour)
        split = make_split([1, 2, 3, 4], np.eye(4, dtype=bool))
        return RetrievalData("toy", split, split, split, ("a", "b", "c", "d"))

    module = ModuleType("a_toy_data_set")
    module.load_toy = load_toy
    monkeypatch.setitem(sys.modules, "a_toy_data_set", module)
    entry = DataSet(
        "toy",
        "images",
        "a_toy_data_set:load_toy",
        "Four pictures.",
        needs={"root": "the folder of the toys"},
        takes=("split_seed", "stride"),
        fixed={"colour": "red"},
    )
    monkeypatch.setitem(DATA_SETS, "toy", entry)
    return asked


def test_a_data_set_is_one_function_and_one_entry(toy, tmp_path):
    data = DataOptions("toy", root=tmp_path, split_seed=3, stride=2).load()
    assert (data.name, len(data.query)) == ("toy", 4)
    assert toy == {"root": tmp_path, "seed": 3, "stride": 2, "colour": "red"}
    assert "toy" in data_names("images") and "toy" not in data_names("videos")
    assert data_help().startswith("Images: digits, ") and " or toy. Videos: " in data_help()
    with pytest.raises(HashprobeError, match="data toy needs --root, the folder of the toys"):
        DataOptions("toy").load()
    with pytest.raises(HashprobeError, match=r"'toys': did you mean toy\? .* hmdb51, toy$"):
        DataOptions("toys").load()
    with pytest.raises(HashprobeError, match="--stride is for data videofolder and toy only"):
        DataOptions("digits", stride=2).load()


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("cats/1.jpg", "folder --root {}"),
        ("cats/1.MP4", "videofolder --root {}"),
        ("cats/clip/1.jpg", "folder --root {}"),
    ],
)
def test_a_folder_in_place_of_a_name_is_answered_with_the_command_for_it(tmp_path, file, command):
    path = tmp_path / "photos" / file
    path.parent.mkdir(parents=True)
    path.touch()
    where = tmp_path / "photos"
    with pytest.raises(HashprobeError, match=re.escape(f"say {command.format(where)}.")):
        DataOptions(str(where)).load()


def test_a_table_in_place_of_a_name_is_answered_with_the_command_for_it(tmp_path):
    (tmp_path / "shop.csv").touch()
    with pytest.raises(HashprobeError, match=r"say table --lists .*shop\.csv --root FOLDER\."):
        DataOptions(str(tmp_path / "shop.csv")).load()


@pytest.mark.parametrize("data", DATA_SETS.values(), ids=DATA_SETS)
def test_every_entry_fits_its_loader(data):
    """The loader exists, and what it is called with are parameters of it."""
    module, _, name = data.loader.partition(":")
    loader = getattr(__import__(module, fromlist=[name]), name)
    names = {"split_seed": "seed", "official_split": "split", **data.renamed}
    given = {names.get(option, option) for option in [*data.needs, *data.takes]} | set(data.fixed)
    parameters = inspect.signature(loader).parameters
    assert given <= set(parameters)
    required = {n for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    assert required <= given
    assert set(data.needs) | set(data.takes) <= set(DataOptions.__dataclass_fields__)
    assert data.help.endswith(".") and data.name not in data.takes


def test_options_and_names_import_no_torch():
    code = """
import sys
from hashprobe.data import DataOptions, data_help
DataOptions("digits"), data_help()
print([name for name in ("torch", "sklearn", "torchvision") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(set(DATA_SETS) - BUNDLED))
def test_data_with_files_need_their_root(name):
    what = "videos" if name in data_names("videos") else "pictures"
    with pytest.raises(HashprobeError, match=f"data {name} needs --root, the folder of its {what}"):
        DataOptions(name).load()


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_bundled_data_need_nothing(name):
    data = DataOptions(name).load()
    assert data.name == name
    assert data.video == (name in data_names("videos"))


@pytest.mark.parametrize(
    ("name", "what"), [("listfiles", "the folder of the list files"), ("table", "the CSV file")]
)
def test_some_data_need_their_lists(tmp_path, name, what):
    with pytest.raises(HashprobeError, match=f"data {name} needs --lists, {what}"):
        DataOptions(name, root=tmp_path).load()


def test_each_option_reaches_its_data_set(write_tree):
    root = write_tree({"ant": 10, "bee": 10})
    data = DataOptions("folder", root=root, queries=2, training=0.5).load()
    assert [len(split) for split in data.splits().values()] == [4, 10, 16]
    assert data.name == "folder:tree"


@pytest.mark.parametrize("name", ["cifar10", "cifar10-1", "cifar10-2"])
def test_the_name_of_a_cifar10_is_its_convention(name):
    assert DATA_SETS[name].fixed == {"convention": name}


@pytest.mark.parametrize("labels", [20, 21])
def test_the_name_of_a_nuswide_has_its_number_of_labels(labels):
    assert DATA_SETS[f"nuswide-{labels}"].fixed == {"labels": labels}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"labels": "colour:"}, "--labels is for data table only, not digits"),
        ({"group": "product"}, "--group is for data table and videofolder only, not digits"),
        ({"official_split": 1}, "--official-split is for data ucf101 and hmdb51 only, not digits"),
        ({"stride": 2}, "--stride is for data videofolder only, not digits"),
        ({"outside_root": True}, "--outside-root is for data listfiles, imagenet100, nuswide-20, "),
    ],
)
def test_options_of_some_data_are_refused_elsewhere(option, message):
    assert set(option) <= set(EXCLUSIVE)
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
