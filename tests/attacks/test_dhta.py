from dataclasses import replace

import pytest
import torch

from hashprobe.attacks._dhta import (
    PRESETS,
    DhtaOptions,
    alpha_at,
    dhta,
    inner_product_loss,
    step_length,
)
from hashprobe.attacks._feature import FeatureOptions
from hashprobe.attacks._hag import HagOptions
from hashprobe.attacks._p2p import P2pOptions
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.steps import UnitL2Step
from hashprobe.types import Budget


@pytest.mark.parametrize("space", ["pixel", "normalised"])
@pytest.mark.parametrize("n", [1, 8])
def test_reaches_every_bit_that_can_be_reached(space, n, linear, random_signs):
    """sign(W x) with disjoint supports: bit k flips iff |w_k x| < eps ||w_k||_1 (scaled by std)."""
    chance = torch.Generator().manual_seed(n)
    bits, inputs = 16, 192
    w = torch.zeros(bits, inputs, dtype=torch.float64)
    for k, support in enumerate(torch.randperm(inputs, generator=chance).view(bits, -1)):
        w[k, support] = torch.randn(len(support), generator=chance, dtype=torch.float64)
    # Well inside the box, so that only the budget binds.
    images = 0.5 + 0.2 * (torch.rand(n, 3, 8, 8, generator=chance, dtype=torch.float64) - 0.5)
    victim, targets = linear(w), random_signs(n, bits)
    eps = 0.3 if space == "normalised" else 0.08
    std = torch.tensor(victim.contract.std, dtype=torch.float64).repeat_interleave(64)
    radius = eps * (std if space == "normalised" else torch.ones_like(std))
    z, reach = images.flatten(1) @ w.T, (w.abs() * radius).sum(1)
    best = torch.where(targets * z + reach > 0, targets, -targets)
    moved = dhta(
        victim,
        Queries(images),
        Goal.targeted(targets),
        budget=Budget(eps, space),
        options=DhtaOptions(steps=150),
    )
    assert torch.equal((moved.flatten(1) @ w.T).sign(), best)
    wrong = targets * z < 0
    assert (wrong & (best == targets)).any() and (wrong & (best != targets)).any()


def test_schedule_is_the_papers_at_every_step_of_2000():
    expected = [0.1] * 1000
    for alpha in (0.2, 0.3, 0.5, 0.7, 1.0):
        expected += [alpha] * 200
    assert [alpha_at(step, 2000) for step in range(2000)] == expected


@pytest.mark.parametrize("steps", [10, 20, 100, 500, 1000])
def test_schedule_scales(steps):
    tenth = steps // 10
    expected = [0.1] * (5 * tenth)
    for alpha in (0.2, 0.3, 0.5, 0.7, 1.0):
        expected += [alpha] * tenth
    assert [alpha_at(step, steps) for step in range(steps)] == expected


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 13, 999])
def test_schedule_never_falls_at_odd_step_counts(steps):
    alphas = [alpha_at(step, steps) for step in range(steps)]
    assert alphas == sorted(alphas) and alphas[0] == 0.1
    assert alphas.count(0.1) == (steps + 1) // 2


def test_schedule_out_of_range():
    with pytest.raises(HashprobeError, match="step must be from 0 to 9; got 10"):
        alpha_at(10, 10)


def test_constant_alpha_replaces_the_schedule(conv, random_images, random_signs):
    given = conv(), Queries(random_images(2)), Goal.targeted(random_signs(2, 16))
    budget = Budget(0.2)

    def run(**options):
        options = DhtaOptions(steps=10, step_size=0.05, **options)
        return dhta(*given, budget=budget, options=options)

    assert not torch.allclose(run(), run(alpha=0.9))
    first = DhtaOptions(steps=1, step_size=0.05)
    constant = DhtaOptions(steps=1, step_size=0.05, alpha=0.1)
    one = dhta(*given, budget=budget, options=first)
    assert torch.equal(one, dhta(*given, budget=budget, options=constant))


def test_tied_bits_are_left_alone(linear):
    """A target of 0 gives no gradient: the pixels of that bit alone do not move."""
    w = torch.zeros(8, 48, dtype=torch.float64)
    for k in range(8):
        w[k, 6 * k : 6 * k + 6] = 1.0
    targets = torch.ones(1, 8, dtype=torch.float64)
    targets[0, 2] = 0
    images = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)
    moved = dhta(
        linear(w),
        Queries(images),
        Goal.targeted(targets),
        budget=Budget(0.1),
        options=DhtaOptions(steps=5),
    ).flatten()
    still = torch.zeros(48, dtype=torch.bool)
    still[12:18] = True
    assert (moved[still] == 0.5).all() and (moved[~still] > 0.5).all()


