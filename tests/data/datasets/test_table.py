import numpy as np
import pytest

from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.datasets.table import load_table
from hashprobe.errors import HashprobeError


@pytest.fixture
def table(tmp_path):
    """40 pictures of 20 products, two each, in any order; product 19 has no colour."""
    root = tmp_path / "shop"
    lines = []
    for product in range(20):
        for view in range(2):
            red, blue = int(product % 3 == 0), int(product % 3 != 0)
            if product == 19:
                red = blue = 0
            path = root / f"p{product}" / f"{view}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(path))
            lines.append(f"p{product}/{view}.jpg,p{product},{product},{red},{blue},{product % 2}")
    csv = tmp_path / "shop.csv"
    head = "path,product,price,colour:red,colour:blue,size:large"
    csv.write_text("\n".join([head, *np.random.default_rng(0).permutation(lines)]) + "\n")
    return csv, root


def products(split):
    return {path.split("/")[0] for path in split.ids}


def sizes(data):
    return [len(split) for split in data.splits().values()]


def test_items_are_split_by_shares(table):
    data = load_table(*table, queries=0.1, training=0.5)
    assert data.name == "table:shop"
    # Product 19 is odd, so it is large: all 40 carry a label.
    assert sizes(data) == [4, 20, 36]
    assert data.label_names == ("colour:red", "colour:blue", "size:large")
    assert set(data.train.ids) < set(data.database.ids)
    assert len({*data.query.ids, *data.database.ids}) == 40
    assert {f.kind for f in data.findings if not f.harmless} == set()


def test_labels_are_those_of_the_row(table):
    data = load_table(*table)
    for split in data.splits().values():
        assert (split.source.root, split.source.paths) == (table[1], split.ids)
        for path, row in zip(split.ids, split.labels.tolist(), strict=True):
            product = int(path.split("/")[0][1:])
            red = product % 3 == 0 and product != 19
            blue = product % 3 != 0 and product != 19
            assert row == [red, blue, product % 2 == 1]


def test_prefixes_choose_labels_and_what_has_none_is_left_out(table):
    data = load_table(*table, labels=("colour:",), queries=2, training=3)
    assert data.label_names == ("colour:red", "colour:blue")
    assert sizes(data) == [2, 3, 36]
    assert "p19" not in products(data.query) | products(data.database)
    (found,) = [f for f in data.findings if f.kind == "left out"]
    assert found.count == 2
    assert set(found.examples) == {"p19/0.jpg", "p19/1.jpg"}
    assert str(found).startswith("2 of 40 items carry none of the labels and were left out, for ex")


def test_groups_are_not_divided(table):
    for seed in range(5):
        data = load_table(*table, group="product", queries=0.2, training=0.3, seed=seed)
        assert sizes(data) == [8, 12, 32]
        assert not products(data.query) & products(data.database)
        assert products(data.train) <= products(data.database)
        assert (len(products(data.query)), len(products(data.train))) == (4, 6)


def test_whole_numbers_count_groups(table):
    data = load_table(*table, group="product", queries=3, training=4)
    assert sizes(data) == [6, 8, 34]
    # Without groups the same numbers count items, whose products are then divided.
    assert sizes(load_table(*table, queries=3, training=4)) == [3, 4, 37]


def test_a_group_of_0_and_1_is_no_label(table):
    data = load_table(*table, group="size:large", queries=1, training=1)
    assert data.label_names == ("colour:red", "colour:blue")


def test_all_is_in_random_order(table):
    data = load_table(*table, queries=0.4, group="product")
    for split in data.splits().values():
        assert list(split.ids) != sorted(split.ids)
        neighbours = np.array([path.split("/")[0] for path in split.ids])
        assert (neighbours[1:] == neighbours[:-1]).mean() < 0.4


def test_the_seed_decides_the_split(table):
    first, again, other = (load_table(*table, seed=s) for s in (0, 0, 1))
    assert first.checksum == again.checksum
    assert set(first.query.ids) != set(other.query.ids)


def test_the_options_reach_it(table):
    csv, root = table
    options = DataOptions(
        "table",
        root=root,
        lists=csv,
        queries=3,
        training=0.5,
        split_seed=4,
        labels="colour:, size:",
        group="product",
    )
    direct = load_table(
        csv,
        root,
        labels=("colour:", "size:"),
        group="product",
        queries=3,
        training=0.5,
        seed=4,
    )
    assert options.load().checksum == direct.checksum


def test_quotes_and_a_windows_editors_mark_are_read(tmp_path):
    csv = tmp_path / "t.csv"
    rows = "".join(f'"a, {i}.jpg",{i % 2},{1 - i % 2}\r\n' for i in range(6))
    csv.write_bytes(("\ufeffpath, x ,y\r\n" + rows).encode())
    data = load_table(csv, tmp_path)
    assert data.label_names == ("x", "y")
    assert all(path.startswith("a, ") for path in data.database.ids)


