import numpy as np
import pytest

from hashprobe.data.item_table import ItemColumns, read_table
from hashprobe.errors import HashprobeError


def written(tmp_path, text):
    (tmp_path / "items.csv").write_text(text)
    return tmp_path / "items.csv"


def test_rows_come_in_the_order_that_was_asked_for(tmp_path):
    path = written(tmp_path, "path,class,source\nc,10,x\na,9,y\nb,dog,x\n")
    found = read_table(path, ["a", "c", "a"])
    assert found.ids == found.paths == ("a", "c", "a")
    assert found.groups == ("y", "x", "y")
    assert found.names == ("9", "10", "dog")
    assert found.labels.argmax(axis=1).tolist() == [0, 1, 0]
    assert read_table(path).ids == ("c", "a", "b")


def test_columns_of_zero_and_one_are_labels(tmp_path):
    path = written(tmp_path, "id,cat,dog,size\n1,1,0,7\n2,1,1,8\n")
    found = read_table(path, ["2", "1"])
    assert found.names == ("cat", "dog")
    np.testing.assert_array_equal(found.labels, [[True, True], [True, False]])
    assert found.groups is None
    assert read_table(path, columns=ItemColumns(labels=("d", "c"))).names == ("cat", "dog")


def test_a_table_may_hold_groups_alone(tmp_path):
    found = read_table(written(tmp_path, "id,g\n1,x\n2,y\n"), columns=ItemColumns(group="g"))
    assert (found.labels, found.groups) == (None, ("x", "y"))


@pytest.mark.parametrize(
    ("text", "ids", "columns", "words"),
    [
        ("a,b\n1,2\n", None, {}, "no column of ids: it has 'a', 'b'"),
        ("id,b\n1,2\n1,3\n", None, {}, "has 2 rows for item '1'"),
        ("id,b\n1,2\n", ["1", "7", "8"], {}, "no row for 2 of 3 items, the first is '7'"),
        ("id,b\n1,2\n", None, {"group": "c"}, "no column 'c': it has 'id', 'b'"),
        ("id,label\n1,\n", None, {}, "row 1: column 'label' is empty"),
        ("id,group\n1,x\n2,\n", None, {}, "row 2: column 'group' is empty"),
        ("id,x1,x2\n1,0,3\n", None, {"labels": ("x",)}, "must hold 0 or 1; got '3'"),
        ("id,x,y,z\n1,0,1,true\n2,1,1,false\n", None, {}, "where a label column holds 0 or 1"),
        ("id\n", None, {}, "no rows below"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, text, ids, columns, words):
    with pytest.raises(HashprobeError) as error:
        read_table(written(tmp_path, text), ids, columns=ItemColumns(**columns))
    assert words in str(error.value)


def test_empty_cells_of_rows_that_nobody_asks_for_do_no_harm(tmp_path):
    path = written(tmp_path, "id,group\n1,x\n2,\n")
    assert read_table(path, ["1"]).groups == ("x",)
