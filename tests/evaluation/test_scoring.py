import json

import numpy as np
import pytest
import torch

from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measures import mean_average_precision, targeted_mean_average_precision
from hashprobe.evaluation.outcome import AfterCodec, Evaluation
from hashprobe.evaluation.scoring import wrong_bits


def test_every_part_is_the_measure_it_names(attack, evaluate, flipped):
    close = flipped(attack["target"], 0.02)
    done = evaluate(attack, attacked_float=close, top=50)
    database, known = attack["database"], attack["database_labels"]

    def targeted(codes):
        targets = attack["target_labels"]
        return targeted_mean_average_precision(codes, database, targets, known, top=50).value

    def own(codes):
        labels = attack["query_labels"]
        return mean_average_precision(codes, database, labels, known, top=50).value

    assert done.map_clean.value == own(attack["query"])
    assert done.map_attacked.value == own(attack["attacked"])
    assert done.floor.value == targeted(attack["query"])
    assert done.achieved.value == targeted(attack["attacked"])
    assert done.achieved_float.value == targeted(close)
    assert done.ceiling.value == targeted(attack["target"])
    assert done.lift.value == pytest.approx(done.achieved.value - done.floor.value)
    assert done.floor.value < done.achieved.value < done.map_clean.value
    for part, codes in [
        (done.wrong_clean, attack["query"]),
        (done.wrong, attack["attacked"]),
        (done.wrong_float, close),
    ]:
        assert part.value == paired_hamming(codes, attack["target"]).mean()
    assert done.wrong_float.value < done.wrong.value < done.wrong_clean.value


def test_what_is_left_after_a_codec(attack, evaluate, flipped):
    after = AfterCodec("h264-crf23", flipped(attack["target"], 0.2), attack["target"])
    done = evaluate(attack, after_codec=after, top=50)
    again = evaluate(attack, attacked=after.attacked, top=50)
    swapped = evaluate(attack, query=after.query, top=50)
    assert done.achieved_codec.value == again.achieved.value != done.achieved.value
    assert done.wrong_codec.value == again.wrong.value != done.wrong.value
    assert done.map_codec.value == swapped.map_clean.value != done.map_clean.value
    for part, other in [
        (done.achieved_codec, done.achieved),
        (done.wrong_codec, done.wrong),
        (done.map_codec, done.map_attacked),
    ]:
        assert part.signature == other.signature.replace("round:uint8", "round:h264-crf23")
    without = evaluate(attack, top=50)
    assert (without.achieved_codec, without.wrong_codec, without.map_codec) == (None,) * 3
    assert {*done.to_json()} - {*without.to_json()} == {
        "achieved_codec",
        "wrong_codec",
        "map_codec",
    }


def test_the_lift_is_paired(attack, evaluate):
    done = evaluate(attack)
    per_query = done.achieved.per_query - done.floor.per_query
    np.testing.assert_array_equal(done.lift.per_query, per_query)
    assert done.lift.low <= done.lift.value <= done.lift.high


def one_hit(last):
    """Four items of 8 bits, the last of another class than the first three; two queries."""
    codes = PackedCodes.from_signs(np.array([[1] * i + [0] * (8 - i) for i in (0, 1, 2, 8)]))
    labels = np.array([[True, False]] * 3 + [[False, True]])
    return {
        "database": codes,
        "database_labels": labels,
        "query": codes[np.array([0, last])],
        "query_labels": labels[[0, 0]],
        "target_labels": labels[[3, 3]],
        "target": codes[np.array([3, 3])],
        "attacked": codes[np.array([3, 3])],
        "top": 1,
        "empty": "skip",
    }


def test_a_perfect_attack_on_a_perfect_network_is_measured_under_skip(evaluate):
    done = evaluate(one_hit(last=1))
    # No untouched query has a hit of the target, no attacked one has a hit of its own.
    assert (done.floor.value, done.achieved.value, done.lift.value) == (0, 1, 1)
    assert (done.map_clean.value, done.map_attacked.value) == (1, 0)
    assert "|empty:zero|" in done.floor.signature and "|empty:zero|" in done.map_attacked.signature
    assert "|empty:skip|" in done.achieved.signature


def test_the_lift_counts_empty_queries_as_zero_under_every_policy(evaluate):
    # Untouched, the second query is already where the attack leads, and the first is nowhere near.
    skipped = evaluate(one_hit(last=3))
    zero = evaluate(one_hit(last=3), empty="zero")
    assert (skipped.floor.value, zero.floor.value) == (1, 0.5)
    assert skipped.lift.value == zero.lift.value == 0.5
    assert skipped.lift.signature == zero.lift.signature
    assert "|empty:zero|" in skipped.lift.signature


