"""Measures over parts of a database: equal to those over the whole, for every policy."""

import itertools
import pickle
import sys
import tracemalloc

import numpy as np
import pytest

from hashprobe.codes import sharded_codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation import sharded
from hashprobe.evaluation.code_shards import CodeShards
from hashprobe.evaluation.codefile import load_code_file, score_codes
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.sharded import score_shards


def made(folder, items=997, queries=13, bits=20, classes=4, files=3, multi=False, seed=0):
    """A folder of shards, and the same as one .npz file."""
    rng = np.random.default_rng(seed)
    codes = PackedCodes.from_signs(rng.random((items, bits)) < 0.5).data
    asked = PackedCodes.from_signs(rng.random((queries, bits)) < 0.5).data
    labels, own, target = (rng.integers(0, classes, n) for n in (items, queries, queries))
    if multi:
        labels, own, target = (np.eye(classes, dtype=bool)[x] for x in (labels, own, target))
        labels |= rng.random(labels.shape) < 0.2
    folder.mkdir()
    cuts = np.linspace(0, items, files + 1).astype(int)
    for number, (a, b) in enumerate(itertools.pairwise(cuts)):
        np.save(folder / f"{number}.codes.npy", codes[a:b])
        np.save(folder / f"{number}.labels.npy", labels[a:b])
    asked_for = {"query_codes": asked, "query_labels": own, "target_labels": target, "bits": bits}
    np.savez(folder / "queries.npz", **asked_for)
    np.savez(folder.with_suffix(".npz"), database_codes=codes, database_labels=labels, **asked_for)
    return CodeShards.open(folder), load_code_file(folder.with_suffix(".npz"))


ORDERS = [
    ("hits", "stable"), ("hits", "best"), ("hits", "worst"), ("min", "expected"), ("min", "best"),
    ("relevant", "expected"), ("relevant", "stable"), ("relevant", "worst"),
]  # fmt: skip


@pytest.mark.parametrize("multi", [False, True])
def test_it_equals_the_measures_over_the_whole(multi, tmp_path, monkeypatch):
    shards, whole = made(tmp_path / "a", items=397, multi=multi)
    monkeypatch.setattr(sharded_codes, "SLICE", 101)
    for normaliser, ties in ORDERS:
        for top in (None, 1, 60):
            given = {"top": top, "normaliser": normaliser, "ties": ties}
            wanted = score_codes(whole, **given)
            found = score_shards(shards, MeasureOptions(**given))
            assert set(found) == set(wanted) == {"map", "precision", "tmap"}
            for name, one in wanted.items():
                two = found[name]
                assert two.signature == one.signature
                np.testing.assert_allclose(two.per_query, one.per_query, rtol=1e-12, atol=1e-15)
                if ties != "stable":
                    np.testing.assert_array_equal(two.per_query, one.per_query)


def test_equal_distances_keep_the_order_of_the_database_across_files(tmp_path):
    """One code everywhere: only the order says where the hits are."""
    folder = tmp_path / "same"
    folder.mkdir()
    labels = np.array([0, 1, 1, 0, 0, 1, 0])
    for name, rows in (("b", slice(3, 7)), ("a", slice(0, 3))):
        np.save(folder / f"{name}.codes.npy", np.zeros((7, 1), np.uint8)[rows])
        np.save(folder / f"{name}.labels.npy", labels[rows])
    np.savez(
        folder / "queries.npz", query_codes=np.zeros((1, 1), np.uint8), query_labels=[1], bits=8
    )
    found = score_shards(CodeShards.open(folder))["map"].value
    assert found == pytest.approx((1 / 2 + 2 / 3 + 3 / 6) / 3)


def test_long_lists_look_harmonic_numbers_up_one_by_one(tmp_path, monkeypatch):
    shards, _ = made(tmp_path / "a")
    options = MeasureOptions(normaliser="relevant")
    one = score_shards(shards, options)["map"]
    monkeypatch.setattr(sharded, "TABLE", 10)
    two = score_shards(shards, options)["map"]
    np.testing.assert_allclose(one.per_query, two.per_query, rtol=1e-12)


def test_memory_does_not_grow_with_the_database(tmp_path, monkeypatch):
    peaks = []
    monkeypatch.setattr(sharded_codes, "SLICE", 20_000)
    for items in (40_000, 160_000):
        shards, _ = made(tmp_path / str(items), items=items, queries=2, bits=64, files=1)
        score_shards(shards)  # the kernel is compiled
        tracemalloc.start()
        try:
            score_shards(shards)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_without_numba_it_is_one_line(tmp_path, monkeypatch):
    shards, _ = made(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "hashprobe.evaluation.shard_kernels", None)
    with pytest.raises(HashprobeError, match=r"^stable ties over a folder need numba, which"):
        score_shards(shards)
    assert score_shards(shards, MeasureOptions(normaliser="min"))