def test_presets_say_what_was_published():
    paper, code = PRESETS["paper"], PRESETS["official-code"]
    assert (paper.budget, code.budget) == (Budget(0.032), Budget(0.032, "normalised"))
    assert paper.options == DhtaOptions(9, 2000, 1.0, None, "plus")
    assert code.options == DhtaOptions(9, 2000, 1.0, None, "zero")
    assert (code.empty, code.minimum, code.pool) == ("skip", 10, "differs")
    videos = PRESETS["paper-videos"]
    assert videos.options == DhtaOptions(9, 500, 1.0, 0.1, "plus")
    assert replace(videos, name="paper", options=paper.options) == paper
    scaled = PRESETS["scaled"]
    assert replace(scaled, name="paper", options=replace(scaled.options, step="unit")) == paper
    assert all(name == preset.name for name, preset in PRESETS.items())


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 3, 64, 48), (1, 3, 224, 224), (1, 3, 4, 4)])
def test_a_scaled_step_moves_a_value_as_far_as_at_224_pixels(shape):
    """The root mean square of a step of size 1 is 0.657/255 at every size of a picture."""
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    done = torch.zeros(len(gradient), dtype=torch.int64)
    move = UnitL2Step(step_length(gradient, 1.0, "scaled"))(gradient, done)
    assert 255 * move[0].square().mean().sqrt() == pytest.approx(255 / 150_528**0.5, rel=1e-9)
    released = UnitL2Step(step_length(gradient, 1.0, "unit"))(gradient, done)
    assert released[0].norm() == pytest.approx(1.0, rel=1e-9)
    assert torch.equal(move, released) == (shape[-1] == 224)


@pytest.mark.parametrize("frames", [1, 8, 40])
def test_of_a_clip_the_values_of_a_frame_count(frames):
    """At 224 pixels the scaled step is the paper's, however many frames a clip has."""
    assert step_length(torch.zeros(1, frames, 3, 224, 224), 1.0, "scaled") == 1.0
    assert step_length(torch.zeros(1, frames, 3, 112, 112), 3.0, "scaled") == 1.5
    assert step_length(torch.zeros(1, frames, 3, 112, 112), 3.0, "unit") == 3.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_t": 0}, "n_t must be at least 1; got 0"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"step_size": 0.0}, "step_size must be above 0; got 0.0"),
        ({"alpha": -1.0}, "alpha must be above 0, or left out for the schedule; got -1.0"),
    ],
)
def test_options_out_of_range(settings, message):
    with pytest.raises(HashprobeError, match=message):
        DhtaOptions(**settings)
    if "n_t" not in settings:
        with pytest.raises(HashprobeError, match=message):
            P2pOptions(**settings)
        if "alpha" in settings or "steps" in settings:
            with pytest.raises(HashprobeError, match=message):
                HagOptions(**settings)


@pytest.mark.parametrize("options", [DhtaOptions, P2pOptions, FeatureOptions])
def test_a_unit_of_the_step_that_does_not_exist(as_for_users, options):
    with pytest.raises(HashprobeError, match="step must be unit or scaled; got 'rms'"):
        options(step="rms")


def test_loss_against_a_double_loop(random_signs):
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    b = random_signs(5, 8)
    b[2, 3] = 0
    loss = inner_product_loss(z, b, 0.3)
    for i in range(5):
        expected = -sum(b[i, k] * torch.tanh(0.3 * z[i, k]) for k in range(8)) / 8
        assert abs(loss[i] - expected) < 1e-15


def test_loss_with_the_hard_sign_is_the_hamming_distance(random_signs):
    b, h = random_signs(6, 16), random_signs(6, 16, seed=1)
    distance = (b != h).sum(1)
    torch.testing.assert_close(inner_product_loss(h * 1e3, b, 1.0), distance.double() / 8 - 1)


def test_unit_step_has_unit_length_per_sample_and_zero_stays_zero():
    gradient = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    gradient[1] = 0
    gradient[2] *= 1e-30  # squares underflow in float32
    gradient[3] *= 1e30
    move = UnitL2Step(2.5)(gradient, torch.zeros(4, dtype=torch.int64))
    lengths = torch.linalg.vector_norm(move.double(), dim=(1, 2, 3))
    expected = torch.tensor([2.5, 0, 2.5, 2.5], dtype=torch.float64)
    torch.testing.assert_close(lengths, expected, rtol=1e-5, atol=0)
    for row in (0, 2, 3):
        exact = gradient[row].double()
        exact = -2.5 * exact / exact.square().sum().sqrt()
        torch.testing.assert_close(move[row].double(), exact, rtol=1e-5, atol=1e-6)
