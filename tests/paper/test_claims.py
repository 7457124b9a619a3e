"""What claims make of numbers: holds, open, does not hold, each by its interval."""

from dataclasses import replace

import numpy as np
import pytest

from hashprobe.paper.claims import check, holm, over_recall
from hashprobe.paper.recipe import Claim, load_recipe
from hashprobe.paper.result import Curves, Entry, Result
from hashprobe.paper.settings import load_setting


QUERIES = 1000
HOLDS, OPEN, FAILS = "holds", "open", "does not hold"


def over(values):
    """A number of a table, in per cent, from its queries."""
    return Entry.over(np.asarray(values, float), "x", (0.0, 100.0))


def result_of(grid, columns=1):
    recipe = load_recipe("table1")
    recipe = replace(recipe, columns=recipe.columns[:columns])
    return Result(recipe, load_setting("digits", "bench"), grid, {}, ())


def numbers(*rows, queries=QUERIES, spread=1.0):
    """A result whose grid holds these numbers, half the queries above and half below each."""
    away = spread * np.where(np.arange(queries) % 2, 1.0, -1.0)
    grid = {(i, j): over(v + away) for i, row in enumerate(rows) for j, v in enumerate(row)}
    return result_of(grid, len(rows[0]))


def word(kind, by, result, rows=(0, 1), **more):
    verdict = check(Claim("it is so", kind, rows, by, **more), result)
    assert verdict.say == "it is so" and verdict.numbers
    return verdict.word


@pytest.mark.parametrize(
    ("kind", "by", "rows", "expected"),
    [
        ("above", 0, [[50, 60], [40, 59]], HOLDS),
        ("above", 0, [[50, 60], [40, 60]], OPEN),
        ("above", 0, [[50, 60], [40, 61]], FAILS),
        ("above", 5, [[50, 60], [40, 54]], HOLDS),
        ("above", 5, [[50, 60], [40, 55]], OPEN),
        ("above", 5, [[50, 60], [40, 56]], FAILS),
        ("above", -5, [[50, 60], [54, 60]], HOLDS),
        ("above", -5, [[50, 60], [56, 60]], FAILS),
        ("mostly above", 0, [[5, 6, 7], [4, 5, 9]], HOLDS),
        ("mostly above", 0, [[5, 6], [4, 9]], FAILS),
        ("mostly above", 0, [[5, 6, 7], [4, 6, 9]], OPEN),
        ("near", 2, [[5, 6], [4, 7]], HOLDS),
        ("near", 2, [[5, 6], [4, 8]], OPEN),
        ("near", 2, [[5, 6], [4, 9]], FAILS),
        ("halves", 0, [[5, 6], [12, 14]], HOLDS),
        ("halves", 0, [[5, 6], [12, 12]], OPEN),
        ("halves", 0, [[5, 6], [12, 10]], FAILS),
        ("exceeds", 5, [[6, 6]], HOLDS),
        ("exceeds", 5, [[5, 6]], OPEN),
        ("exceeds", 5, [[4, 6]], FAILS),
        ("grows down", 0, [[5, 6], [6, 7]], HOLDS),
        ("grows down", 0, [[5, 6], [5, 7]], OPEN),
        ("grows down", 0, [[5, 6], [6, 5]], FAILS),
        ("grows along", 0, [[5, 6, 7]], HOLDS),
        ("grows along", 0, [[5, 9, 8]], FAILS),  # by its end points it would grow
        ("grows along", 2, [[5, 9, 8]], OPEN),  # a step down that small is no fall
        ("grows along", 2, [[5, 9, 6]], FAILS),
        ("grows along", 1, [[5, 6, 6]], OPEN),
        ("falls along", 0, [[5, 4, 3]], HOLDS),
        ("falls along", 0, [[5, 5, 5]], OPEN),
        ("falls along", 0, [[5, 3, 4]], FAILS),
    ],
)
def test_three_verdicts_by_the_intervals(kind, by, rows, expected):
    result = numbers(*rows)
    along = tuple(range(len(rows))) if kind == "grows down" else (0, 1) if len(rows) > 1 else (0,)
    assert word(kind, by, result, along) == expected


