import json

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Bootstrap
from hashprobe.evaluation.measures import mean_average_precision, targeted_mean_average_precision
from hashprobe.evaluation.outcome import AfterCodec, Evaluation, evaluate_attack, wrong_bits
from hashprobe.evaluation.perceptibility import Perceptibility


def flipped(codes, share, seed=0):
    random = np.random.default_rng(seed).random((len(codes), codes.bits))
    return PackedCodes.from_signs(codes.signs() * np.where(random < share, -1, 1))


@pytest.fixture
def arrays(problem):
    """Targets are the next class; the attack moved every query to near its target code."""
    case = problem(q=20, noise=0.1)
    targets = np.roll(case.query_labels, 1, axis=1)
    members = [int(np.flatnonzero((case.database_labels & t).any(axis=1))[0]) for t in targets]
    target_codes = case.database_codes[np.array(members)]
    return {
        "database_codes": case.database_codes,
        "database_labels": case.database_labels,
        "query_codes": case.query_codes,
        "query_labels": case.query_labels,
        "target_labels": targets,
        "target_codes": target_codes,
        "attacked_codes": flipped(target_codes, 0.1),
    }


def test_every_part_is_the_measure_it_names(arrays):
    close = flipped(arrays["target_codes"], 0.02)
    done = evaluate_attack(**arrays, attacked_codes_float=close, top=50)
    database, known = arrays["database_codes"], arrays["database_labels"]

    def targeted(codes):
        targets = arrays["target_labels"]
        return targeted_mean_average_precision(codes, database, targets, known, top=50).value

    def own(codes):
        labels = arrays["query_labels"]
        return mean_average_precision(codes, database, labels, known, top=50).value

    assert done.map_clean.value == own(arrays["query_codes"])
    assert done.map_attacked.value == own(arrays["attacked_codes"])
    assert done.floor.value == targeted(arrays["query_codes"])
    assert done.achieved.value == targeted(arrays["attacked_codes"])
    assert done.achieved_float.value == targeted(close)
    assert done.ceiling.value == targeted(arrays["target_codes"])
    assert done.lift.value == pytest.approx(done.achieved.value - done.floor.value)
    assert done.floor.value < done.achieved.value < done.map_clean.value
    for part, codes in [
        (done.wrong_clean, arrays["query_codes"]),
        (done.wrong, arrays["attacked_codes"]),
        (done.wrong_float, close),
    ]:
        assert part.value == paired_hamming(codes, arrays["target_codes"]).mean()
    assert done.wrong_float.value < done.wrong.value < done.wrong_clean.value


def test_what_is_left_after_a_codec(arrays):
    after = AfterCodec("h264-crf23", flipped(arrays["target_codes"], 0.2), arrays["target_codes"])
    done = evaluate_attack(**arrays, after_codec=after, top=50)
    again = evaluate_attack(**{**arrays, "attacked_codes": after.attacked}, top=50)
    swapped = evaluate_attack(**{**arrays, "query_codes": after.query}, top=50)
    assert done.achieved_codec.value == again.achieved.value != done.achieved.value
    assert done.wrong_codec.value == again.wrong.value != done.wrong.value
    assert done.map_codec.value == swapped.map_clean.value != done.map_clean.value
    for part, other in [
        (done.achieved_codec, done.achieved),
        (done.wrong_codec, done.wrong),
        (done.map_codec, done.map_attacked),
    ]:
        assert part.signature == other.signature.replace("round:uint8", "round:h264-crf23")
    without = evaluate_attack(**arrays, top=50)
    assert (without.achieved_codec, without.wrong_codec, without.map_codec) == (None,) * 3
    assert {*done.to_json()} - {*without.to_json()} == {
        "achieved_codec",
        "wrong_codec",
        "map_codec",
    }


@pytest.mark.parametrize("name", ["attacked", "query"])
def test_as_many_codes_after_a_codec_as_queries_are_needed(arrays, name):
    codes = {"attacked": arrays["attacked_codes"], "query": arrays["query_codes"]}
    codes[name] = codes[name][:7]
    with pytest.raises(HashprobeError, match=f"7 {name} codec codes for 20 query codes"):
        evaluate_attack(**arrays, after_codec=AfterCodec("h264-crf23", **codes))


def test_the_lift_is_paired(arrays):
    done = evaluate_attack(**arrays)
    per_query = done.achieved.per_query - done.floor.per_query
    np.testing.assert_array_equal(done.lift.per_query, per_query)
    assert done.lift.low <= done.lift.value <= done.lift.high


