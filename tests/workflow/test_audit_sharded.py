"""An audit of codes in files: the same as of one file, in memory that does not grow with them."""

import tracemalloc

import numpy as np
import pytest
import torch

import hashprobe as hp
from hashprobe.codes import sharded_codes
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.index.flat import FlatIndex
from hashprobe.codes.index.sharded_index import ShardedIndex
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import ShardedCodes, digest_of
from hashprobe.errors import HashprobeError
from hashprobe.evaluation import false_matching, health
from hashprobe.evaluation.false_matching import false_matches
from hashprobe.evaluation.few_sources import FewSources, Numbered
from hashprobe.evaluation.instances import Sources
from hashprobe.types import Runtime


BITS, SIDE = 20, 8
QUICK = {"eps": (24 / 255,), "steps": 5, "exact": False, "edits": False, "examples": 1}


def victim():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE**2, BITS))
    return hp.Victim(net, bits=BITS, size=SIDE, mean=0.5)


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (10, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def database(folder, pictures, items=300):
    """Codes near and far of some pictures in three files, and the same in one; gives both paths."""
    rng = np.random.default_rng(5)
    near = np.repeat(victim().encode(pictures).packed.signs(), 2, axis=0)
    near = np.where(rng.random(near.shape) < 0.08, -near, near)
    far = rng.choice([-1, 1], (items - len(near), BITS))
    data = PackedCodes.from_signs(rng.permutation(np.concatenate([near, far, far[:7]]))).data
    shards, whole = folder / "shards", folder / "whole.npz"
    shards.mkdir()
    for name, rows in zip("cab", np.split(np.arange(len(data)), [90, 95]), strict=True):
        np.save(shards / f"{'abc'['cab'.index(name)]}{name}.codes.npy", data[rows])
    np.savez(whole, codes=data, bits=BITS)
    return shards, whole


@pytest.fixture
def small(monkeypatch):
    """Few codes are in memory at once."""
    monkeypatch.setattr(sharded_codes, "SLICE", 64)
    monkeypatch.setattr(false_matching, "COUNTED", 17)
    monkeypatch.setattr(health, "COMPARED", 50)


def record(result):
    """What an audit found, but for when and how it was called."""
    found = result.to_json()
    for name in ("created", "command"):
        del found[name]
    return found


@pytest.mark.parametrize(
    "more",
    [
        {"radius": 3},
        {"radius": "auto", "fpr": 1e-3},
        {"radius": 3, "access": "query", "query_budget": 30, "top": 5, "seed": 1},
    ],
)
def test_it_equals_the_audit_of_one_file(more, pictures, tmp_path, small):
    shards, whole = database(tmp_path, pictures)
    one, two = (hp.audit(victim(), pictures, path, **{**QUICK, **more}) for path in (whole, shards))
    assert record(one) == record(two)
    assert one.goal("evade").rates[0][1].value > 0 and "all of its" not in str(one.notes)
    assert [list(map(str, each.after)) for each in one.samples] == [
        list(map(str, each.after)) for each in two.samples
    ]


def test_groups_of_a_table_name_the_sources(pictures, tmp_path, small):
    shards, whole = database(tmp_path, pictures)
    table = tmp_path / "groups.csv"
    rows = [(0, "cat"), (250, "cat"), (3, "dog"), (17, "cow"), (90, "cow"), (94, "dog"), (1, "one")]
    table.write_text("id,group\n" + "".join(f"{item},{group}\n" for item, group in rows))
    files = hp.AuditFiles(labels=table)
    one, two = (
        hp.audit(victim(), pictures, path, radius="auto", fpr=0.01, files=files, **QUICK)
        for path in (whole, shards)
    )
    assert record(one) == record(two)
    assert two.false_matches.pairs == 10 * 307 - 12  # cat, one, dog; else by ids


def test_the_interval_is_the_same_where_only_some_weights_are_drawn(
    pictures, tmp_path, small, monkeypatch
):
    shards, whole = database(tmp_path, pictures)
    codes = victim().encode(pictures).packed
    stored = ShardedCodes.open(shards, BITS), PackedCodes(np.load(whole)["codes"], BITS)

    def rates(held):
        return false_matches(codes, held, Sources.alone_in(10, held)).rate(5)

    every = rates(stored[0])
    monkeypatch.setattr(false_matching, "SINGLE", 10)
    one, two = map(rates, stored)
    assert one.to_json() == two.to_json() and one.value == every.value
    assert (one.low, one.high) == pytest.approx((every.low, every.high), rel=0.1)
    assert one.low != every.low


def test_few_sources_are_numbered_as_an_array_is():
    few = FewSources(7, 3, np.array([1, 2, 5]), np.array([0, 5, 5]))
    queries = np.array([2, 0, 0])
    one, two = Numbered(queries, few), Numbered(queries, few[:])
    assert few[:].tolist() == [3, 0, 5, 6, 7, 5, 9]
    assert (one.total, one.held) == (two.total, two.held) == (7, 6)
    everything = np.arange(7)
    for name in ("asked", "named"):
        kept = [each for each in getattr(two, name) if two.sizes(np.array([each]))[0] >= 0]
        assert getattr(one, name).tolist() == kept
    np.testing.assert_array_equal(one.of_items(everything), two.of_items(everything))
    np.testing.assert_array_equal(one.sizes(everything), two.sizes(everything))
    for sources in (Sources(queries, few), Sources(queries, few[:])):
        assert [own.tolist() for own in sources.own] == [[], [1], [1]]
        assert sources.known.tolist() == [False, True, True]


def test_codes_in_files_are_read_like_codes_in_memory(tmp_path, pictures, small):
    shards, whole = database(tmp_path, pictures)
    stored, held = ShardedCodes.open(shards, BITS), PackedCodes(np.load(whole)["codes"], BITS)
    mask = np.arange(307) % 3 == 0
    several = (slice(80, 100), slice(-9, None), slice(99, 80, -2), slice(0, 0), mask, 90, -1)
    for rows in (*several, np.array([306, 0, 90, -1, 89]), np.zeros(0, np.int64)):
        assert stored[rows] == held[rows]
    for rows in (307, np.array([3, -308]), mask[1:]):
        for codes in (stored, held):
            with pytest.raises(IndexError):
                codes[rows]
    assert digest_of(stored) == digest_of(held) and len(stored) == len(held) == 307
    index = FlatIndex(BITS)
    index.add(held)
    queries = victim().encode(pictures).packed
    for k in (1, 70, 307):
        found = zip(ShardedIndex(stored).search(queries, k), index.search(queries, k), strict=True)
        assert all(np.array_equal(a, b) for a, b in found)
    with pytest.raises(HashprobeError, match="a code must have 1 to 4096 bits; got 0"):
        ShardedCodes.open(shards, 0)
    theirs = ShardedCodes.open(shards, BITS, BitConvention(inverted=True))
    assert (theirs[:].signs() == -held.signs()).all()


def test_memory_does_not_grow_with_the_database(pictures, tmp_path, monkeypatch):
    peaks = []
    monkeypatch.setattr(sharded_codes, "SLICE", 4_000)
    monkeypatch.setattr(false_matching, "COUNTED", 4_000)
    monkeypatch.setattr(false_matching, "SINGLE", 1000)
    monkeypatch.setattr(health, "COMPARED", 4_000)
    monkeypatch.setattr(health, "BLOCK", 1 << 16)
    for items in (4_000, 8_000, 40_000):  # the first loads what is loaded once
        folder = tmp_path / str(items)
        folder.mkdir()
        shards, _ = database(folder, pictures, items)
        tracemalloc.start()
        try:
            how = {"radius": "auto", "fpr": 0.05, "count": 2, "goals": ("evade",)}
            hp.audit(victim(), pictures, shards, **how, **QUICK)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] < 1.25 * peaks[1]


