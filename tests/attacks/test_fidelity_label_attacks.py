"""Attacks that know the labels of a database, against updates computed by hand in numpy."""

import numpy as np
import pytest
import torch

from hashprobe.attacks._cgat import CgatOptions, cgat
from hashprobe.attacks._mainstay import (
    MainstayOptions,
    MainstayTargetedOptions,
    mainstay,
    mainstay_away_loss,
    mainstay_loss,
    mainstay_targeted,
)
from hashprobe.attacks._pta import PtaOptions, drawn_items, pta, pta_untargeted, smooth_ap
from hashprobe.attacks._sdha import SdhaOptions, SdhaTargetedOptions, sdha, sdha_targeted
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import mean_difference, relevance, vote_of_all, weighted_centre
from hashprobe.codes.labelled import Codes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget

from .test_fidelity import BITS, EPS, INPUTS, SIDE, Case, projected


LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]], bool)
OWN = np.array([[True, False, False]])


class Known(Case):
    """The two-layer network, and a database of six codes."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(11)
        self.codes = rng.choice([-1, 1], (len(LABELS), BITS)).astype(np.int8)
        self.database = Codes.of(self.codes, LABELS)

    def attacked(self, attack, options, *, targeted=False, **more):
        pixels = Queries(torch.from_numpy(self.x.reshape(1, 3, SIDE, SIDE)))
        goal = Goal.untargeted(OWN, self.database)
        if targeted:
            goal = Goal.targeted(self.b[None], labels=OWN, known=self.database)
        moved = attack(self.victim, pixels, goal, budget=Budget(EPS), options=options, **more)
        return moved.numpy().reshape(-1)


@pytest.fixture
def case():
    return Known()


def test_codes_of_labels_bit_by_bit(case):
    """Relevant items are those that share a label: the first, the second and the last."""
    here, weights = [0, 1, 5], [1.0, 1 / np.sqrt(2), 1.0]
    there = [2, 3, 4]
    for k in range(BITS):
        bits = case.codes[:, k]
        far = sum(bits[i] for i in there) / 3
        near = sum(bits[i] for i in here) / 3
        cosine = sum(w * bits[i] for w, i in zip(weights, here, strict=True)) / sum(weights)
        assert vote_of_all(case.database, OWN)[0, k] == (1 if near >= 0 else -1)
        assert mean_difference(case.database, OWN)[0, k] == (1 if near - far >= -1e-12 else -1)
        assert weighted_centre(case.database, OWN)[0, k] == (1 if cosine - far >= -1e-12 else -1)


def test_the_mean_difference_is_the_best_code_of_all(case):
    """Of all 256 codes it has the largest mean distance to the others less that to its own."""
    every = ((np.arange(2**BITS)[:, None] >> np.arange(BITS)) % 2 * 2 - 1).astype(np.int8)
    apart = (BITS - every.astype(int) @ case.codes.T) / 2
    gain = apart[:, [2, 3, 4]].mean(1) - apart[:, [0, 1, 5]].mean(1)
    found = mean_difference(case.database, OWN)[0]
    assert gain[(every == found).all(1)][0] == pytest.approx(gain.max())


def test_labels_that_no_item_has_are_refused(case):
    with pytest.raises(HashprobeError, match=r"no database item shares a label with \(empty\)"):
        mean_difference(case.database, np.zeros((1, 3), bool))
    with pytest.raises(HashprobeError, match="labels have 2 classes but the database has 3"):
        weighted_centre(case.database, np.eye(2, dtype=bool))


def mainstay_by_hand(u, b, t, away):
    """Loss and its gradient by u, one bit after the other."""
    bits = [k for k in range(len(u)) if (u[k] * b[k] > -t if away else u[k] * b[k] < t)]
    sign, count = (1 if away else -1), max(1, len(bits))
    value = sum(sign * (u[k] * b[k] + 2) * u[k] * b[k] for k in bits) / count
    slope = np.zeros(len(u))
    for k in bits:
        slope[k] = sign * (2 * u[k] * b[k] + 2) * b[k] / count
    return value, slope


@pytest.mark.parametrize("away", [False, True])
def test_mainstay_losses(away):
    rng = np.random.default_rng(1)
    z, b = rng.normal(size=(5, BITS)) * 2, rng.choice([-1.0, 1.0], (5, BITS))
    z[4] = (-9 if away else 9) * b[4]  # no bit is left in the mask: 0, not NaN
    loss = mainstay_away_loss if away else mainstay_loss
    logits = torch.from_numpy(z).requires_grad_()
    values = loss(logits, torch.from_numpy(b), 0.7)
    values.sum().backward()
    for row in range(5):
        u = np.tanh(0.7 * z[row])
        value, slope = mainstay_by_hand(u, b[row], 0.5, away)
        assert values[row].item() == pytest.approx(value, abs=1e-14)
        np.testing.assert_allclose(logits.grad[row], slope * 0.7 * (1 - u**2), atol=1e-14)
    assert values[4] == 0


@pytest.mark.parametrize("targeted", [False, True])
def test_mainstay_takes_sign_steps(case, targeted):
    code = case.b if targeted else weighted_centre(case.database, OWN)[0]
    delta = np.zeros(INPUTS)
    for alpha in [0.1] * 5 + [0.2, 0.3, 0.5, 0.7, 1.0]:
        u = np.tanh(alpha * case.logits(case.x + delta))
        slope = mainstay_by_hand(u, code, 0.5, not targeted)[1] * alpha * (1 - u**2)
        g = case.to_pixels(case.x + delta, case.w.T @ slope)
        delta = projected(case, delta - np.sign(g) / 255, "pixel")
    kind = MainstayTargetedOptions if targeted else MainstayOptions
    run = mainstay_targeted if targeted else mainstay
    ours = case.attacked(run, kind(steps=10, start="clean"), targeted=targeted)
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-14)
    assert (kind().steps, kind().step_size, kind().start) == (100, 1 / 255, "random")


def test_a_random_start_is_in_the_budget_and_of_the_seed(case):
    runs = [case.attacked(cgat, CgatOptions(steps=1, step_size=1e-9), seed=s) for s in (0, 0, 1)]
    assert (runs[0] == runs[1]).all() and (runs[0] != runs[2]).any()
    change = runs[0] - case.x
    assert np.abs(change).max() <= EPS and np.abs(change).mean() > EPS / 4


def test_cgat_lowers_the_mean_of_u_c_by_sign_steps(case):
    centre = mean_difference(case.database, OWN)[0]
    delta = np.zeros(INPUTS)
    for _ in range(7):
        u = np.tanh(case.logits(case.x + delta))
        g = case.to_pixels(case.x + delta, case.w.T @ (centre * (1 - u**2) / BITS))
        delta = projected(case, delta - 2 / 255 * np.sign(g), "pixel")
    ours = case.attacked(cgat, CgatOptions(start="clean"))
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-14)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def sdha_by_hand(u, codes, slope, power, least):
    """Mean over codes of w(r) d(u, r), one code and one bit after the other."""
    total = 0.0
    for r in codes:
        apart = sum(1 for k in range(len(u)) if (1 if u[k] >= 0 else -1) != r[k])
        d = 0.0
        for k in range(len(u)):
            gate = logistic(slope * u[k] * r[k])
            d += 0.5 * abs(u[k] - r[k]) * gate + (1 - gate if slope > 0 else 0)
        total += max(apart, least) ** power * d
    return total / len(codes)


@pytest.mark.parametrize("targeted", [False, True])
def test_sdha_is_adam_on_distances_and_distortion(case, targeted):
    relevant = case.codes[[0, 1, 5]]
    slope, power, sign = (-10.0, 0.3, 1.0) if targeted else (5.0, -0.5, -1.0)

    def loss_by_logits(z):
        u = np.tanh((0.1, 0.1, 0.1, 0.3, 0.7)[step - 1] * z)
        value = sdha_by_hand(u, relevant, slope, power, 0.0 if targeted else 0.5)
        return sign * 25 / BITS * value

    delta, m, v = np.zeros(INPUTS), np.zeros(INPUTS), np.zeros(INPUTS)
    for step in range(1, 6):
        z = case.logits(case.x + delta)
        by_logits = np.array(
            [(loss_by_logits(z + h) - loss_by_logits(z - h)) / 2e-6 for h in 1e-6 * np.eye(BITS)]
        )
        g = case.to_pixels(case.x + delta, case.w.T @ by_logits) + 2 * delta / INPUTS
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        move = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        delta = projected(case, delta - 0.004 * move, "pixel")
    kind, run = (SdhaTargetedOptions, sdha_targeted) if targeted else (SdhaOptions, sdha)
    ours = case.attacked(run, kind(steps=5, step_size=0.004), targeted=targeted)
    # The gradient by hand is a difference quotient.
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-7)
    assert (kind().steps, kind().step_size, kind().weight) == (1500, 0.01, 25.0)


def test_sdha_without_a_relevant_item_leaves_its_own_code(case):
    """As the release does: the query's own code stands for the items that it lacks."""
    pixels = Queries(torch.from_numpy(case.x.reshape(1, 3, SIDE, SIDE)))
    own = np.where(case.logits(case.x) >= 0, 1, 0)[None]
    given = {"budget": Budget(EPS), "options": SdhaOptions(steps=4)}
    lonely = Goal.untargeted(np.zeros((1, 3), bool), case.database)
    itself = Goal.untargeted(np.eye(1, dtype=bool), Codes.of(own, [0]))
    moved = [sdha(case.victim, pixels, goal, **given) for goal in (lonely, itself)]
    torch.testing.assert_close(moved[0], moved[1], rtol=0, atol=1e-12)


