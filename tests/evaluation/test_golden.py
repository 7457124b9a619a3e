"""Numbers that must not change: computed once by version 0.1, compared exactly.

The arrays are drawn from a fixed seed. `tests/golden/measures.json` holds one evaluation for each
set of options, on one of four problems, and the curves of each problem. The version at the end
of a signature plays no part.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.bootstrap import Bootstrap
from hashprobe.evaluation.curves import (
    precision_at,
    precision_curve,
    precision_recall_curve,
    precision_within_radius,
    recall_curve,
)
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.outcome import AttackCodes
from hashprobe.evaluation.scoring import evaluate_attack


GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "measures.json").read_text())
SETTINGS = [
    (top, normaliser, ties, empty)
    for top, normaliser, ties, empty in itertools.product(
        (None, 9),
        ("hits", "min", "relevant"),
        ("stable", "expected", "best", "worst"),
        ("zero", "skip"),
    )
    if (normaliser, ties) != ("hits", "expected")
]
PERCENTILE = Bootstrap(1000, method="percentile")
"""How intervals were computed then."""
PROBLEMS = [(16, False), (16, True), (64, False), (64, True)]


def draw(random, bits, multi):
    """60 database items, and 7 queries with their target, attacked and float codes."""
    signs = (random.choice(np.array([-1, 1], np.int8), (n, bits)) for n in (60, 7, 7, 7, 7))
    codes = [PackedCodes.from_signs(part) for part in signs]
    if not multi:
        labels = [np.eye(5, dtype=bool)[random.integers(5, size=n)] for n in (60, 7, 7)]
        return codes, labels
    labels = [random.random((n, 5)) < 0.3 for n in (60, 7, 7)]
    for part in labels:
        part[np.arange(len(part)), random.integers(5, size=len(part))] = True
    return codes, labels


@pytest.fixture(scope="module")
def drawn():
    random = np.random.default_rng(0)
    return {problem: draw(random, *problem) for problem in PROBLEMS}


def without_version(value):
    """Signatures without the version at their end, wherever they stand in JSON."""
    if isinstance(value, dict):
        return {key: without_version(part) for key, part in value.items()}
    return value.rsplit("|v:", 1)[0] if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("problem", "setting"),
    [(PROBLEMS[(i + i // 4) % 4], setting) for i, setting in enumerate(SETTINGS)],
    ids=str,
)
def test_an_evaluation_is_what_it_was(drawn, problem, setting):
    (database, query, target, attacked, attacked_float), labels = drawn[problem]
    done = evaluate_attack(
        AttackCodes(query, attacked, target, attacked_float),
        Codes(database, labels[0]),
        query_labels=labels[1],
        target_labels=labels[2],
        options=MeasureOptions(*setting, bootstrap=PERCENTILE),
    )
    expected = GOLDEN["evaluations"]["/".join(map(str, (*problem, *setting)))]
    found = done.to_json()
    assert list(found) == list(expected)
    assert without_version(found) == without_version(expected)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_curves_are_what_they_were(drawn, problem):
    (database, query, *_), labels = drawn[problem]
    arrays = query, database, labels[1], labels[0]
    measured = {
        "p5": precision_at(5, *arrays, bootstrap=PERCENTILE),
        "p5w": precision_at(5, *arrays, ties="worst", bootstrap=PERCENTILE),
        "radius": precision_within_radius(*arrays, radius=problem[0] // 3, bootstrap=PERCENTILE),
    }
    found = {
        name: {**value.to_json(), "per_query": value.per_query.tolist()}
        for name, value in measured.items()
    }
    curves = {
        "pcurve": precision_curve([1, 5, 20], *arrays, bootstrap=PERCENTILE),
        "rcurve": recall_curve([1, 5, 20], *arrays, bootstrap=PERCENTILE),
    }
    for name, curve in curves.items():
        lists = {"value": curve.value.tolist(), "low": curve.low.tolist()}
        found[name] = {**lists, "signature": curve.signature}
    found["pr"] = precision_recall_curve(*arrays).to_json()
    assert without_version(found) == without_version(GOLDEN["curves"]["/".join(map(str, problem))])
