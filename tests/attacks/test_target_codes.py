import numpy as np
import pytest

import hashprobe as hp
from hashprobe.attacks._dhta import alpha_at
from hashprobe.attacks._target_codes import KNOWLEDGE, code_ceilings, target_codes
from hashprobe.attacks.code_values import CodeValues
from hashprobe.attacks.importance import importance_codes
from hashprobe.codes.labelled import Codes
from hashprobe.errors import HashprobeError


BITS, CLASSES = 9, 4
TRAINED = ("vote", "prototype", "pairwise-prototype", "importance")
"""Codes that are drawn or trained, whose own tests are elsewhere."""
OTHERS = [name for name in KNOWLEDGE if name not in TRAINED]
LABELS = np.eye(CLASSES, dtype=bool)


@pytest.fixture
def database():
    """Eighty noisy codes around four centres."""
    rng = np.random.default_rng(8)
    centres = rng.choice([-1, 1], (CLASSES, BITS))
    classes = np.arange(80) % CLASSES
    flips = np.where(rng.random((80, BITS)) < 0.3, -1, 1)
    return Codes.of(centres[classes] * flips, classes)


def every_code():
    return ((np.arange(2**BITS)[:, None] >> np.arange(BITS)) % 2 * 2 - 1).astype(np.int8)


@pytest.mark.parametrize("top", [10, None])
def test_the_ascent_is_between_every_other_code_and_the_best_of_all(database, top):
    codes = {name: target_codes(database, LABELS, name, top=top) for name in OTHERS}
    values = {name: code_ceilings(database, LABELS, each, top) for name, each in codes.items()}
    for label in range(CLASSES):
        best = CodeValues.of(database, database.labels[:, label], top).at(every_code()).max()
        assert values["ascent"][label] <= best + 1e-12
        for name in values:
            assert values[name][label] <= values["ascent"][label] + 1e-12
    # Of 512 codes a climb from four good ones finds the best for most labels.
    whole = [
        CodeValues.of(database, database.labels[:, label], top).at(every_code()).max()
        for label in range(CLASSES)
    ]
    assert (values["ascent"] >= np.array(whole) - 0.02).all()


def test_the_best_stored_code_is_found_by_trying_all(database):
    found = target_codes(database, LABELS, "best")
    for label in range(CLASSES):
        own = database.packed[database.labels[:, label]].signs()
        aps = CodeValues.of(database, database.labels[:, label]).at(own)
        value = code_ceilings(database, LABELS[[label]], found[[label]])[0]
        assert value == pytest.approx(aps.max()) and (own == found[label]).all(1).any()


def test_each_label_has_its_code_whatever_order_it_is_asked_in(database):
    order = np.array([2, 0, 2, 3, 1])
    for name in OTHERS:
        whole = target_codes(database, LABELS, name)
        assert (target_codes(database, LABELS[order], name) == whole[order]).all()


def test_goals_take_a_code_by_name(database):
    goal = hp.targets(database, avoid=[0, 1, 2, 3], code="ascent")
    assert (goal.codes == target_codes(database, goal.labels, "ascent")).all()
    vote = hp.targets(database, avoid=[0, 1, 2, 3])
    assert (goal.labels == vote.labels).all() and (goal.members == vote.members).all()


@pytest.mark.parametrize("code", ["best", "ascent", "vote-all"])
def test_no_labels_have_no_codes(database, code):
    assert target_codes(database, np.zeros((0, CLASSES), bool), code).shape == (0, BITS)


def test_what_is_no_code_of_a_label_is_refused(database):
    with pytest.raises(HashprobeError, match="'vote' is drawn for each query"):
        target_codes(database, LABELS, "vote")
    with pytest.raises(HashprobeError, match="no database item shares a label"):
        target_codes(database, np.zeros((1, CLASSES), bool), "best")
    with pytest.raises(HashprobeError, match="labels have 5 classes but the database has 4"):
        code_ceilings(database, np.eye(5, dtype=bool), np.ones((5, BITS), np.int8))


def test_importance_aware_codes_by_hand():
    """Adam by hand on the circle loss of free logits, its weights held fast."""
    rng = np.random.default_rng(0)
    classes = np.arange(12) % 3
    database = Codes.of(rng.integers(0, 2, (12, 6)), classes)
    labels, signs = np.eye(3, dtype=bool), database.packed.signs().astype(float)
    chance = np.random.default_rng(5)
    order = chance.permutation(12)
    assert sorted(order) == list(range(12))  # few items: all are taken
    z = chance.normal(size=(3, 6)).astype(np.float32).astype(float)
    m, v, steps = np.zeros_like(z), np.zeros_like(z), 20
    for step in range(steps):
        alpha = alpha_at(step, steps)
        p = np.tanh(alpha * z)
        g = np.zeros_like(z)
        for row in range(3):  # label vectors are sorted: that of the last class comes first
            s = signs @ p[row] / 6
            for near in (True, False):
                mine = (classes == 2 - row) == near
                weights = np.where(near, -np.maximum(0, 2 - s), np.maximum(0, 2 + s))[mine]
                share = np.exp(weights * s[mine])
                g[row] += (share / share.sum() * weights) @ signs[mine] / 6
            g[row] += 2 * (p[row] - np.sign(p[row])) / 1e4
        g = g * alpha * (1 - p**2) / 3
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
        hat = m / (1 - 0.5 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        z -= hat[0] / (np.sqrt(hat[1]) + 1e-8)
    assert np.abs(z).min() > 0.01  # no sign hangs on rounding
    found = importance_codes(database, labels[[2, 0, 1]], steps=steps, seed=5)
    assert (found == np.where(z >= 0, 1, -1)[[0, 2, 1]]).all()
    assert (
        target_codes(database, labels, "importance") == importance_codes(database, labels)
    ).all()
    with pytest.raises(HashprobeError, match="no database item shares a label"):
        importance_codes(database, np.zeros((1, 3), bool))