def test_damaged_folders_are_one_line(tmp_path, as_for_users):
    made(tmp_path / "a")
    folder = tmp_path / "a"
    codes, labels = np.load(folder / "1.codes.npy"), np.load(folder / "1.labels.npy")
    for name, value, words in (
        ("1.codes.npy", codes[:-1], r"has 331 codes, 1\.labels\.npy 332 labels"),
        ("1.codes.npy", codes[:, :2], "must be packed codes of 20 bits, uint8"),
        ("1.codes.npy", codes.astype(int), "must be packed codes of 20 bits, uint8"),
        ("1.codes.npy", codes | 1, "1.codes.npy: "),
        ("1.codes.npy", np.asfortranarray(codes), "is stored by columns"),
        ("1.labels.npy", labels.astype(float), "whole numbers; got float64"),
        ("1.labels.npy", -1 - labels, "must not be negative"),
        ("1.labels.npy", np.eye(4)[labels], r"the queries have classes"),
        ("1.labels.npy", np.array(["a"] * 332), "must be numbers or booleans"),
        ("1.labels.npy", np.array(3), "holds one number, not a label for each code"),
    ):
        good = (folder / name).read_bytes()
        np.save(folder / name, value)
        with pytest.raises(HashprobeError, match=words) as caught:
            score_shards(CodeShards.open(folder))
        assert "\n" not in str(caught.value)
        (folder / name).write_bytes(good)
    for content, words in (
        (good[:-3], "cut off"),
        (b"", "no numpy array"),
        (b"\x93NUMPY", "numpy"),
    ):
        (folder / "0.labels.npy").write_bytes(content)
        with pytest.raises(HashprobeError, match=words):
            CodeShards.open(folder)
    (folder / "0.labels.npy").unlink()
    with pytest.raises(HashprobeError, match=r"0\.labels\.npy does not exist"):
        CodeShards.open(folder)
    queries = dict(np.load(folder / "queries.npz"))
    np.savez(folder / "queries.npz", **{**queries, "query_labels": queries["query_labels"][:-1]})
    with pytest.raises(HashprobeError, match="12 query_labels for 13 query codes"):
        CodeShards.open(folder)
    for path in folder.glob("*.codes.npy"):
        path.unlink()
    np.savez(folder / "queries.npz", **queries)
    with pytest.raises(HashprobeError, match=r"holds no database: files NAME\.codes\.npy"):
        CodeShards.open(folder)


@pytest.mark.parametrize("multi", [False, True])
def test_a_target_that_no_item_has_is_the_error_of_one_file(multi, tmp_path):
    made(tmp_path / "a", multi=multi)
    queries, whole = (dict(np.load(tmp_path / name)) for name in ("a/queries.npz", "a.npz"))
    wanted = queries["target_labels"]
    wanted[3] = np.zeros(4, bool) if multi else 77
    words = "query 3 has no target label" if multi else "unknown target label 77 of query 3"
    np.savez(tmp_path / "a" / "queries.npz", **{**queries, "target_labels": wanted})
    np.savez(tmp_path / "a.npz", **{**whole, "target_labels": wanted})
    with pytest.raises(HashprobeError, match=words) as one:
        load_code_file(tmp_path / "a.npz")
    with pytest.raises(HashprobeError, match=words) as two:
        score_shards(CodeShards.open(tmp_path / "a"))
    assert str(one.value).endswith(str(two.value))


class Elsewhere:
    """Works as a cluster does: on copies whose arrays cannot be written, and not in order."""

    width = 3

    def run(self, start, given, work, tasks):
        kept, results = start(sent(given)), []
        for number, task in enumerate(tasks):
            results.append((number, sent(work(kept, sent(task)))))
        yield from reversed(results)


def sent(thing):
    """What arrives of something in another process."""
    buffers = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[one.raw().tobytes() for one in buffers])


def test_it_does_not_matter_who_computes_the_parts_and_in_which_order(tmp_path, monkeypatch):
    shards, _ = made(tmp_path / "a")
    monkeypatch.setattr(sharded_codes, "SLICE", 101)
    one, two = score_shards(shards), score_shards(shards, executor=Elsewhere())
    for name, here in one.items():
        assert here.to_json() == two[name].to_json()
        np.testing.assert_array_equal(here.per_query, two[name].per_query)


def test_the_command_takes_a_folder(hashprobe, tmp_path):
    made(tmp_path / "a")
    one, two = (hashprobe("evaluate", path) for path in (tmp_path / "a", tmp_path / "a.npz"))
    assert one.code == 0 and one.out == two.out and one.out.count("\n") == 3
    error = hashprobe("evaluate", tmp_path / "a", "--exclude-voters").error
    assert error.endswith("a is a folder") and "--exclude-voters is for .npz files" in error
    assert "are for --executor ray" in hashprobe("evaluate", tmp_path / "a", "--gpus", "1").error
