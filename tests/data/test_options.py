import pytest

from hashprobe.data import DataOptions
from hashprobe.errors import HashprobeError


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(HashprobeError, match="unknown data 'mnist': choose from digits, cifar10,"):
        DataOptions("mnist").load()


@pytest.mark.parametrize("name", ["cifar10", "cifar10-1", "cifar10-2", "folder", "listfiles"])
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
