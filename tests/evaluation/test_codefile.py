import json

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.codefile import load_code_file, score_codes
from hashprobe.evaluation.measures import mean_average_precision


@pytest.fixture
def arrays(problem):
    case = problem(q=6, n=150)
    return {
        "database_codes": case.database_codes.signs(),
        "query_codes": case.query_codes.signs(),
        "database_labels": case.database_labels,
        "query_labels": case.query_labels,
        "target_labels": np.roll(case.query_labels, 1, axis=1),
    }


@pytest.fixture
def load(tmp_path):
    def write_and_load(arrays):
        path = tmp_path / "codes.npz"
        np.savez(path, **arrays)
        return load_code_file(path)

    return write_and_load


def scores(file, **options):
    return {name: m.to_json() for name, m in score_codes(file, **options).items()}


@pytest.mark.parametrize(
    "encode",
    [
        lambda s: s,
        lambda s: s.astype(np.float32),
        lambda s: s > 0,
        lambda s: (s > 0).astype(np.uint8),
        lambda s: np.packbits(s > 0, axis=1),
    ],
    ids=["signs", "float", "bool", "zero-one", "packed"],
)
@pytest.mark.parametrize("integers", [True, False])
def test_every_form_scores_the_same(arrays, load, encode, integers):
    expected = scores(load(arrays), top=20)
    other = {k: encode(v) for k, v in arrays.items() if k.endswith("codes")}
    if other["query_codes"].shape[1] == 2:
        other["bits"] = np.array(16)
    for key in ("database_labels", "query_labels", "target_labels"):
        other[key] = arrays[key].argmax(axis=1) if integers else arrays[key].astype(np.uint8)
    assert scores(load(other), top=20) == expected


@pytest.mark.parametrize("columns", [("database", "query", "target"), ("query",), ("database",)])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_column_of_classes_scores_as_a_row_of_them(arrays, load, columns, classes):
    for key in ("database_labels", "query_labels", "target_labels"):
        arrays[key] = arrays[key].argmax(axis=1) % classes
    expected = scores(load(arrays), top=20)
    for side in columns:
        arrays[f"{side}_labels"] = arrays[f"{side}_labels"][:, None]
    assert scores(load(arrays), top=20) == expected


def test_a_column_of_floats_could_be_either_and_is_refused(arrays, load):
    arrays["query_labels"] = arrays["query_labels"].argmax(axis=1)[:, None] / 1.0
    with pytest.raises(HashprobeError, match=r"query_labels: labels of shape \(6, 1\)"):
        load(arrays)


def test_scores_are_those_of_the_measures(arrays, load, problem):
    case = problem(q=6, n=150)
    found = score_codes(load(arrays), top=20, normaliser="min")
    expected = mean_average_precision(*case.arrays, top=20, normaliser="min")
    assert found["map"].to_json() == expected.to_json()
    assert found["precision"].signature.startswith("P@20|ties:expected|")
    assert found["tmap"].signature.startswith("tMAP@20|norm:min|ties:expected|")
    json.dumps(scores(load(arrays)), allow_nan=False)


@pytest.mark.parametrize(
    ("top", "items", "length"), [(None, 150, 100), (None, 40, 40), (20, 150, 20), (500, 150, 150)]
)
def test_precision_is_over_the_list_or_a_hundred(arrays, load, top, items, length):
    del arrays["target_labels"]
    for key in ("database_codes", "database_labels"):
        arrays[key] = arrays[key][:items]
    found = score_codes(load(arrays), top=top)
    assert set(found) == {"map", "precision"}
    assert found["precision"].signature.startswith(f"P@{length}|")


def test_labels_may_be_any_large_integers(arrays, load):
    names = np.array([7, 10**9, 12, 2**40, 0])
    given = {**arrays}
    for key in ("database_labels", "query_labels", "target_labels"):
        given[key] = names[arrays[key].argmax(axis=1)]
    assert scores(load(given)) == scores(load(arrays))


def test_integers_and_multi_hot_may_be_mixed(arrays, load):
    given = {**arrays, "target_labels": arrays["target_labels"].argmax(axis=1)}
    assert scores(load(given)) == scores(load(arrays))


def test_a_query_label_that_the_database_lacks_is_an_empty_query(arrays, load):
    del arrays["target_labels"]
    arrays["database_labels"] = arrays["database_labels"].argmax(axis=1)
    arrays["query_labels"] = np.full(6, 77)
    assert score_codes(load(arrays))["map"].value == 0


def test_bits_beside_unpacked_codes_do_no_harm(arrays, load):
    assert scores(load({**arrays, "bits": np.array([16])})) == scores(load(arrays))


@pytest.mark.parametrize("bits", [1, 7, 12, 31, 65])
def test_codes_of_any_length_may_be_packed(problem, load, bits):
    case = problem(q=6, n=60, bits=bits)
    labels = {"database_labels": case.database_labels, "query_labels": case.query_labels}
    sides = {"database_codes": case.database_codes, "query_codes": case.query_codes}
    plain = load({**labels, **{name: codes.signs() for name, codes in sides.items()}})
    packed = load({**labels, **{name: codes.data for name, codes in sides.items()}, "bits": bits})
    assert packed.query_codes == plain.query_codes == case.query_codes
    expected = mean_average_precision(*case.arrays).to_json()
    assert scores(packed)["map"] == scores(plain)["map"] == expected


