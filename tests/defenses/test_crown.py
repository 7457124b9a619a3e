"""CROWN bounds hold for every corner, are exact for linear layers, and tighter than intervals."""

from itertools import product

import pytest
import torch
from torch import nn

from hashprobe import Victim
from hashprobe.defenses import crown
from hashprobe.defenses.crown import crown_bounds
from hashprobe.defenses.intervals import interval_bounds, interval_radius
from hashprobe.errors import HashprobeError


EPS = 0.05


def dense():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 24),
        nn.ReLU(), nn.Dropout(), nn.Linear(24, 6),
    )  # fmt: skip


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 2, stride=2),
        nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 6),
    )  # fmt: skip


def pooled():
    """The lines start anew after the largest of each window, and after tanh."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 16), nn.ReLU(),
        nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 6),
    )  # fmt: skip


def victim_of(net, size=2):
    torch.manual_seed(0)
    made = net()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.2)
            module.weight.data.normal_(0, 1)  # negative ones, too
    return Victim(made, bits=6, size=size, mean=0.4, std=0.3).eval()


def corners(image, eps):
    """All corners of the cube of 12 values, and points within it."""
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=12)))
    within = 2 * torch.rand(2000, 12) - 1
    return (image + eps * torch.cat([signs, within]).view(-1, 3, 2, 2)).clamp(0, 1)


@pytest.mark.parametrize("net", [dense, convolutional, pooled])
def test_no_corner_lies_beyond_the_bounds_and_intervals_are_wider(net):
    victim, images = victim_of(net), torch.rand(4, 3, 2, 2)
    low, high = crown_bounds(victim, images, EPS)
    wide = interval_bounds(victim, images, EPS)
    assert (low >= wide[0]).all() and (high <= wide[1]).all()
    assert (high - low).mean() < 0.8 * (wide[1] - wide[0]).mean()
    with torch.no_grad():
        for row, image in enumerate(images):
            logits = victim(corners(image, EPS))
            assert (logits >= low[row] - 1e-5).all() and (logits <= high[row] + 1e-5).all()
    same = crown_bounds(victim, images, 0.0)
    torch.testing.assert_close(same[0], victim(images).detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(same[0], same[1], atol=1e-5, rtol=1e-4)


def test_bounds_of_linear_layers_are_exact_however_many():
    deep = lambda: nn.Sequential(  # noqa: E731
        nn.Flatten(), nn.Linear(12, 30), nn.Linear(30, 30), nn.BatchNorm1d(30), nn.Linear(30, 6)
    )
    victim, images = victim_of(deep), 0.3 + 0.4 * torch.rand(3, 3, 2, 2)
    low, high = crown_bounds(victim, images, EPS)
    for row, image in enumerate(images):
        logits = victim(corners(image, EPS)).detach()
        torch.testing.assert_close(logits.amin(0), low[row], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logits.amax(0), high[row], atol=1e-5, rtol=1e-4)
    wide = interval_bounds(victim, images, EPS)
    assert (wide[1] - wide[0]).mean() > 1.5 * (high - low).mean()


def test_layers_in_place_change_nothing():
    net = lambda inplace: lambda: nn.Sequential(  # noqa: E731
        nn.Flatten(), nn.Linear(12, 30), nn.ReLU(inplace), nn.Linear(30, 20), nn.ReLU(inplace),
        nn.Linear(20, 6),
    )  # fmt: skip
    images = torch.rand(3, 3, 2, 2)
    kept, changed = (crown_bounds(victim_of(net(way)), images, EPS) for way in (False, True))
    assert torch.equal(kept[0], changed[0]) and torch.equal(kept[1], changed[1])


def test_bounds_are_within_intervals_to_the_last_digit():
    """One linear layer: both are exact, and only rounding could part them."""
    victim = victim_of(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 6)))
    images = torch.rand(50, 3, 2, 2)
    for eps in (0.0, 0.01):
        (low, high), (least, most) = (
            bounds(victim, images, eps) for bounds in (crown_bounds, interval_bounds)
        )
        assert (least <= low).all() and (low <= high).all() and (high <= most).all()


@pytest.mark.parametrize("bounds", [crown_bounds, interval_bounds])
def test_no_images_and_victims_of_another_precision_have_bounds(bounds):
    victim, images = victim_of(convolutional), torch.rand(2, 3, 2, 2)
    assert [tuple(end.shape) for end in bounds(victim, images[:0], EPS)] == [(0, 6)] * 2
    low, _ = bounds(victim, images, EPS)
    exact, _ = bounds(victim.double(), images, EPS)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(low.double(), exact, atol=1e-5, rtol=1e-4)


def test_layers_that_are_too_large_keep_intervals_and_stay_sound(monkeypatch):
    victim, images = victim_of(convolutional), torch.rand(2, 3, 2, 2)
    narrow = crown_bounds(victim, images, EPS)
    monkeypatch.setattr(crown, "NEURONS", 0)
    low, high = crown_bounds(victim, images, EPS)
    wide = interval_bounds(victim, images, EPS)
    assert (low >= wide[0]).all() and (high <= wide[1]).all()
    assert (narrow[1] - narrow[0]).mean() < (high - low).mean() < (wide[1] - wide[0]).mean()
    logits = victim(corners(images[0], EPS)).detach()
    assert (logits >= low[0] - 1e-5).all() and (logits <= high[0] + 1e-5).all()


def test_radii_by_lines_are_at_least_those_by_intervals():
    victim, images, steps = victim_of(dense), torch.rand(6, 3, 2, 2), (0.005, 0.01, 0.02, 0.05)
    (signs, plain), (same, more) = (
        interval_radius(victim, images, steps, crown=crown) for crown in (False, True)
    )
    assert (signs == same).all() and (more >= plain).all() and (more > plain).any()
    assert (victim.codes(images).signs() == signs).all()


def test_what_does_not_fit_is_one_line():
    victim = victim_of(dense)
    with pytest.raises(HashprobeError, match="eps must be from 0 to 1"):
        crown_bounds(victim, torch.rand(1, 3, 2, 2), 2.0)
    with pytest.raises(HashprobeError, match="takes 2x2 pixels; got 3x3"):
        crown_bounds(victim, torch.rand(1, 3, 3, 3), 0.1)


class Residual(nn.Sequential):
    """A sequence that is more than its layers."""

    def forward(self, x):
        return x + super().forward(x)


class Falling(nn.ReLU):
    def forward(self, x):
        return -super().forward(x)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.SiLU(), "a layer SiLU"),
        (Residual(nn.Linear(6, 6)), "a layer Residual"),
        (Falling(), "a layer Falling"),
        (nn.LeakyReLU(-0.5), "a layer LeakyReLU with a slope below 0"),
        (nn.BatchNorm1d(6, track_running_stats=False), "BatchNorm1d without running statistics"),
    ],
)
def test_layers_whose_bounds_would_not_hold_are_refused(layer, said):
    strange = Victim(nn.Sequential(nn.Flatten(), nn.Linear(12, 6), layer), bits=6, size=2)
    for bounds in (crown_bounds, interval_bounds):
        with pytest.raises(HashprobeError, match=said):
            bounds(strange, torch.rand(2, 3, 2, 2), 0.1)
