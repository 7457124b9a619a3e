"""NAG: one iteration by hand, its transforms, and what its chance depends on."""

import numpy as np
import pytest
import torch

from hashprobe.attacks._nag import DRAW_STREAM, NEAR_STREAM, NagOptions, nag, warped
from hashprobe.data.queries import seed_of
from hashprobe.errors import HashprobeError

from .test_fidelity import EPS, INPUTS, SIDE, Case, projected


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_nag_takes_sign_steps_on_both_l1_losses(weight):
    """l1(tanh f(x), b) + lambda l1(tanh f(x + n), b), n uniform of the size of the budget."""
    case, delta, iterations = Case(), np.zeros(INPUTS), 3
    for done in range(iterations):
        x = case.x + delta
        draw = np.random.default_rng(seed_of(4, 0, DRAW_STREAM + done))
        noise = EPS * draw.uniform(-1, 1, (3, SIDE, SIDE)).reshape(-1)
        g = np.zeros(INPUTS)
        for seen, part in ((x, 1.0), (x + noise, weight)):
            inside = (seen >= 0) & (seen <= 1)  # the noisy picture is clamped
            shown = np.clip(seen, 0, 1)
            u = np.tanh(case.logits(shown))
            by_logits = np.sign(u - case.b) * (1 - u**2)
            g += part * inside * case.to_pixels(shown, case.w.T @ by_logits)
        delta = projected(case, delta - EPS / iterations * np.sign(g), "pixel")
    ours = case.attacked(nag, NagOptions(steps=6, weight=weight), seed=4)
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-14)
    assert (NagOptions().steps, NagOptions().weight, NagOptions().n_t) == (64, 1.0, 1)


def gradient_of_both(case, x, noise):
    """By x of l1(tanh f(x), b) + l1(tanh f(x + n), b)."""
    total = np.zeros(INPUTS)
    for seen in (x, x + noise):
        inside = (seen >= 0) & (seen <= 1)
        shown = np.clip(seen, 0, 1)
        u = np.tanh(case.logits(shown))
        total += inside * case.to_pixels(shown, case.w.T @ (np.sign(u - case.b) * (1 - u**2)))
    return total


def test_variance_tunes_each_step_by_gradients_nearby():
    """v = mean of the gradients at neighbours less that at the iterate; the step follows g + v."""
    case, iterations = Case(), 3
    delta, kept, v = np.zeros(INPUTS), np.zeros(INPUTS), np.zeros(INPUTS)
    for done in range(iterations):
        draw = np.random.default_rng(seed_of(4, 0, DRAW_STREAM + done))
        noise = EPS * draw.uniform(-1, 1, (3, SIDE, SIDE)).reshape(-1)
        g = gradient_of_both(case, case.x + delta, noise)
        step = g + v
        kept = kept + step / np.abs(step).mean()
        around = np.random.default_rng(seed_of(4, 0, NEAR_STREAM + done))
        near = []
        for _ in range(2):
            r = 0.7 * EPS * around.uniform(-1, 1, (3, SIDE, SIDE)).reshape(-1)
            near.append(gradient_of_both(case, np.clip(case.x + delta + r, 0, 1), noise))
        v = np.mean(near, axis=0) - g
        delta = projected(case, delta - EPS / iterations * np.sign(kept), "pixel")
    options = NagOptions(steps=18, variance=2, nearness=0.7, momentum=1.0)
    ours = case.attacked(nag, options, seed=4)
    np.testing.assert_allclose(ours, case.x + delta, rtol=0, atol=1e-14)
    plain = case.attacked(nag, NagOptions(steps=6, momentum=1.0), seed=4)
    assert np.abs(ours - plain).max() > EPS / 10


@pytest.mark.parametrize("transform", ["noise", "resize", "rotate"])
def test_transforms_depend_on_the_seed_alone(transform):
    case = Case()
    options = NagOptions(steps=4, transform=transform)
    runs = [case.attacked(nag, options, seed=seed) for seed in (1, 1, 2)]
    assert (runs[0] == runs[1]).all() and (runs[0] != runs[2]).any()


def test_a_warp_moves_pixels_where_they_belong():
    image = torch.zeros(3, 8, 8)
    image[:, 2, 5] = 1
    torch.testing.assert_close(warped(image, [[1.0, 0, 0], [0, 1.0, 0]]), image)
    turned = warped(image, [[0.0, -1.0, 0], [1.0, 0.0, 0]])  # by a right angle
    assert turned.sum() == pytest.approx(3) and turned[0].argmax() != image[0].argmax()
    clip = torch.stack([image, image.flip(-1)])
    both = warped(clip, [[0.0, -1.0, 0], [1.0, 0.0, 0]])
    torch.testing.assert_close(both[0], turned)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 1}, "steps must be at least 2; got 1"),
        ({"weight": -1.0}, "weight must be 0 or above; got -1.0"),
        ({"variance": -1}, "variance must be at least 0; got -1"),
        ({"variance": 20, "steps": 41}, "steps must be at least 42; got 41"),
        ({"variance": 2, "nearness": 0.0}, "nearness must be above 0; got 0"),
        ({"momentum": float("nan")}, "momentum must be 0 or above; got nan"),
    ],
)
def test_options_out_of_range(settings, message):
    with pytest.raises(HashprobeError, match=message):
        NagOptions(**settings)