def test_a_folder_that_does_not_fit_is_one_line(pictures, tmp_path):
    shards, _ = database(tmp_path, pictures)
    first = sorted(shards.iterdir())[0]
    good = np.load(first)
    for value, words in (
        (good[:, :2], r"must be packed codes of 20 bits, uint8 \(N, 3\)"),
        (good[:0], "has 0 codes"),
        (good | 1, "aa?.*codes.npy: packed codes of 20 bits must end in 4 zero bits"),
    ):
        np.save(first, value)
        with pytest.raises(HashprobeError, match=words) as caught:
            hp.audit(victim(), pictures, shards, radius=2, runtime=Runtime(), **QUICK)
        assert "\n" not in str(caught.value)


def test_labels_and_a_second_stage_are_not_those_of_codes_in_files(pictures, tmp_path):
    shards, _ = database(tmp_path, pictures)
    table = tmp_path / "labels.csv"
    table.write_text("id,label\n" + "".join(f"{place},{place % 3}\n" for place in range(307)))
    files = hp.AuditFiles(labels=table)
    with pytest.raises(HashprobeError, match="goal show needs labels of all queries and items"):
        hp.audit(victim(), pictures, shards, radius=2, files=files, goals=("show",), **QUICK)
    with pytest.raises(HashprobeError, match="two-stage search needs the floats"):
        hp.audit(victim(), pictures, shards, radius=2, rerank="cosine", **QUICK)
