"""NAG: one iteration by hand, its transforms, and what its chance depends on."""

import numpy as np
import pytest
import torch

from hashprobe.attacks._nag import DRAW_STREAM, NagOptions, nag, warped
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
        ({"momentum": float("nan")}, "momentum must be 0 or above; got nan"),
    ],
)
def test_options_out_of_range(settings, message):
    with pytest.raises(HashprobeError, match=message):
        NagOptions(**settings)
