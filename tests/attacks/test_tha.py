"""THA: its circle loss by hand, its prototypes, and its sign steps against numpy."""

import math

import numpy as np
import pytest
import torch

from hashprobe.attacks import prototypes
from hashprobe.attacks._target_codes import target_codes
from hashprobe.attacks._tha import ThaOptions, tha
from hashprobe.attacks.label_codes import mean_difference
from hashprobe.attacks.prototypes import prototype_codes, prototype_loss
from hashprobe.codes.labelled import Codes
from hashprobe.errors import HashprobeError

from .test_fidelity import BITS, INPUTS, Case, projected


def test_the_circle_loss_pair_by_pair():
    rng = np.random.default_rng(6)
    p, codes = np.tanh(rng.normal(size=(4, 8))), rng.choice([-1.0, 1.0], (7, 8))
    similar = rng.random((4, 7)) < 0.4
    similar[0], similar[1] = True, False  # one kind of pairs alone
    total = 0.0
    for i in range(4):
        near, far = [], []
        for j in range(7):
            s = sum(p[i, k] * codes[j, k] for k in range(8)) / 8
            if similar[i, j]:
                near.append(math.exp(-max(0, 2 - s) * s))
            else:
                far.append(math.exp(max(0, 2 + s) * s))
        total += math.log(sum(near)) if near else 0
        total += math.log(sum(far)) if far else 0
        total += sum((np.sign(v) - v) ** 2 for v in p[i]) / 1e4
    given = torch.from_numpy(p).requires_grad_(), torch.from_numpy(codes), torch.from_numpy(similar)
    found = prototype_loss(*given)
    assert found.item() == pytest.approx(total / 4, abs=1e-12)
    found.backward()
    assert given[0].grad.isfinite().all()
    # The weights get no gradient: with them held fast each slope is that of a_n s or -a_p s.
    s = (p[:1] @ codes.T / 8)[0]
    weights = np.exp(-np.maximum(0, 2 - s) * s)
    slope = (weights / weights.sum() * -(2 - s)) @ codes / 8
    slope += 2 * (p[0] - np.sign(p[0])) / 1e4
    np.testing.assert_allclose(given[0].grad[0] * 4, slope, atol=1e-12)


def test_prototypes_are_near_the_codes_of_their_labels_and_of_the_seed(monkeypatch):
    for name, value in {"HIDDEN": 64, "SEMANTIC": 32, "RATE": 0.01}.items():
        monkeypatch.setattr(prototypes, name, value)
    rng = np.random.default_rng(1)
    centres = rng.choice([-1, 1], (3, 16))
    classes = np.arange(90) % 3
    codes = centres[classes] * np.where(rng.random((90, 16)) < 0.1, -1, 1)
    database, labels = Codes.of(codes, classes), np.eye(3, dtype=bool)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    with torch.inference_mode():
        found = prototype_codes(database, labels, steps=60)
    assert torch.equal(torch.get_rng_state(), before)
    assert (found == prototype_codes(database, labels, steps=60)).all()
    # The loss draws to a label's codes and away from the others', as their mean difference does.
    assert (found == mean_difference(database, labels)).mean() > 0.9
    alike = found @ centres.T
    assert (np.diag(alike) > np.sort(alike, axis=1)[:, -2] + 4).all()
    with pytest.raises(HashprobeError, match="no database item shares a label"):
        prototype_codes(database, np.zeros((1, 3), bool))


def test_the_code_is_known_by_its_name(monkeypatch):
    database = Codes.of([[1, 1], [0, 0]], [0, 1])
    labels = np.eye(2, dtype=bool)

    def doubled(database, wanted, **_):
        return (wanted * 2 - 1).astype(np.int8)

    monkeypatch.setattr("hashprobe.attacks._target_codes.prototype_codes", doubled)
    assert (target_codes(database, labels, "prototype") == labels * 2 - 1).all()


def test_tha_takes_sign_steps_on_the_inner_product():
    case, delta = Case(), np.zeros(INPUTS)
    for _ in range(6):
        u = np.tanh(case.logits(case.x + delta))
        g = case.to_pixels(case.x + delta, case.w.T @ (-case.b * (1 - u**2) / BITS))
        delta = projected(case, delta - np.sign(g) / 255, "pixel")
    ours = case.attacked(tha, ThaOptions(steps=6, start="clean"))
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-14)
    assert (ThaOptions().steps, ThaOptions().step_size, ThaOptions().alpha) == (100, 1 / 255, 1.0)
