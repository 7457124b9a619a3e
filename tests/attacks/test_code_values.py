import numpy as np
import pytest
import torch

from hashprobe.attacks._reach import MISSED, robust_code
from hashprobe.attacks._worst_code import WorstCodeOptions, worst_code
from hashprobe.attacks.code_values import CodeValues, IterateScore
from hashprobe.attacks.goal import Goal
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.evaluation.average import average_precision, harmonic
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.ranking import Ranking
from hashprobe.types import Budget

from ..golden.victims import queries8, small


BITS = 10


@pytest.fixture
def database():
    """Sixty codes, many of them twice, of three labels."""
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 2, (20, BITS))[rng.integers(0, 20, 60)]
    return Codes.of(codes, rng.integers(0, 3, 60))


def measured(database, code, label, top):
    """The same number from the package that judges."""
    labels = np.arange(3)[None] == label
    options = MeasureOptions(top, "min", "expected")
    ranking = Ranking(PackedCodes.from_signs(code[None]), database.packed, labels, database.labels)
    length = options.length(len(database))
    return average_precision(ranking, slice(0, 1), options, harmonic(length))[0]


@pytest.mark.parametrize("top", [1, 7, 25, None])
def test_values_are_those_of_the_measure(database, top):
    rng = np.random.default_rng(0)
    values = CodeValues.of(database, database.labels[:, 1], top)
    for code in rng.choice([-1, 1], (8, BITS)).astype(np.int8):
        assert values.at(code[None])[0] == pytest.approx(measured(database, code, 1, top))


@pytest.mark.parametrize("top", [7, None])
def test_neighbours_are_codes_with_one_bit_flipped(database, top):
    values = CodeValues.of(database, database.labels[:, 0], top)
    code = np.random.default_rng(1).choice([-1, 1], BITS).astype(np.int8)
    flipped = np.where(np.eye(BITS, dtype=bool), -code, code).astype(np.int8)
    np.testing.assert_allclose(values.neighbours(code), values.at(flipped), atol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_climb_ends_where_no_flip_helps(database, sign):
    values = CodeValues.of(database, database.labels[:, 2])
    start = np.ones(BITS, np.int8)
    code, value = values.climb(start, sign)
    assert value == pytest.approx(values.at(code[None])[0])
    assert (sign * (values.neighbours(code) - value) <= 1e-12).all()
    assert sign * (value - values.at(start[None])[0]) > 0
    assert (start == 1).all()


def test_the_score_of_an_iterate_is_that_of_its_own_code(database):
    values = [CodeValues.of(database, database.labels[:, label]) for label in range(3)]
    logits = torch.randn(5, BITS, generator=torch.manual_seed(0))
    given = torch.tensor([[9.0, label] for label in (0, 2, 1, 1, 0)])
    signs = np.where(logits.numpy() >= 0, 1, -1).astype(np.int8)
    each = [values[int(row[1])].at(code[None])[0] for row, code in zip(given, signs, strict=True)]
    for sign, wanted in ((-1.0, each), (1.0, 1 - np.array(each))):
        score = IterateScore(values, sign)
        np.testing.assert_allclose(score(logits, given), wanted, atol=1e-6)
        np.testing.assert_allclose(score(logits, given), wanted, atol=1e-6)  # from what it keeps


def test_the_worst_code_attack_returns_the_iterate_with_the_lowest_ap():
    """Among the iterates of 1 to 12 steps, which all begin alike, none is better than the last."""
    victim, queries = small(), Queries(queries8("small").float() / 255)
    with torch.no_grad():
        own = np.where(victim(queries.pixels).numpy() >= 0, 1, -1).astype(np.int8)
    labels = np.arange(len(own)) % 2
    rng = np.random.default_rng(0)
    near = np.where(rng.random((60, own.shape[1])) < 0.1, -1, 1) * own[np.arange(60) % len(own)]
    database = Codes.of(near, labels[np.arange(60) % len(own)])
    goal = Goal.untargeted(np.eye(2, dtype=bool)[labels], database)

    def aps(pixels):
        with torch.no_grad():
            codes = np.where(victim(pixels).numpy() >= 0, 1, -1).astype(np.int8)
        values = [CodeValues.of(database, database.labels[:, kind]) for kind in (0, 1)]
        each = zip(labels, codes, strict=True)
        return np.array([values[kind].at(code[None])[0] for kind, code in each])

    moved = worst_code(
        victim, queries, goal, budget=Budget(32 / 255), options=WorstCodeOptions(steps=12)
    )
    assert (aps(moved) <= aps(queries.pixels) + 1e-9).all()
    assert aps(moved).mean() < 0.8 * aps(queries.pixels).mean()


def mean_ap(values, code, z):
    """The mean AP over the shares of wrong bits that stay wrong, those with the largest |z|."""
    clean = np.where(z >= 0, 1, -1)
    wrong = sorted((k for k in range(BITS) if code[k] != clean[k]), key=lambda k: -abs(z[k]))
    aps = []
    for share in MISSED:
        seen = code.copy()
        for k in wrong[: round(share * len(wrong))]:
            seen[k] = clean[k]
        aps.append(values.at(seen[None])[0])
    return np.mean(aps)


def test_a_robust_code_is_worth_more_than_the_best_one_where_bits_are_missed(database):
    rng, start = np.random.default_rng(2), np.ones(BITS, np.int8)
    gains, losses = [], []
    for label in (0, 1, 2) * 4:
        values = CodeValues.of(database, database.labels[:, label])
        z = rng.normal(size=BITS)
        robust, best = robust_code(values, start, z), values.climb(start)[0]
        assert mean_ap(values, robust, z) >= mean_ap(values, start, z) - 1e-9
        gains.append(mean_ap(values, robust, z) - mean_ap(values, best, z))
        losses.append(values.at(best[None])[0] - values.at(robust[None])[0])
    assert np.mean(gains) > 0 and np.mean(losses) > 0
    assert (start == 1).all()