def one_hit(last):
    """Four items of 8 bits, the last of another class than the first three; two queries."""
    codes = PackedCodes.from_signs(np.array([[1] * i + [0] * (8 - i) for i in (0, 1, 2, 8)]))
    labels = np.array([[True, False]] * 3 + [[False, True]])
    return {
        "database_codes": codes,
        "database_labels": labels,
        "query_codes": codes[np.array([0, last])],
        "query_labels": labels[[0, 0]],
        "target_labels": labels[[3, 3]],
        "target_codes": codes[np.array([3, 3])],
        "attacked_codes": codes[np.array([3, 3])],
        "top": 1,
        "empty": "skip",
    }


def test_a_perfect_attack_on_a_perfect_network_is_measured_under_skip():
    done = evaluate_attack(**one_hit(last=1))
    # No untouched query has a hit of the target, no attacked one has a hit of its own.
    assert (done.floor.value, done.achieved.value, done.lift.value) == (0, 1, 1)
    assert (done.map_clean.value, done.map_attacked.value) == (1, 0)
    assert "|empty:zero|" in done.floor.signature and "|empty:zero|" in done.map_attacked.signature
    assert "|empty:skip|" in done.achieved.signature


def test_the_lift_counts_empty_queries_as_zero_under_every_policy():
    # Untouched, the second query is already where the attack leads, and the first is nowhere near.
    skipped = evaluate_attack(**one_hit(last=3))
    zero = evaluate_attack(**{**one_hit(last=3), "empty": "zero"})
    assert (skipped.floor.value, zero.floor.value) == (1, 0.5)
    assert skipped.lift.value == zero.lift.value == 0.5
    assert skipped.lift.signature == zero.lift.signature
    assert "|empty:zero|" in skipped.lift.signature


def test_signatures_tell_rounded_from_float(arrays):
    done = evaluate_attack(
        **arrays, attacked_codes_float=arrays["attacked_codes"], top=50, normaliser="min"
    )
    shared = "norm:min|ties:expected|empty:zero|rel:any|q:20|db:200|bits:16"
    assert done.map_clean.signature == f"MAP@50|{shared}|v:0.1"
    assert done.map_attacked.signature == f"MAP@50|{shared}|round:uint8|v:0.1"
    assert done.floor.signature == done.ceiling.signature == f"tMAP@50|{shared}|v:0.1"
    assert done.achieved.signature == f"tMAP@50|{shared}|round:uint8|v:0.1"
    assert done.achieved_float.signature == f"tMAP@50|{shared}|round:none|v:0.1"
    assert done.lift.signature == f"difference:tMAP@50|{shared}|round:uint8|v:0.1"
    assert done.wrong.signature == "wrong bits|q:20|bits:16|round:uint8|v:0.1"
    with pytest.raises(HashprobeError, match="different measures"):
        done.achieved - done.achieved_float


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_it_comes_back_from_json(arrays, whole, empty):
    extra = {}
    if whole:
        extra = {
            "attacked_codes_float": arrays["target_codes"],
            "after_codec": AfterCodec("h264-crf1", arrays["target_codes"], arrays["query_codes"]),
            "perceptibility": Perceptibility(0.01, 8.0, 40.0, 0.97),
            "perceptibility_float": Perceptibility(0.0, 0.0, np.inf, 1.0),
        }
    if empty == "skip":
        arrays["query_codes"] = flipped(arrays["database_codes"], 0.0)[np.arange(20)]
        extra["top"] = 1
    done = evaluate_attack(**arrays, **extra, empty=empty, bootstrap=Bootstrap(confidence=0.9))
    text = json.dumps(done.to_json(), allow_nan=False)
    again = Evaluation.from_json(json.loads(text))
    assert again.to_json() == done.to_json()
    assert again.perceptibility_float == done.perceptibility_float
    assert (again.achieved_float is None) is not whole
    assert (again.map_codec is None) is not whole
    assert again.lift.confidence == 0.9
    np.testing.assert_array_equal(again.floor.per_query, done.floor.per_query)
    assert (again.achieved - again.achieved).value == 0


@pytest.mark.parametrize("record", [{}, {"floor": {"signature": "x"}}, {"floor": 3}, {"other": {}}])
def test_other_json_is_refused(record):
    with pytest.raises(HashprobeError, match="no evaluation of an attack") as caught:
        Evaluation.from_json(record)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["target_codes", "attacked_codes", "attacked_codes_float"])
def test_as_many_codes_as_queries_are_needed(arrays, name):
    arrays[name] = arrays["attacked_codes"][:7]
    with pytest.raises(HashprobeError, match=r"7 .* codes for 20 query codes"):
        evaluate_attack(**arrays)


def test_wrong_bits_of_nothing_are_refused(arrays):
    none = arrays["query_codes"][:0]
    with pytest.raises(HashprobeError, match="no query is left"):
        wrong_bits(none, none)
