"""From evaluations to rows and curves."""

from dataclasses import replace

import numpy as np
import pytest

from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.outcome import AttackCodes
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.report.rows import attack_row, curves_of, untouched_rows
from hashprobe.storage.schema import Cost


TARGETED = ("floor", "achieved", "ceiling", "lift", "wrong_clean", "wrong")


@pytest.fixture
def evaluation():
    def make(top=None):
        rng = np.random.default_rng(0)
        codes = PackedCodes.from_signs(rng.integers(0, 2, (20, 16)))
        labels = np.eye(4, dtype=bool)[np.arange(20) % 4]
        return evaluate_attack(
            AttackCodes(query=codes[:5], attacked=codes[7:12], target=codes[5:10]),
            Codes(codes, labels),
            query_labels=labels[:5],
            target_labels=labels[5:10],
            options=MeasureOptions(top=top),
        )

    return make


def untargeted(evaluation):
    return replace(evaluation, **dict.fromkeys(TARGETED))


def test_a_row_has_the_numbers_of_its_evaluation(evaluation):
    done = evaluation()
    row = attack_row("DHTA", "attack", "8/255", done, Cost(1.5, 20.0, 10.6))
    assert (row.tmap, row.floor, row.ceiling) == (done.achieved, done.floor, done.ceiling)
    assert (row.own_map, row.bits_wrong, row.lift) == (done.map_attacked, done.wrong, done.lift)
    assert (row.steps, row.seconds, row.rmse) == (11, 1.5, None)
    assert attack_row("Noise", "noise", "8/255", done, Cost(0.1, 0.0, 0.0)).steps is None
    assert attack_row("DHTA", "attack", "8/255", done).seconds is None


def test_missing_parts_leave_empty_cells(evaluation):
    row = attack_row("HAG", "attack", "8/255", untargeted(evaluation()))
    assert row.own_map is not None
    assert row.tmap is row.floor is row.lift is row.bits_wrong is None


def test_untouched_queries_come_once_for_each_measure(evaluation):
    whole, short = evaluation(), evaluation(5)
    rows = untouched_rows([whole, short, whole])
    assert [row.tmap for row in rows] == [whole.floor, short.floor]
    assert len({row.name for row in rows}) == 2 and "@5" in rows[1].name
    alone = untouched_rows([untargeted(whole), untargeted(whole)])
    assert [(r.tmap, r.own_map) for r in alone] == [(None, whole.map_clean)]
    assert alone[0].name == "Original"
    both = untouched_rows([untargeted(whole), whole])
    assert [r.tmap for r in both] == [whole.floor]
    nothing = replace(untargeted(whole), map_clean=None, map_attacked=None)
    assert untouched_rows([nothing]) == []


def test_untouched_queries_come_once_for_each_set_of_voters_that_was_left_out(evaluation):
    one = evaluation()
    signed = replace(one.floor, signature=one.floor.signature.replace("|q:", "|without:voters|q:"))
    one = replace(one, floor=signed)
    other = replace(one, floor=replace(signed, value=signed.value / 2))
    rows = untouched_rows([one, other, one])
    assert [row.tmap for row in rows] == [one.floor, other.floor]
    assert [row.name for row in rows] == ["Original (1)", "Original (2)"]


def test_curves_are_of_their_codes(evaluation):
    rng = np.random.default_rng(1)
    codes = PackedCodes.from_signs(rng.integers(0, 2, (40, 8)))
    labels = np.eye(2, dtype=bool)[np.arange(40) % 2]
    pr, precision = curves_of([("A", codes[:3], labels[:3])], codes, labels)
    assert (pr[0].label, precision[0].label) == ("A", "A")
    assert precision[0].x[0] == 1 and precision[0].x[-1] == 40
    assert precision[0].y[-1] == 0.5
