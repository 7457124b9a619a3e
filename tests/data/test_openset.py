"""Labels that the network never sees, in any data set."""

import numpy as np
import pytest

from hashprobe.data.datasets.digits import load_digits
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.findings import Finding
from hashprobe.data.openset import hold_back
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.errors import HashprobeError


@pytest.fixture
def data(make_split):
    """4 labels; items of the queries and the training split carry one or two of them."""
    rng = np.random.default_rng(0)

    def split(first, count, role):
        labels = one_hot(np.arange(count) % 4, 4)
        labels[::3] |= one_hot(rng.integers(0, 4, len(labels[::3])), 4)
        return make_split(range(first, first + count), labels, prefix=f"{role}/")

    names = ("ant", "bee", "cow", "dog")
    splits = [split(0, 20, "q"), split(20, 30, "t"), split(60, 40, "d")]
    return RetrievalData("test", *splits, names, sizes={"query": 25, "training": 30})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unseen", [1, 2])
def test_carriers_leave_queries_and_training_items_only(data, unseen, seed):
    held = hold_back(data, unseen, seed)
    hidden = [data.label_names.index(name) for name in held.unseen]
    assert len(hidden) == unseen
    for before, after in ((data.query, held.query), (data.train, held.train)):
        kept = np.flatnonzero(~before.labels[:, hidden].any(1))
        assert after.ids == tuple(before.ids[i] for i in kept)
        assert 0 < len(after) < len(before)
        np.testing.assert_array_equal(after.labels, before.labels[kept])
    assert held.database is data.database
    assert held.label_names == data.label_names
    assert held.name == data.name


def test_the_seed_decides_and_larger_open_sets_hold_smaller_ones(data):
    draws = [hold_back(data, 2, seed).unseen for seed in range(10)]
    assert hold_back(data, 2, 0).unseen == draws[0]
    assert len(set(draws)) > 2
    for seed in range(10):
        assert set(hold_back(data, 1, seed).unseen) < set(draws[seed])


def test_a_note_says_what_is_unseen(data):
    held = hold_back(data, 2, seed=0)
    hidden = [data.label_names.index(name) for name in held.unseen]
    count = int(data.database.labels[:, hidden].any(1).sum())
    (note,) = [f for f in held.findings if f.kind == "unseen"]
    assert (note.count, note.harmless) == (count, True)
    assert str(note).startswith(
        f"2 labels are unseen ({', '.join(held.unseen)}): {count} database items carry them, "
        "no query or training item does, for example d/"
    )
    assert data.unseen == ()
    assert not [f for f in data.findings if f.kind == "unseen"]


def test_sizes_are_those_before_labels_were_held_back(data):
    assert [str(f) for f in hold_back(data, 1, 0).findings if f.kind == "sizes"] == [
        "before labels were held back, the query split has 20 items where the protocol has 25"
    ]


def test_notes_of_the_loader_stay(data):
    note = Finding("left out", 3, "3 items were left out")
    splits = (data.query, data.train, data.database)
    noted = RetrievalData("test", *splits, data.label_names, notes=(note,))
    assert noted.findings[0] == note
    assert hold_back(noted, 1, 0).findings[0] == note


@pytest.mark.parametrize("unseen", [-1, 0, 3, 4])
def test_none_or_too_many_are_refused(data, unseen):
    with pytest.raises(HashprobeError, match=f"leave 2 of the 4 labels of test; got {unseen}"):
        hold_back(data, unseen, 0)


def test_holding_back_twice_is_refused(data):
    held = hold_back(data, 1, 0)
    with pytest.raises(HashprobeError, match=f"test holds back labels already: {held.unseen[0]}"):
        hold_back(held, 1, 1)


@pytest.mark.parametrize("role", ["query", "training"])
def test_no_split_is_left_empty(make_split, role):
    # Whatever is drawn of three labels, the items with all of them carry it.
    whole, mixed = make_split([1, 2], np.ones((2, 3))), make_split([3, 4, 5], np.eye(3))
    parts = (whole, mixed) if role == "query" else (mixed, whole)
    data = RetrievalData("test", *parts, mixed, ("a", "b", "c"))
    with pytest.raises(HashprobeError, match=f"every {role} item carries one of the unseen labels"):
        hold_back(data, 1, 0)


def test_an_unseen_label_that_a_training_item_carries_is_refused(data):
    splits = (data.query, data.train, data.database)
    with pytest.raises(HashprobeError, match="test: query item q/0 carries a label that is unseen"):
        RetrievalData("test", *splits, data.label_names, ("ant",))
    with pytest.raises(HashprobeError, match="unseen 'eel' is none of the label names"):
        RetrievalData("test", *splits, data.label_names, ("eel",))
    clean = data.query.take(np.flatnonzero(~data.query.labels[:, 0]))
    with pytest.raises(HashprobeError, match="test: training item t/0 carries a label that is uns"):
        RetrievalData("test", clean, *splits[1:], data.label_names, ("ant",))


def test_the_options_hold_labels_back():
    data = DataOptions("digits", unseen=3, split_seed=5).load()
    assert data.checksum == hold_back(load_digits(5), 3, 5).checksum
    assert len(data.unseen) == 3
    assert data.query.labels.shape[1] == 10
    with pytest.raises(HashprobeError, match="leave 2 of the 10 labels of digits; got -1"):
        DataOptions("digits", unseen=-1).load()
