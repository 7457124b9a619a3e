from dataclasses import replace

import pytest

from hashprobe.report.content import AttackRow, ReportData
from hashprobe.report.verdict import headline, verdict


def test_the_verdict_states_the_numbers(rows):
    data = ReportData("x", rows=rows, bits=32)
    assert headline(data) == "At 8/255, DHTA steers the search results almost wholly."
    assert verdict(data) == [
        [
            "DHTA at 8/255 moves t-MAP from 5.1 to 82.3 (95 % interval 80.3 to 84.3), "
            "94 % of the lift that its target codes allow (ceiling 87.4).",
            "Random noise of that size gives 5.3, no more than untouched queries.",
            "MAP for the queries' own labels falls from 79.1 to 12.0.",
            "On average 1.2 of 32 bits still differ from the target code.",
            "A picture changes by 5.5/255 (root mean square), no value by more than 8/255.",
            "Saving with 8 bits costs the attack 1.2 points.",
        ]
    ]


def test_of_clips_it_says_what_is_seen_of_the_changed_frames(rows):
    few = replace(rows[3], rmse=2 / 255, rmse_frames=7 / 255)
    said = verdict(ReportData("x", rows=(rows[0], few)))[0]
    assert (
        "A clip changes by 2.0/255 (root mean square), its changed frames by 7.0/255, no value "
        "by more than 8/255."
    ) in said
    every = replace(few, rmse_frames=2 / 255)
    said = verdict(ReportData("x", rows=(rows[0], every)))[0]
    assert "A clip changes by 2.0/255 (root mean square), no value by more than 8/255." in said


@pytest.mark.parametrize(
    ("tmap", "said"),
    [(0.85, "almost wholly"), (0.6, "in large part"), (0.3, "in part"), (0.15, "a little")],
)
def test_the_words_follow_the_share_of_the_possible_lift(rows, number, tmap, said):
    data = ReportData("x", rows=(*rows[:2], replace(rows[3], tmap=number(tmap), lift=None)))
    assert headline(data) == f"At 8/255, DHTA steers the search results {said}."


def test_an_effect_within_the_intervals_is_none(rows, number):
    weak = replace(rows[3], tmap=number(0.06), lift=None)
    data = ReportData("x", rows=(rows[0], weak))
    assert headline(data) == "No attack that was tried moves the search results measurably."
    assert verdict(data)[0][0] == (
        "DHTA at 8/255, the strongest attack there, gives a t-MAP of 6.0 (95 % interval 4.0 to "
        "8.0); untouched queries give 5.1: no clear effect."
    )


def test_the_paired_interval_of_the_lift_decides_where_there_is_one(rows, number):
    weak = replace(rows[3], tmap=number(0.06), lift=number(0.009, 0.004))
    assert "moves" in verdict(ReportData("x", rows=(rows[0], weak)))[0][0]
    none = replace(weak, lift=number(0.003, 0.004))
    assert "no clear effect" in verdict(ReportData("x", rows=(rows[0], none)))[0][0]


def test_noise_that_does_move_is_not_called_harmless(rows, number):
    noise = replace(rows[1], tmap=number(0.3))
    assert (
        "Random noise of that size gives 30.0."
        in verdict(ReportData("x", rows=(rows[0], noise, rows[3])))[0]
    )


def test_one_paragraph_per_budget_about_its_strongest_attack(rows, number):
    small = [replace(row, budget="2/255") for row in rows[2:]]
    small = [replace(small[0], tmap=number(0.4)), replace(small[1], tmap=number(0.3))]
    data = ReportData("x", rows=(rows[0], *small, *rows[2:]))
    assert [p[0].split(" moves")[0] for p in verdict(data)] == ["P2P at 2/255", "DHTA at 8/255"]
    assert headline(data).startswith("At 8/255, DHTA")


def test_reaching_the_ceiling_and_having_none(rows, number):
    above = replace(rows[3], tmap=number(0.9))
    text = verdict(ReportData("x", rows=(rows[0], above)))[0][0]
    assert text.endswith("as far as its target codes themselves (87.4).")
    bare = AttackRow("PGD", "attack", "4/255", tmap=number(0.5, None))
    data = ReportData("x", rows=(bare,))
    assert verdict(data) == [["PGD at 4/255 reaches a t-MAP of 50.0."]]
    assert headline(data) == "At 4/255, PGD steers the search results."
    assert verdict(ReportData("x")) == []
    assert headline(ReportData("x")) == "No attack was measured."


def test_own_results_that_get_better_do_not_fall(rows, number):
    better = replace(rows[3], own_map=number(0.8))
    text = " ".join(verdict(ReportData("x", rows=(rows[0], better)))[0])
    assert "goes from 79.1 to 80.0" in text
    assert "falls" not in text


def test_rows_of_other_measures_are_not_compared(number):
    original = AttackRow("Original", "untouched", tmap=number(0.60, signature="A"))
    same = {"kind": "attack", "budget": "8/255"}
    stronger = AttackRow(
        "P2P", tmap=number(0.62, signature="A"), floor=number(0.60, signature="A"), **same
    )
    dhta = AttackRow(
        "DHTA", tmap=number(0.50, signature="B"), floor=number(0.05, signature="B"), **same
    )
    data = ReportData("x", rows=(original, stronger, dhta))
    first, second = verdict(data)
    assert "P2P" in first[0] and "no clear effect" in first[0]
    assert second[0].startswith("DHTA at 8/255 moves t-MAP from 5.0 to 50.0")
    # P2P's number is the larger one, and moves nothing.
    assert headline(data) == "At 8/255, DHTA steers the search results."


def test_own_results_are_compared_under_the_same_measure(rows, number):
    other = AttackRow("Original", "untouched", tmap=number(0.3, signature="A"), own_map=number(0.3))
    row = replace(rows[3], floor=rows[0].tmap)
    text = " ".join(verdict(ReportData("x", rows=(other, rows[0], row)))[0])
    assert "falls from 79.1 to 12.0" in text


def test_the_strongest_budget_makes_the_headline_wherever_it_stands(rows, number):
    weak = replace(rows[3], budget="2/255", tmap=number(0.3), lift=None)
    for order in ((rows[3], weak), (weak, rows[3])):
        data = ReportData("x", rows=(rows[0], *order))
        assert headline(data) == "At 8/255, DHTA steers the search results almost wholly."


def test_the_floor_of_a_row_needs_no_untouched_row(rows, number):
    text = verdict(ReportData("x", rows=(replace(rows[3], floor=number(0.051)),)))[0][0]
    assert text.startswith("DHTA at 8/255 moves t-MAP from 5.1 to 82.3")
