import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.minimal_eps import least_budgets, needed_eps, success_curve


BUDGETS = [1 / 255, 2 / 255, 4 / 255]


def test_one_success_counts_for_all_larger_budgets():
    succeeded = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 1]], bool)
    least = least_budgets(succeeded, BUDGETS)
    assert (least * 255).tolist() == [1, 4, np.inf, 2]
    curve = success_curve(least, BUDGETS)
    naive = [np.mean([row[: b + 1].any() for row in succeeded]) for b in range(3)]
    assert curve.value.tolist() == naive


def test_the_eps_of_a_share_is_the_smallest_that_enough_queries_need():
    random = np.random.default_rng(0)
    for size in (1, 7, 10, 99, 100):
        least = random.choice([*BUDGETS, np.inf], size=size)
        for found in needed_eps(least, [0.5, 0.9, 1.0]):
            enough = [e for e in BUDGETS if np.mean(least <= e) >= found.share - 1e-12]
            assert found.value == (min(enough) if enough else None)


def test_the_interval_holds_the_quantile_as_often_as_it_says():
    random, missed = np.random.default_rng(1), 0
    for _ in range(400):
        found = needed_eps(random.random(40) + 1e-9, [0.5])[0]
        missed += not found.low <= 0.5 <= found.high
    assert 2 <= missed <= 28  # at most 5 %, 20 of 400, and discrete


def test_the_interval_is_that_of_the_tables_of_order_statistics():
    found = needed_eps(np.arange(1.0, 101.0), [0.5])[0]
    assert (found.low, found.value, found.high) == (40, 50, 61)


def test_too_few_queries_and_budgets_give_open_ends():
    small = needed_eps(np.full(9, 0.1))[0]
    assert (small.value, small.low, small.high) == (0.1, None, None)
    never = needed_eps(np.full(50, np.inf))[0]
    assert (never.value, never.low, never.high) == (None, None, None)
    assert str(never) == "50 % need more than was tried"
    all_ = needed_eps(np.linspace(0.1, 1, 50), [1.0])[0]
    assert (all_.low, all_.high) == (1.0, None)
    assert needed_eps(np.array([np.nan, 0.2]))[0].signature.startswith("eps@0.5|goal:evasion|q:1|")


@pytest.mark.parametrize("budgets", [[], [0.0], [0.2, 0.1], [0.1, 0.1], [np.nan], [np.inf]])
def test_budgets_must_rise(budgets):
    with pytest.raises(HashprobeError, match="budgets must"):
        least_budgets(np.ones((2, len(budgets)), bool), budgets)


def test_misuse_is_one_sentence():
    with pytest.raises(HashprobeError, match="2 results a query for 3 budgets"):
        least_budgets(np.ones((1, 2), bool), BUDGETS)
    with pytest.raises(HashprobeError, match="no query is left"):
        needed_eps(np.array([np.nan]))
    with pytest.raises(HashprobeError, match="above 0, at most 1"):
        needed_eps(np.array([0.1]), [0.0])
    with pytest.raises(HashprobeError, match="eps must be above 0"):
        needed_eps(np.array([0.0]))
