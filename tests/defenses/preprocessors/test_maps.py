"""Each preprocessor against Pillow, SciPy or the formula that it stands for."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter

from hashprobe.defenses import BitDepth, Blur, Jpeg, Median, RandomResize, Resize, Smoothing
from hashprobe.defenses.preprocessors import _random_resize
from hashprobe.defenses.preprocessors.jpeg_blocks import kept_by_jpeg


def test_jpeg_is_that_of_pillow(photographs):
    made = Jpeg(60).apply(photographs.float() / 255)
    for pixels, found in zip(photographs, made, strict=True):
        file = BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=60)
        wanted = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
        assert torch.equal((255 * found).round().to(torch.uint8), wanted)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_what_jpeg_keeps_is_near_to_what_it_makes(quality, photographs):
    pixels = photographs.float() / 255
    made = Jpeg(quality).apply(pixels)
    near, far = ((made - each).abs().mean() for each in (kept_by_jpeg(pixels, quality), pixels))
    assert near < far


def test_the_gradient_of_jpeg_has_no_frequencies_that_jpeg_drops():
    grey = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    fine = torch.tensor([1.0, -1.0]).repeat(8).expand(16, 16)
    coarse = torch.tensor([1.0] * 8 + [-1.0] * 8).expand(16, 16)
    through = [
        torch.autograd.grad((Jpeg(75).differentiable(grey) * wave).sum(), grey)[0].norm().item()
        for wave in (fine, coarse)
    ]
    assert through[0] < 0.5 * through[1]  # the identity: the same


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_a_blur_is_that_of_scipy(sigma, photographs):
    pixels = photographs.double() / 255
    reach = int(np.ceil(3 * sigma))
    wanted = gaussian_filter(
        pixels.numpy(), (0, 0, sigma, sigma), mode="nearest", radius=(0, 0, reach, reach)
    )
    assert np.allclose(Blur(sigma).differentiable(pixels).numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_few_levels_are_the_nearest_ones(bits, photographs):
    made = (255 * BitDepth(bits).apply(photographs.float() / 255)).round().long()
    levels = (torch.arange(2**bits) * 255 / (2**bits - 1)).round().long()
    assert set(made.unique().tolist()) <= set(levels.tolist())
    nearest = (photographs.long()[..., None] - levels).abs().amin(-1)
    assert ((made - photographs.long()).abs() - nearest).abs().max() <= 1  # of rounding
    assert torch.equal(BitDepth(bits).apply(made / 255), (made / 255).float())


@pytest.mark.parametrize("size", [3, 5])
def test_a_median_is_that_of_scipy(size, photographs):
    made = Median(size).apply(photographs.float() / 255)
    wanted = median_filter(photographs.numpy(), (1, 1, size, size), mode="nearest")
    assert np.array_equal((255 * made).round().numpy(), wanted)


def test_the_gradient_of_a_median_goes_to_the_pixel_that_it_is():
    pixels = torch.arange(25.0).view(1, 1, 5, 5).repeat(1, 3, 1, 1).div(255).requires_grad_()
    made = Median().differentiable(pixels)
    assert torch.allclose(255 * made[0, 0, 1:4, 1:4], 255 * pixels[0, 0, 1:4, 1:4])
    (gradient,) = torch.autograd.grad(made[0, 0, 2, 2], pixels)
    assert gradient.nonzero().tolist() == [[0, 0, 2, 2]]


def test_a_resize_is_near_to_that_of_pillow(photographs):
    made = Resize(0.5).apply(photographs.float() / 255)
    for pixels, found in zip(photographs, made, strict=True):
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        small = image.resize((32, 24), Image.BILINEAR).resize((64, 48), Image.BILINEAR)
        apart = (255 * found).permute(1, 2, 0).numpy() - np.asarray(small)
        assert np.abs(apart).max() <= 2


def test_random_sizes_lie_in_their_range(monkeypatch, photographs):
    shares = []

    def note(pixels, share):
        shares.append(share)
        return pixels

    monkeypatch.setattr(_random_resize, "there_and_back", note)
    remedy = RandomResize(0.6, 0.8)
    for copy in range(20):
        remedy.apply(photographs.float() / 255, copy)
    assert 0.6 <= min(shares) < 0.63 and 0.77 < max(shares) <= 0.8
    assert len(set(shares)) == 20 * len(photographs)


def test_noise_has_the_size_that_is_asked_for():
    grey = torch.full((2, 3, 64, 64), 0.5)
    remedy = Smoothing(sigma=0.05)
    noise = remedy.apply(grey) - grey
    assert 0.049 < noise.std() < 0.051 and noise.mean().abs() < 0.002
    first, second = (remedy.differentiable(grey, draw) - grey for draw in (0, 1))
    assert torch.allclose(first, -second, atol=1e-6)