@pytest.mark.parametrize(
    ("mean", "expected"), [(40, HOLDS), (47, HOLDS), (30, OPEN), (25, FAILS), (55, FAILS)]
)
def test_around_takes_the_mean_over_the_columns(mean, expected):
    result = numbers([60 + mean / 2 - 3, 60 + mean / 2 + 3], [60 - mean / 2, 60 - mean / 2])
    assert word("around", 40, result, within=10) == expected


def test_a_true_gain_that_few_queries_show_is_open():
    """A true gain of 2 points over 100 queries: it is never called wrong."""
    words = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        clean = random.beta(6, 3, 100)
        moved = np.clip(clean + random.normal(0.02, 0.2, 100), 0, 1)
        grid = {(0, 0): over(100 * moved), (1, 0): over(100 * clean)}
        words.append(word("above", 0, result_of(grid)))
    assert words.count(FAILS) <= 1 and words.count(OPEN) > 20


def test_one_column_does_not_speak_for_another():
    result = numbers([50, 60], [40, 61])
    assert word("above", 0, result, columns=("16 bits",)) == HOLDS
    assert word("above", 0, result, columns=("32 bits",)) == FAILS


def test_too_few_queries_leave_everything_open():
    result = numbers([90], [10], queries=8)
    verdict = check(Claim("it is so", "above", (0, 1)), result)
    assert (verdict.word, verdict.met, verdict.holds) == (OPEN, True, False)
    assert verdict.numbers == "16 bits: +80.0"


def test_every_row_but_the_last_is_compared_with_it():
    claim = Claim("it is so", "above", (0, 1, 2), 0)
    assert check(claim, numbers([5], [6], [4])).word == HOLDS
    assert check(claim, numbers([5], [3], [4])).word == FAILS


def test_the_steps_of_growth_are_corrected():
    """Each step alone is just beyond chance; four together are not."""
    random, lines = np.random.default_rng(3), [np.full(60, 20.0)]
    for _ in range(4):
        lines.append(lines[-1] + random.normal(6, 14.0, 60))
    result = result_of({(i, 0): over(line) for i, line in enumerate(lines)})
    single = [word("grows down", 0, result, (i, i + 1)) for i in range(4)]
    assert HOLDS in single
    doubts = [
        b.minus(a).doubts(0)[0]
        for a, b in zip(
            [result.grid[i, 0] for i in range(4)],
            [result.grid[i, 0] for i in range(1, 5)],
            strict=True,
        )
    ]
    whole = word("grows down", 0, result, (0, 1, 2, 3, 4))
    assert (whole == HOLDS) is all(holm(doubts))


@pytest.mark.parametrize(
    ("doubts", "passed"),
    [
        ([0.02], [True]),
        ([0.03], [False]),
        ([0.012, 0.025], [True, True]),
        ([0.013, 0.025], [False, False]),
        ([0.2, 0.001, 0.012], [False, True, True]),
        ([], []),
    ],
)
def test_holm(doubts, passed):
    assert holm(doubts) == passed


def curves(precision, mean):
    recall = np.array([0.1, 0.5, 1.0])
    return Curves(np.array([1, 10]), np.asarray(precision, float), recall, np.asarray(mean))


@pytest.mark.parametrize(
    ("one", "mean", "expected"),
    [
        ([0.9, 0.8], [0.9, 0.8, 0.3], HOLDS),
        ([0.9, 0.4], [0.9, 0.8, 0.3], FAILS),  # below at N = 10
        ([0.9, 0.8], [0.9, 0.4, 0.3], OPEN),  # below at recall 0.5, by the means
        ([0.51, 0.8], [0.9, 0.8, 0.3], OPEN),  # at N = 1 chance may have done it
        ([0.9, 0.5], [0.9, 0.8, 0.3], HOLDS),  # at N = 10 they cannot differ
    ],
)
def test_curves_that_are_always_above(one, mean, expected):
    two = np.tile([0.5, 0.5], (100, 1))
    result = replace(
        numbers([50], [40]),
        curves={0: curves(np.tile(one, (100, 1)), mean), 1: curves(two, [0.5, 0.5, 0.3])},
    )
    assert word("curves above", 0, result) == expected


def test_precision_is_compared_at_every_recall():
    one, two = curves([[1, 1]], [0.9, 0.5, 0.3]), curves([[1, 1]], [0.5, 0.6, 0.3])
    gap, recall = over_recall(one, two)
    assert (gap, recall) == pytest.approx((-10, 0.5))