def test_smooth_ap_by_three_loops():
    rng = np.random.default_rng(2)
    u, codes, hits, t = np.tanh(rng.normal(size=BITS)), rng.choice([-1.0, 1.0], (9, BITS)), 3, 0.1
    alike = codes @ u / BITS
    total = 0.0
    for i in range(hits):
        before = sum(logistic((alike[j] - alike[i]) / t) for j in range(hits) if j != i)
        others = sum(logistic((alike[j] - alike[i]) / t) for j in range(hits, 9))
        total += (1 + before) / (1 + before + others) / hits
    ours = smooth_ap(torch.from_numpy(u[None]), torch.from_numpy(codes[None]), hits, t)
    assert ours.item() == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "hits", "temperature", "said"),
    [
        ((2, 3, 4), 4, 0.1, "hits must be 1 or more of the 3 items of a list; got 4"),
        ((2, 3, 4), 0, 0.1, "hits must be 1 or more of the 3 items"),
        ((2, 3, 4), -1, 0.1, "hits must be 1 or more of the 3 items"),
        ((2, 0, 4), 1, 0.1, "hits must be 1 or more of the 0 items"),
        ((2, 3, 5), 1, 0.1, "2 codes of 4 bits and 2 lists of codes of 5"),
        ((3, 3, 4), 1, 0.1, "2 codes of 4 bits and 3 lists of codes of 4"),
        ((2, 3, 4), 1, 0.0, "temperature must be above 0; got 0"),
        ((2, 3, 4), 1, float("nan"), "temperature must be above 0; got nan"),
    ],
)
def test_lists_that_smooth_ap_cannot_rank_are_refused(shape, hits, temperature, said, as_for_users):
    with pytest.raises(HashprobeError, match=said):
        smooth_ap(torch.ones(2, 4), torch.ones(shape), hits, temperature)


