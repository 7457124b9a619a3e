"""The sentences: each number in its place, each left out where its numbers are missing."""

from dataclasses import replace

import pytest

from hashprobe.report.content import AttackRow, ReportData
from hashprobe.report.verdict import DEGREES, clear, headline, strongest, verdict


def test_the_verdict_states_the_numbers(rows):
    """The one snapshot of its sentences."""
    data = ReportData("x", rows=rows, bits=32)
    assert headline(data) == (
        "At 8/255, DHTA steers the search results almost completely: t-MAP is 82.3 of 100, 94 % of "
        "the way to its ceiling (87.4)."
    )
    assert verdict(data) == [
        [
            "DHTA at 8/255, the strongest attack there, moves t-MAP from 5.1 to 82.3 (95 % "
            "interval 80.3 to 84.3), 94 % of the way to its ceiling (87.4).",
            "Random noise of the same size gives 5.3, no more than untouched queries.",
            "MAP for the queries' own labels falls from 79.1 to 12.0.",
            "On average 1.2 of 32 bits differ from the target code.",
            "A picture changes by 5.5/255 (root mean square), no value by more than 8/255.",
            "Rounding to 8 bits lowers t-MAP by 1.2 points.",
        ]
    ]


def test_of_clips_it_says_how_much_the_changed_frames_change(rows):
    few = replace(rows[3], rmse=2 / 255, rmse_frames=7 / 255)
    said = " ".join(verdict(ReportData("x", rows=(rows[0], few)))[0])
    assert "2.0/255" in said and "7.0/255" in said
    every = replace(few, rmse_frames=2 / 255)
    said = " ".join(verdict(ReportData("x", rows=(rows[0], every)))[0])
    assert said.count("2.0/255") == 1 and "picture" not in said


@pytest.mark.parametrize(
    ("tmap", "ceiling", "place"),
    [
        *((0.95, 0.96, 0), (0.85, 0.874, 0), (0.6, 0.874, 1), (0.3, 0.874, 2), (0.15, 0.874, 3)),
        # Near a low ceiling is far from everything.
        *((0.29, 0.31, 2), (0.6, 0.6, 1), (0.14, 0.14, 3), (0.14, 0.12, 3)),
    ],
)
def test_the_words_follow_both_the_share_of_the_possible_lift_and_t_map(
    rows, number, tmap, ceiling, place
):
    row = replace(rows[3], tmap=number(tmap), ceiling=number(ceiling), lift=None)
    said = headline(ReportData("x", rows=(*rows[:2], row)))
    assert f" {DEGREES[place][-1]}: t-MAP is {100 * tmap:.1f} of 100" in said
    assert f"ceiling ({100 * ceiling:.1f})" in said


@pytest.mark.parametrize(
    ("clean", "floor", "hardly"),
    [
        *((0.17, 0.05, True), (0.24, 0.02, True), (0.55, 0.5, True)),
        *((0.79, 0.05, False), (0.3, 0.02, False), (0.62, 0.5, False)),
    ],
)
def test_a_network_that_hardly_retrieves_is_named_first(rows, number, clean, floor, hardly):
    """Its MAP is low, or hardly above what other labels get."""
    original = replace(rows[0], tmap=number(floor), own_map=number(clean))
    attacked = replace(rows[3], tmap=number(0.8), lift=None)
    data = ReportData("x", rows=(original, attacked))
    for each in (data, replace(data, clean=number(clean))):
        first = verdict(each)[0][0]
        assert (
            f"hardly retrieves: MAP of untouched queries is {100 * clean:.1f}" in first
        ) == hardly
        assert len(verdict(each)) == 1 + hardly


def test_an_attack_that_stands_alone_is_not_called_the_strongest(rows):
    alone = verdict(ReportData("x", rows=(rows[0], rows[1], rows[3])))[0][0]
    assert alone.startswith("DHTA at 8/255 moves")
    several = verdict(ReportData("x", rows=rows))[0][0]
    assert several.startswith("DHTA at 8/255, the strongest attack there, moves")


def test_an_effect_within_the_intervals_is_none(rows, number):
    weak = replace(rows[3], tmap=number(0.06), lift=None)
    assert clear(rows[3], rows) and not clear(weak, (rows[0], weak))
    plain, none = (headline(ReportData("x", rows=(rows[0], row))) for row in (rows[3], weak))
    assert "DHTA" in plain and "DHTA" not in none


def test_the_paired_interval_of_the_lift_decides_where_there_is_one(rows, number):
    weak = replace(rows[3], tmap=number(0.06), lift=number(0.009, 0.004))
    assert clear(weak, rows)
    assert not clear(replace(weak, lift=number(0.003, 0.004)), rows)


def test_noise_that_does_move_is_not_called_harmless(rows, number):
    def about_noise(noise):
        return next(s for s in verdict(ReportData("x", rows=(rows[0], noise, rows[3])))[0]
                    if "noise" in s)  # fmt: skip

    assert "untouched" in about_noise(rows[1])
    moving = about_noise(replace(rows[1], tmap=number(0.3)))
    assert "30.0" in moving and "untouched" not in moving


