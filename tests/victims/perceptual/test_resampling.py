"""Grey pictures and resizes are those of Pillow, pixel by pixel."""

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.victims.perceptual import resampling
from hashprobe.victims.perceptual.resampling import lanczos, rounded, rows_come_first, shrunk_grey


@pytest.mark.parametrize("size", [(90, 60), (60, 60), (33, 47), (20, 130), (31, 8), (7, 5), (9, 8)])
@pytest.mark.parametrize("wanted", [(32, 32), (9, 8)])
def test_small_grey_pictures_are_those_of_pillow(size, wanted):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    grey = Image.fromarray(noise).convert("L").resize(wanted, Image.LANCZOS)
    pixels = torch.from_numpy(noise).permute(2, 0, 1)[None].double() / 255
    found = shrunk_grey(pixels, wanted[1], wanted[0])
    assert np.array_equal(found[0].numpy(), np.asarray(grey))


def test_older_versions_of_pillow_resize_along_the_width_first(monkeypatch):
    monkeypatch.setattr(resampling.PIL, "__version__", "13.0.0")
    assert rows_come_first(17, 8) and not rows_come_first(16, 8)
    assert rows_come_first(1, -20) and not rows_come_first(-1, -20)
    monkeypatch.setattr(resampling.PIL, "__version__", "12.2.0")
    assert not rows_come_first(17, 8)


def test_gradients_are_those_of_the_maps_without_rounding():
    pixels = torch.rand(1, 3, 13, 11, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(4, 5, dtype=torch.float64)
    (found,) = torch.autograd.grad((shrunk_grey(pixels, 4, 5) * weights).sum(), pixels)
    luma = torch.tensor(resampling.GREY, dtype=torch.float64) * 255 / 65536
    down, across = (torch.from_numpy(lanczos(*pair)) for pair in ((13, 4), (11, 5)))
    assert torch.allclose(found[0], luma[:, None, None] * (down.T @ weights @ across))


def test_rounding_takes_halves_up_and_cuts():
    levels = torch.tensor([-3.0, 0.5, 1.49, 254.5, 290.0])
    assert rounded(levels).tolist() == [0, 1, 1, 255, 255]
