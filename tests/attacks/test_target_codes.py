import numpy as np
import pytest

import hashprobe as hp
from hashprobe.attacks._target_codes import KNOWLEDGE, code_ceilings, target_codes
from hashprobe.attacks.code_values import CodeValues
from hashprobe.codes.labelled import Codes
from hashprobe.errors import HashprobeError


BITS, CLASSES = 9, 4
OTHERS = [name for name in KNOWLEDGE if name not in ("vote", "prototype")]
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


def test_what_is_no_code_of_a_label_is_refused(database):
    with pytest.raises(HashprobeError, match="'vote' is drawn for each query"):
        target_codes(database, LABELS, "vote")
    with pytest.raises(HashprobeError, match="no database item shares a label"):
        target_codes(database, np.zeros((1, CLASSES), bool), "best")
    with pytest.raises(HashprobeError, match="labels have 5 classes but the database has 4"):
        code_ceilings(database, np.eye(5, dtype=bool), np.ones((5, BITS), np.int8))