def test_one_paragraph_per_budget_about_its_strongest_attack(rows, number):
    small = [replace(row, budget="2/255") for row in rows[2:]]
    small = [replace(small[0], tmap=number(0.4)), replace(small[1], tmap=number(0.3))]
    data = ReportData("x", rows=(rows[0], *small, *rows[2:]))
    firsts = [paragraph[0] for paragraph in verdict(data)]
    assert [text[: text.index("255") + 3] for text in firsts] == ["P2P at 2/255", "DHTA at 8/255"]
    assert headline(data).startswith("At 8/255, DHTA")


def test_reaching_the_ceiling_and_having_none(rows, number):
    above = replace(rows[3], tmap=number(0.9))
    assert "%" not in verdict(ReportData("x", rows=(rows[0], above)))[0][0].split(")")[1]
    bare = AttackRow("PGD", "attack", "4/255", tmap=number(0.5, None))
    data = ReportData("x", rows=(bare,))
    (sentences,) = verdict(data)
    assert len(sentences) == 1 and "50.0" in sentences[0]
    assert "PGD" in headline(data) and "4/255" in headline(data)
    assert verdict(ReportData("x")) == []


def test_an_untargeted_attack_is_judged_by_the_fall_of_map(rows, number):
    before, after, near = (number(value, signature="MAP|v:0.1") for value in (0.79, 0.12, 0.78))
    original = AttackRow("Original", "untouched", own_map=before)
    hag = AttackRow("HAG", "attack", "8/255", own_map=after, rmse=0.02)
    weak = replace(hag, name="Weak", own_map=near)
    data = ReportData("x", rows=(original, weak, hag))
    (sentences,) = verdict(data)
    assert strongest(data.rows) == [hag]
    assert (
        sentences[0].startswith("HAG at 8/255, the strongest attack there: MAP")
        and "from 79.0 to 12.0" in sentences[0]
    )
    assert "HAG" in headline(data)
    assert clear(hag, data.rows) and not clear(weak, data.rows)
    # What steers is named before what only leads away.
    both = ReportData("x", rows=(rows[0], original, hag, rows[3]))
    assert "DHTA" in headline(both) and len(verdict(both)) == 2


def test_a_fall_is_taken_from_untouched_queries_of_the_same_measure(number):
    one, other = (
        AttackRow("Original", "untouched", own_map=number(value, signature=f"MAP@{name}|v:0.1"))
        for name, value in (("5", 0.3), ("9", 0.8))
    )
    hag = AttackRow(
        "HAG", "attack", "8/255", own_map=number(0.1, signature="MAP@9|round:uint8|v:0.1")
    )
    assert "from 80.0 to 10.0" in verdict(ReportData("x", rows=(one, other, hag)))[0][0]


def test_without_labels_only_bits_and_pixels_are_said(number):
    row = AttackRow("DHTA", "attack", "8/255", bits_wrong=number(1.5), rmse=0.02)
    (sentences,) = verdict(ReportData("x", rows=(row,), bits=32))
    assert sentences[0].startswith("DHTA at 8/255: ") and "1.5 of 32" in sentences[0]
    assert len(sentences) == 2 and "MAP" not in " ".join(sentences)
    assert "DHTA" in headline(ReportData("x", rows=(row,)))


def test_own_results_that_get_better_do_not_fall(rows, number):
    better = replace(rows[3], own_map=number(0.8))
    text = " ".join(verdict(ReportData("x", rows=(rows[0], better)))[0])
    assert "from 79.1 to 80.0" in text and "falls" not in text


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
    assert "P2P" in first[0] and not clear(stronger, data.rows)
    assert second[0].startswith("DHTA at 8/255") and "from 5.0 to 50.0" in second[0]
    # P2P's number is the larger one, and moves nothing.
    assert "DHTA" in headline(data)


def test_own_results_are_compared_under_the_same_measure(rows, number):
    other = AttackRow("Original", "untouched", tmap=number(0.3, signature="A"), own_map=number(0.3))
    row = replace(rows[3], floor=rows[0].tmap)
    text = " ".join(verdict(ReportData("x", rows=(other, rows[0], row)))[0])
    assert "from 79.1 to 12.0" in text


def test_the_strongest_budget_makes_the_headline_wherever_it_stands(rows, number):
    weak = replace(rows[3], budget="2/255", tmap=number(0.3), lift=None)
    for order in ((rows[3], weak), (weak, rows[3])):
        data = ReportData("x", rows=(rows[0], *order))
        assert headline(data).startswith("At 8/255, DHTA")


def test_the_floor_of_a_row_needs_no_untouched_row(rows, number):
    text = verdict(ReportData("x", rows=(replace(rows[3], floor=number(0.051)),)))[0][0]
    assert "from 5.1 to 82.3" in text
