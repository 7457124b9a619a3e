"""The default attack: its loss, its steps, and what it reaches."""

import dataclasses

import pytest
import torch

from hashprobe.attacks._bit_margin import (
    BitMarginOptions,
    bit_margin,
    bit_margin_loss,
    sharpness_at,
)
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget
from hashprobe.victims.encoding import encode


EPS = Budget(8 / 255)


def on_grid(images):
    return (images * 255).round() / 255


def disjoint(bits=16, size=8, seed=0):
    """Rows of disjoint support: bit k can be flipped by eps exactly when |z_k| < eps ||w_k||_1."""
    chance = torch.Generator().manual_seed(seed)
    weight = torch.zeros(bits, 3 * size * size)
    for k, part in enumerate(torch.arange(weight.shape[1]).chunk(bits)):
        weight[k, part] = torch.randn(len(part), generator=chance)
    return weight


def test_loss_against_a_double_loop(random_signs):
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    b = random_signs(4, 8)
    b[1, 2] = 0
    loss = bit_margin_loss(z, b, 2.5)
    for i in range(4):
        s = sum(abs(z[i, k]) for k in range(8)) / 8
        terms = [torch.log(1 + torch.exp(-2.5 * b[i, k] * z[i, k] / s)) / 2.5 for k in range(8)]
        expected = sum(term for k, term in enumerate(terms) if b[i, k] != 0) / 8
        assert abs(loss[i] - expected) < 1e-12
    each = bit_margin_loss(z, b, torch.tensor([[1.0], [2.5], [9.0], [0.1]], dtype=torch.float64))
    assert each[1] == loss[1] and (each != loss)[[0, 2, 3]].all()


def test_loss_is_the_same_for_logits_of_another_scale_and_has_no_nan(random_signs):
    z, b = torch.randn(3, 8, generator=torch.Generator().manual_seed(1)), random_signs(3, 8)
    torch.testing.assert_close(
        bit_margin_loss(1e4 * z, b.float(), 4.0), bit_margin_loss(z, b, 4.0).float()
    )
    assert bit_margin_loss(torch.zeros(1, 8), torch.ones(1, 8), 4.0).isfinite().all()


