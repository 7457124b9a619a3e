"""What holds for every preprocessor: size, levels, determinism, gradients, errors."""

import pytest
import torch

from hashprobe import HashprobeError
from hashprobe.defenses import PREPROCESSORS, Median, RandomResize, preprocessor_named
from hashprobe.defenses.preprocessors.base import chances


NAMES = list(PREPROCESSORS)


@pytest.fixture
def pixels(photographs):
    return photographs.float() / 255


@pytest.mark.parametrize("name", NAMES)
def test_what_is_judged_has_the_same_size_and_whole_levels(name, pixels):
    before = pixels.clone()
    made = preprocessor_named(name).apply(pixels)
    assert (made.shape, made.dtype) == (pixels.shape, pixels.dtype)
    assert torch.equal(pixels, before)
    assert torch.allclose(255 * made, (255 * made).round(), atol=1e-4)
    assert not torch.equal(made, pixels)
    assert made.min() >= 0 and made.max() <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("map_name", ["apply", "differentiable"])
def test_a_picture_is_changed_alike_each_time_alone_and_in_a_batch(name, map_name, pixels):
    change = getattr(preprocessor_named(name), map_name)
    together = change(pixels)
    assert torch.equal(together, change(pixels))
    alone = torch.cat([change(pixels[row : row + 1]) for row in range(len(pixels))])
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("name", ["jpeg", "resize", "blur", "median"])
def test_an_attacker_sees_what_is_judged_where_nothing_is_random(name, pixels):
    remedy = preprocessor_named(name)
    apart = (remedy.apply(pixels) - remedy.differentiable(pixels)).abs()
    assert apart.max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize("name", ["random-resize", "smoothing"])
def test_an_attacker_does_not_see_the_draws_of_the_operator(name, pixels):
    remedy = preprocessor_named(name)
    versions = [remedy.apply(pixels), *(remedy.differentiable(pixels, d) for d in range(3))]
    versions += [preprocessor_named(name, seed=1).apply(pixels)]
    for i, one in enumerate(versions):
        assert all((one - other).abs().max() > 1 / 255 for other in versions[:i])


def test_other_pixels_meet_other_draws(pixels):
    other = pixels.clone()
    other[:, 0, 0, 0] = (other[:, 0, 0, 0] + 1 / 255) % 1
    first, second = (
        [torch.rand((), generator=chance).item() for chance in chances(each, 0, 1)]
        for each in (pixels, other)
    )
    assert len({*first, *second}) == 2 * len(pixels)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_go_where_the_pixels_come_from(name, pixels):
    leaf = pixels[:1].clone().requires_grad_()
    made = preprocessor_named(name).differentiable(leaf)
    (gradient,) = torch.autograd.grad(made[:, :, 20:28, 20:28].sum(), leaf)
    assert gradient.isfinite().all()
    assert gradient[:, :, 16:32, 16:32].sum() > 0.6 * gradient.abs().sum() > 0
    assert gradient[:, :, :4].abs().max() < 0.05 * gradient.abs().max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (17, 3)])
def test_the_smallest_pictures_pass(name, size):
    pixels = torch.rand(2, 3, *size, dtype=torch.float64)
    remedy = preprocessor_named(name)
    for made in (remedy.apply(pixels), remedy.differentiable(pixels)):
        assert (made.shape, made.dtype) == (pixels.shape, torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_titles_and_records_say_which_it_is(name):
    remedy = preprocessor_named(name)
    assert remedy.to_json()["name"] == name
    assert remedy.title
    assert preprocessor_named(**remedy.to_json()) == remedy


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: preprocessor_named("png"), "unknown preprocessor 'png': choose from jpeg, "),
        (lambda: preprocessor_named("comdefend"), "comdefend is trained first: .*fit_comdefend"),
        (lambda: preprocessor_named("jpeg", level=3), "jpeg has no option 'level': .* quality"),
        (lambda: preprocessor_named("jpeg", quality=0), "jpeg: quality must be 1 to 100; got 0"),
        (lambda: preprocessor_named("jpeg", quality="low"), "quality must be a whole number"),
        (lambda: preprocessor_named("resize", share=float("nan")), "share must be .*; got nan"),
        (lambda: preprocessor_named("blur", sigma=99), "sigma must be 0.1 to 20; got 99"),
        (lambda: Median(4), "size must be odd; got 4"),
        (lambda: RandomResize(0.9, 0.5), "high must be at least low; got 0.5"),
        (lambda: RandomResize(seed=-1), "seed must be a whole number"),
        (lambda: preprocessor_named("smoothing", votes=4), "votes must be odd; got 4"),
        (
            lambda: preprocessor_named("smoothing", attack_draws=0),
            "attack_draws must be at least 1",
        ),
    ],
)
def test_wrong_names_and_options_are_one_line(call, match):
    with pytest.raises(HashprobeError, match=match):
        call()