def test_signatures_tell_rounded_from_float(attack, evaluate):
    done = evaluate(attack, attacked_float=attack["attacked"], top=50, normaliser="min")
    shared = "norm:min|ties:expected|empty:zero|rel:any|q:20|db:200|bits:16"
    assert done.map_clean.signature == f"MAP@50|{shared}|ci:gaffke|v:0.1"
    assert done.map_attacked.signature == f"MAP@50|{shared}|round:uint8|ci:gaffke|v:0.1"
    assert done.floor.signature == done.ceiling.signature == f"tMAP@50|{shared}|ci:gaffke|v:0.1"
    assert done.achieved.signature == f"tMAP@50|{shared}|round:uint8|ci:gaffke|v:0.1"
    assert done.achieved_float.signature == f"tMAP@50|{shared}|round:none|ci:gaffke|v:0.1"
    assert done.lift.signature == f"difference:tMAP@50|{shared}|round:uint8|ci:gaffke|v:0.1"
    assert done.wrong.signature == "wrong bits|q:20|bits:16|round:uint8|ci:gaffke|v:0.1"
    with pytest.raises(HashprobeError, match="different measures"):
        done.achieved - done.achieved_float


def test_wrong_bits_of_nothing_are_refused(attack):
    none = attack["query"][:0]
    with pytest.raises(HashprobeError, match="no query is left"):
        wrong_bits(none, none)


OWN, TARGET, BITS = (
    {"map_clean", "map_attacked"},
    {"floor", "achieved", "lift"},
    {"wrong_clean", "wrong"},
)


@pytest.mark.parametrize(
    ("unknown", "known"),
    [
        (("target_labels", "target"), OWN),
        (("query_labels",), TARGET | BITS | {"ceiling"}),
        (("query_labels", "target"), TARGET),
        (("query_labels", "target_labels"), BITS),
        (("query_labels", "target_labels", "database_labels"), BITS),
        (("target",), OWN | TARGET),
        (("target_labels",), OWN | BITS),
    ],
)
def test_what_cannot_be_computed_is_left_out(attack, unknown, known, evaluate):
    whole = evaluate(attack, top=50).to_json()
    done = evaluate({k: v for k, v in attack.items() if k not in unknown}, top=50)
    assert done.to_json() == {name: whole[name] for name in whole if name in known}
    assert set(done.to_json()) == known
    again = Evaluation.from_json(json.loads(json.dumps(done.to_json())))
    assert again.to_json() == done.to_json()


def test_rounding_and_codec_parts_follow_what_is_known(attack, evaluate):
    after = AfterCodec("h264-crf23", attack["attacked"], attack["query"])
    extra = {"attacked_float": attack["attacked"], "after_codec": after}
    for unknown, parts in [
        (("target_labels", "target"), {"map_codec"}),
        (("query_labels",), {"achieved_float", "wrong_float", "achieved_codec", "wrong_codec"}),
        (("query_labels", "target"), {"achieved_float", "achieved_codec"}),
    ]:
        given = {k: v for k, v in attack.items() if k not in unknown}
        with_extra, without = evaluate(given, **extra), evaluate(given)
        assert {*with_extra.to_json()} - {*without.to_json()} == parts


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        (("query_labels", "target_labels", "target"), "nothing to measure: pass query_labels"),
        (("database_labels",), "query labels are given, but the database has no labels"),
        (("database_labels", "query_labels"), "target labels are given, but the database"),
    ],
)
def test_too_little_to_measure_is_refused(attack, unknown, words, evaluate):
    with pytest.raises(HashprobeError, match=words):
        evaluate({k: v for k, v in attack.items() if k not in unknown})


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, torch.from_numpy])
def test_labels_may_be_classes_in_any_form(attack, evaluate, form):
    names = ("query_labels", "target_labels")
    classes = {name: form(attack[name].argmax(axis=1)) for name in names}
    assert evaluate(attack, **classes).to_json() == evaluate(attack).to_json()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full(20, 5), "query labels do not fit .*: label 5 of item 0 is not below 5 classes"),
        (np.zeros((20, 4), bool), "query labels do not fit .*: labels must have 5 classes; got 4"),
        (np.zeros(7, int), "7 query labels for 20 query codes"),
    ],
)
def test_labels_that_do_not_fit_are_refused(attack, evaluate, labels, words):
    with pytest.raises(HashprobeError, match=words):
        evaluate(attack, query_labels=labels)


@pytest.mark.parametrize("bits", [1, 7, 12, 31, 65])
def test_codes_of_any_length_are_measured(problem, bits, evaluate, flipped):
    case = problem(q=9, bits=bits)
    given = {"query": case.query_codes, "attacked": flipped(case.query_codes, 0.5)}
    given |= {"target": case.database_codes[:9], "database": case.database_codes}
    done = evaluate(given, database_labels=case.database_labels, query_labels=case.query_labels)
    expected = (given["attacked"].signs() != given["target"].signs()).sum(axis=1)
    np.testing.assert_array_equal(done.wrong.per_query, expected)
    assert done.map_clean.value == mean_average_precision(*case.arrays).value