def test_a_wrong_bit_keeps_its_gradient_however_wrong_it_is():
    z = torch.tensor([[-1000.0, 1.0, 1.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(bit_margin_loss(z, torch.ones(1, 4), 4.0).sum(), z)
    assert gradient[0, 0] < 0 and gradient[0, 0].abs() >= gradient[0, 1:].abs().max()


@pytest.fixture
def rules(conv, random_images, random_signs, monkeypatch):
    """What the attack asks the loop for: its rule and the quick one, with some options."""

    def of(queries=None, **options):
        asked = []

        def solve(victim, queries, targets, rule, **more):
            asked.append((rule, more))
            return queries.pixels

        monkeypatch.setattr("hashprobe.optim.attempts.solve", solve)
        queries = queries or Queries(random_images(2))
        goal, options = Goal.targeted(random_signs(len(queries), 16)), BitMarginOptions(**options)
        bit_margin(conv(), queries, goal, budget=Budget(0.1), options=options)
        return asked[0]

    return of


def test_first_step_is_all_of_eps_and_the_last_falls_to_nothing(rules):
    rule, _ = rules(steps=20)
    momentum = torch.tensor([-2.0, 0.0, 3.0]).view(1, 3, 1, 1).repeat(2, 1, 1, 1)
    moved = rule.step(momentum, torch.tensor([0, 15]))
    torch.testing.assert_close(moved[0].flatten(), torch.tensor([0.1, 0.0, -0.1]))
    torch.testing.assert_close(moved[1].flatten(), torch.tensor([0.025, 0.0, -0.025]))
    half, _ = rules(steps=20, step_size=0.5)
    torch.testing.assert_close(half.step(momentum, torch.tensor([0, 15])), moved / 2)


def test_the_loss_sharpens_from_step_to_step(rules, random_signs):
    rule, _ = rules(steps=20)
    b = random_signs(3, 8).float()
    z = -b * torch.rand(3, 8, generator=torch.Generator().manual_seed(0))  # all bits are wrong
    loss = rule.objective(z, b, torch.tensor([0, 10, 20]))
    for row, sharpness in enumerate((0.1, (0.1 * 16.0) ** 0.5, 16.0)):
        alone = bit_margin_loss(z[row : row + 1], b[row : row + 1], sharpness)
        torch.testing.assert_close(loss[row : row + 1], alone)


def test_the_loss_sharpens_as_bits_come_right():
    """Four bits of eight wrong: as at the start; two: half of the way; none: all of it."""
    b = torch.ones(5, 8, dtype=torch.float64)
    z = torch.full((5, 8), 0.5, dtype=torch.float64)
    for row, wrong in enumerate((6, 4, 2, 0, 0)):
        z[row, :wrong] = -1
    b[4, 1:] = 0  # one bit counts, and it is right
    sharp = sharpness_at(z, b, torch.zeros(5, dtype=torch.float64)).flatten()
    expected = torch.tensor([0.1, 0.1, (0.1 * 16) ** 0.5, 16.0, 16.0], dtype=torch.float64)
    torch.testing.assert_close(sharp, expected)
    later = sharpness_at(z, b, torch.full((5,), 0.75, dtype=torch.float64)).flatten()
    torch.testing.assert_close(later[:3], torch.full((3,), 0.1**0.25 * 16**0.75).double())
    assert torch.equal(later[3:], sharp[3:])
    assert sharpness_at(z, torch.zeros_like(b), torch.zeros(5)).isfinite().all()


def test_small_budgets_take_fewer_steps(conv, random_images, random_signs, monkeypatch):
    asked = []

    def solve(victim, queries, targets, rule, **more):
        asked.append(rule.steps)
        return queries.pixels

    monkeypatch.setattr("hashprobe.optim.attempts.solve", solve)
    queries, codes = Queries(random_images(2)), random_signs(2, 16)
    for budget in (Budget(2 / 255), Budget(8 / 255), Budget(0.06, space="normalised")):
        bit_margin(conv(), queries, Goal.targeted(codes), budget=budget, options=BitMarginOptions())
    unit = max(conv().contract.std)
    assert asked == [16, 40, round(8 + 4 * 255 * 0.06 * unit)]
    radius = Goal.collide(codes, 4)
    bit_margin(conv(), queries, radius, budget=Budget(2 / 255), options=BitMarginOptions())
    assert asked[-1] == 50
    bit_margin(
        conv(),
        queries,
        Goal.targeted(codes),
        budget=Budget(2 / 255),
        options=BitMarginOptions(steps=33),
    )
    assert asked[-1] == 33


def test_clips_alone_are_tried_quickly_where_that_is_shorter(rules, clips8, lengths):
    clips = Queries(clips8.double() / 255, lengths=lengths)
    rule, more = rules(clips)
    assert rule.steps == 50 and more["quick"].steps == 10
    assert rule.eight_bit and more["quick"].eight_bit and rule.momentum == 0.6
    assert rules(clips, steps=10)[1]["quick"] is None
    assert rules(steps=50)[1]["quick"] is None and rules()[0].steps == 50
    assert rules(restarts=3)[1]["restarts"] == 3


@pytest.mark.parametrize("eps", [2, 8, 16])
def test_reaches_what_can_be_reached(eps, linear, random_signs):
    """A hasher whose best 8-bit code is known in closed form: the attack finds it."""
    weight = disjoint()
    chance = torch.Generator().manual_seed(1)
    images = torch.randint(80, 170, (12, 3, 8, 8), generator=chance) / 255.0
    weight = weight - weight.sum(1, keepdim=True) * (weight != 0) / (weight != 0).sum(
        1, keepdim=True
    )
    victim, targets = linear(weight), random_signs(12, 16, dtype=torch.float32)
    best = targets * (images.flatten(1) @ weight.T) + eps / 255 * weight.abs().sum(1)
    reachable = best > 1e-3
    moved = bit_margin(
        victim,
        Queries(images),
        Goal.targeted(targets),
        budget=Budget(eps / 255),
        options=BitMarginOptions(),
    )
    right = targets * (moved.flatten(1) @ weight.T) > 0
    assert 0.1 < reachable.float().mean() < 1.01
    assert (right | ~reachable).all()


def test_every_value_is_a_grey_level_and_within_the_budget(conv, random_images, random_signs):
    images = on_grid(random_images(5, dtype=torch.float32))
    moved = bit_margin(
        conv(dtype=torch.float32),
        Queries(images),
        Goal.targeted(random_signs(5, 16)),
        budget=Budget(3.7 / 255),
        options=BitMarginOptions(steps=9),
    )
    assert torch.equal(moved, on_grid(moved))
    levels = (255 * (moved - images)).round()
    assert levels.abs().max() == 3 and (255 * (moved - images) - levels).abs().max() < 1e-3


def test_a_budget_below_one_grey_level_is_refused(conv, random_images, random_signs):
    images = random_images(1)
    given = (conv(), Queries(images), Goal.targeted(random_signs(1, 16)))
    with pytest.raises(HashprobeError, match=r"no 8-bit pixel can change within .*0\.003"):
        bit_margin(*given, budget=Budget(0.003), options=BitMarginOptions())
    std = conv().contract.std  # the widest channel has one grey level, the others none
    narrow = Budget(1.01 / 255 / max(std), "normalised")
    moved = bit_margin(*given, budget=narrow, options=BitMarginOptions(steps=3))
    change = (moved - images).abs().amax((0, 2, 3))
    assert change[2] > 0 and (change <= 1.02 / 255 / max(std) * torch.tensor(std)).all()


def test_targets_of_another_kind_than_the_images(conv, random_images, random_signs):
    queries, targets = Queries(on_grid(random_images(2))), random_signs(2, 16)
    given = {"budget": EPS, "options": BitMarginOptions(steps=4)}
    moved = bit_margin(conv(), queries, Goal.targeted(targets), **given)
    for same in (targets.float(), targets.int(), targets.numpy(), targets.tolist()):
        assert torch.equal(moved, bit_margin(conv(), queries, Goal.targeted(same), **given))


def test_it_reaches_codes_of_clips(clip_hasher, clips8, lengths, random_signs):
    victim, targets = clip_hasher(), random_signs(5, 16).numpy()
    queries = Queries(clips8.float() / 255, lengths=lengths)
    moved = bit_margin(
        victim,
        queries,
        Goal.targeted(targets),
        budget=Budget(64 / 255),
        options=BitMarginOptions(steps=6),
    )
    attacked = dataclasses.replace(queries, pixels=moved)
    before, after = ((encode(victim, q).signs() != targets).sum() for q in (queries, attacked))
    assert after < before / 2


def test_options_out_of_range(as_for_users):
    for wrong, message in (
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"step_size": 0.0}, "step_size must be above 0"),
        ({"restarts": -1}, "restarts must be at least 0; got -1"),
        ({"n_t": 0}, "n_t must be at least 1"),
        ({"tie": "half"}, "tie must be plus or zero"),
    ):
        with pytest.raises(HashprobeError, match=message):
            BitMarginOptions(**wrong)