@pytest.mark.parametrize(("run", "targeted"), [(pta, True), (pta_untargeted, False)])
def test_pta_refuses_a_database_of_other_bits(case, run, targeted):
    case.database = Codes.of(case.codes[:, 1:], LABELS)
    with pytest.raises(HashprobeError, match=f"{BITS - 1} bits but the victim gives {BITS}"):
        case.attacked(run, PtaOptions(steps=1, items=1), targeted=targeted, seed=0)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
@pytest.mark.parametrize("targeted", [False, True])
def test_pta_takes_sign_steps_on_smooth_ap(case, targeted, momentum):
    options = PtaOptions(steps=4, items=3, others=1, momentum=momentum)
    items = drawn_items(relevance(case.database, OWN), (0,), options, 5)[0]
    assert set(items[:3]) == {0, 1, 5} and set(items[3:]) == {2, 3, 4}
    codes = case.codes[items].astype(float)

    def ap(z):
        soft = torch.from_numpy(np.tanh(z)[None])
        return smooth_ap(soft, torch.from_numpy(codes[None]), 3, 0.1).item()

    delta, kept = np.zeros(INPUTS), np.zeros(INPUTS)
    for _ in range(4):
        z = case.logits(case.x + delta)
        slope = np.array([(ap(z + h) - ap(z - h)) / 2e-6 for h in 1e-6 * np.eye(BITS)])
        kept = momentum * kept + case.to_pixels(case.x + delta, case.w.T @ slope)
        delta = projected(case, delta + (1 if targeted else -1) * EPS / 4 * np.sign(kept), "pixel")
    run = pta if targeted else pta_untargeted
    ours = case.attacked(run, options, targeted=targeted, seed=5)
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-12)
    assert (PtaOptions().steps, PtaOptions().items, PtaOptions().others) == (20, 75, 4)


def test_pta_refuses_labels_with_nothing_to_rank(case):
    with pytest.raises(HashprobeError, match="query 0: 0 of 6 database items share a label"):
        drawn_items(np.zeros((1, 6), bool), (0,), PtaOptions(), 0)


def test_sdha_leads_to_the_target_items_and_away_from_the_own_ones(case):
    """The mean distance to the items with the label falls in one form and rises in the other."""
    relevant = case.codes[[0, 1, 5]]

    def apart(x):
        signs = np.where(case.logits(x) >= 0, 1, -1)
        return (signs != relevant).sum(1).mean()

    more = {"steps": 60, "step_size": 0.01}
    away = case.attacked(sdha, SdhaOptions(**more))
    near = case.attacked(sdha_targeted, SdhaTargetedOptions(**more), targeted=True)
    assert apart(near) < apart(case.x) < apart(away)