def test_dirty_padding_is_refused(arrays, load):
    packed = {k: np.packbits(v > 0, axis=1) for k, v in arrays.items() if k.endswith("codes")}
    packed["query_codes"][2, 1] = 1
    packed["database_codes"][:, 1] &= 0b1111_0000
    with pytest.raises(HashprobeError, match=r"query_codes: .*4 zero bits; row"):
        load({**arrays, **packed, "bits": 12})


def changed(**changes):
    return lambda arrays: {**arrays, **{k: f(arrays) for k, f in changes.items()}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda a: {k: v for k, v in a.items() if k != "query_labels"},
            "lacks query_labels; it holds database_codes, database_labels, query_codes, target",
        ),
        (changed(database_codes=lambda a: a["database_codes"][:0]), "there are no database codes"),
        (changed(query_codes=lambda a: a["query_codes"][:0]), "there are no query codes"),
        (changed(query_codes=lambda a: a["query_codes"][:, :12]), "12 and 16 bits"),
        (changed(query_codes=lambda a: a["query_codes"][0]), r"query_codes: .*got \(16,\)"),
        (changed(query_codes=lambda a: a["query_codes"] * 0.37), "query_codes: .* got .*0.37"),
        (changed(database_codes=lambda a: a["database_codes"] * np.nan), "database_codes: .* nan"),
        (
            changed(query_codes=lambda a: np.packbits(a["query_codes"] > 0, axis=1)),
            "query_codes: .* got [0-9]+: .*packed codes also need the key bits",
        ),
        (changed(bits=lambda a: 32), "database_codes: packed codes of 32 bits must be uint8"),
        (changed(bits=lambda a: 16.0), "bits must be one integer; got float64"),
        (changed(bits=lambda a: [16, 16]), "bits must be one integer"),
        (changed(query_labels=lambda a: a["query_labels"][:4]), "4 query labels for 6 query codes"),
        (
            changed(database_labels=lambda a: a["database_labels"][:4]),
            "4 database labels for 150 database codes",
        ),
        (changed(target_labels=lambda a: a["target_labels"][:4]), "4 target labels for 6 query"),
        (changed(query_labels=lambda a: a["query_labels"][:, :4]), "over the same classes; got"),
        (changed(query_labels=lambda a: np.array([0, 1, 2, -1, 0, 0])), "query_labels: .*-1 at"),
        (changed(query_labels=lambda a: np.array([0, 1, 2, 5, 0, 0])), "label 5 of item 3"),
        (changed(query_labels=lambda a: np.full(6, 0.5)), "query_labels: .*got float64"),
        (changed(query_labels=lambda a: a["query_labels"] * 3), "query_labels: .*bool or 0/1"),
        (changed(target_labels=lambda a: a["target_labels"] & False), "query 0 has no target"),
        (
            changed(query_labels=lambda a: a["query_labels"] & (np.arange(6) != 4)[:, None]),
            r"query_labels: query 4 has no label \(1 of 6 have none\)",
        ),
        (changed(query_codes=lambda a: a["query_codes"] + 0j), "'query_codes' must be numbers"),
        (changed(query_codes=lambda a: a["query_codes"].astype("m8[s]")), "must be numbers"),
        (changed(query_labels=lambda a: a["query_labels"].astype("M8[s]")), "must be numbers"),
        (
            changed(query_codes=lambda a: a["query_codes"].astype("U2")),
            "query_codes: codes must be",
        ),
        (
            lambda a: {
                **a,
                **{k: (v > 0).astype(np.uint8) for k, v in a.items() if k.endswith("codes")},
                "bits": 128,
            },
            "database_codes: codes of 128 bits in 16 columns of 0 and 1",
        ),
        (
            changed(database_labels=lambda a: a["database_labels"] & False),
            "unknown target label . of query 0: no database item has it",
        ),
    ],
)
def test_every_mistake_is_one_line_that_names_it(arrays, load, change, words):
    with pytest.raises(HashprobeError, match=words) as caught:
        load(change(arrays))
    assert "codes.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 1, -4]), "target_labels: .*must not be negative; got -4 at item 2"),
        (np.array([0, 1, 99]), "unknown target label 99 of query 2"),
        (np.array([0.0, 1.0, 1.0]), "target_labels: .* or multi-hot .*; got float64 of shape"),
    ],
)
def test_integer_targets_are_checked(load, labels, words):
    codes = np.eye(8, dtype=np.int64)
    given = {"database_codes": codes, "database_labels": np.arange(8)}
    queries = {"query_codes": codes[:3], "query_labels": np.arange(3), "target_labels": labels}
    with pytest.raises(HashprobeError, match=words):
        load({**given, **queries})


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.95])
def test_a_truncated_file_is_refused(arrays, tmp_path, keep):
    path = tmp_path / "cut.npz"
    np.savez_compressed(path, **arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(HashprobeError, match=r"cut\.npz is no npz file or was cut off"):
        load_code_file(path)


def test_pickles_are_never_loaded(arrays, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    path = tmp_path / "trap.npz"
    np.savez(path, **{**arrays, "query_labels": np.array([Trap()], dtype=object)})
    with pytest.raises(HashprobeError, match=r"trap\.npz"):
        load_code_file(path)
    assert not tmp_path.joinpath("sprung").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HashprobeError, match=r"none\.npz"):
        load_code_file(tmp_path / "none.npz")