HEAD = "path,group,x,y\n"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("file,x,y\na,1,0\n", {}, "has no column 'path': it has file, x, y"),
        (HEAD + "a,g,1,0\n", {"group": "shop"}, "has no column 'shop': it has path, group, x, y"),
        (HEAD + "a,g,1,0\n", {"labels": ("z",)}, "no column whose name begins with 'z': it has pa"),
        (HEAD + "a,g,1,0\nb,g,1,-1\n", {"labels": ("x", "y")}, "row 2: label column 'y' must hold"),
        (HEAD + "a,g,1,0\n", {"labels": ("x",)}, "two or more label columns; got x"),
        (HEAD + "a,g,3,4\n", {}, "two or more label columns; got none"),
        (HEAD + "a,g,1\n", {}, "row 1: 3 values for 4 column names"),
        (HEAD, {}, "has no rows"),
        ("", {}, "is empty"),
        ("path,x,x\na,1,0\n", {}, "has two columns 'x'"),
        (HEAD + "a,g,1,0\n,g,1,0\n", {}, "row 2: column 'path' is empty"),
        (HEAD + "a,,1,0\n", {"group": "group"}, "row 1: column 'group' is empty"),
        (HEAD + 'a,"g"x,1,0\n', {}, "is no CSV file"),
        (HEAD + "a,g,1,0\nb,g,0,1\n", {"group": "group"}, "has 1 labelled items or groups of them"),
        (HEAD + "a,g,0,0\n", {}, "has 0 labelled items or groups of them, too few to draw 2"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, text, options, message):
    csv = tmp_path / "t.csv"
    csv.write_text(text)
    with pytest.raises(HashprobeError, match=message) as caught:
        load_table(csv, tmp_path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [0, -1, 1.5, float("nan")])
def test_counts_are_whole_or_shares(table, count):
    with pytest.raises(HashprobeError, match="queries must be a whole number, or a share between"):
        load_table(*table, queries=count)
    with pytest.raises(HashprobeError, match="training must be a whole number, or a share between"):
        load_table(*table, training=count)


def test_a_root_that_is_not_there_is_named(table):
    with pytest.raises(HashprobeError, match=r"no such folder: .*nowhere"):
        load_table(table[0], table[1] / "nowhere")


def column_of(values):
    """A table of pictures whose column `z` holds some values, with labels x and y beside it."""
    rows = "".join(f"{i}.jpg,{i % 2},{1 - i % 2},{value}\n" for i, value in enumerate(values))
    return "path,x,y,z\n" + rows


@pytest.mark.parametrize(
    ("values", "row", "cell"),
    [
        (["0", "1", "", "1", "0", "1"], 3, ""),
        (["", "", "", "", "1", ""], 1, ""),
        (["0", "1", "nan", "1", "0", "1"], 3, "nan"),
        (["1", "0", "1", "0", "x", "1"], 5, "x"),
        (["1", "0", "2", "0", "1", "1"], 3, "2"),
        (["1.0", "0.0", "", "0.0", "1.0", "1.0"], 1, "1.0"),
        (["true", "false", "true", "true", "false", "true"], 1, "true"),
        (["0", "1", "True", "0", "FALSE", "1"], 3, "True"),
        (["yes", "no", "no", "no", "", "yes"], 1, "yes"),
        (["y", "n", "n", "y", "y", "y"], 1, "y"),
        (["1", "-1", "1", "1", "-1", "1"], 2, "-1"),
    ],
)
def test_a_column_that_is_nearly_a_label_is_named_with_its_row(tmp_path, values, row, cell):
    csv = tmp_path / "t.csv"
    csv.write_text(column_of(values))
    with pytest.raises(HashprobeError) as caught:
        load_table(csv, tmp_path)
    assert f"row {row}: column 'z' holds {cell!r}" in str(caught.value)
    # Who names the labels says that it is none.
    assert load_table(csv, tmp_path, labels=("x", "y")).label_names == ("x", "y")


@pytest.mark.parametrize(
    "values",
    [
        ["", "", "", "", "", ""],
        ["0", "1", "2", "0", "1", "2"],
        ["f", "m", "f", "f", "m", "f"],
        ["3", "1", "4", "1", "5", "9"],
        ["red", "no", "blue", "green", "red", "red"],
    ],
    ids=["blank", "folds", "letters", "numbers", "words"],
)
def test_a_column_of_another_kind_is_no_label(tmp_path, values):
    csv = tmp_path / "t.csv"
    csv.write_text(column_of(values))
    assert load_table(csv, tmp_path).label_names == ("x", "y")


def test_a_path_that_leads_out_of_the_root_is_refused_unless_it_is_allowed(tmp_path):
    csv = tmp_path / "t.csv"
    csv.write_text(column_of(["0"] * 6).replace("4.jpg", "../4.jpg"))
    with pytest.raises(
        HashprobeError, match=r"row 5: \.\./4\.jpg leads out of the root .*--outside"
    ):
        load_table(csv, tmp_path)
    assert len(load_table(csv, tmp_path, outside_root=True).database) > 0
