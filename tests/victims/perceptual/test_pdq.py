"""PDQ against its library and against loops."""

import math

import numpy as np
import pdqhash
import pytest
import torch

from hashprobe import HashprobeError
from hashprobe.victims import pdq_quality
from hashprobe.victims.perceptual._pdq import axis_map, before_box


def naive_box(values):
    """One box filter over a list, by its definition."""
    n = len(values)
    window = math.ceil(n / 128)
    made = []
    for i in range(n):
        first = i - (window - window // 2 - 1)
        inside = [values[j] for j in range(first, first + window) if 0 <= j < n]
        made.append(sum(inside) / len(inside))
    return made


@pytest.mark.parametrize("n", [5, 64, 128, 129, 300, 700])
def test_an_axis_is_two_box_filters_a_choice_and_cosines(n):
    values = np.random.default_rng(n).random(n)
    filtered = naive_box(naive_box(values.tolist()))
    chosen = [filtered[int((i + 0.5) * n / 64)] for i in range(64)]
    wanted = [
        math.sqrt(2 / 64)
        * sum(c * math.cos(math.pi / 128 * k * (2 * j + 1)) for j, c in enumerate(chosen))
        for k in range(1, 17)
    ]
    found = axis_map(n, torch.float64, torch.device("cpu")) @ torch.from_numpy(values)
    assert np.allclose(found.numpy(), wanted, atol=1e-12)


def test_a_box_filter_keeps_sums_of_weights():
    weights = np.random.default_rng(0).random((200, 3))
    assert np.allclose(before_box(weights).sum(axis=0), weights.sum(axis=0))


@pytest.mark.parametrize("size", [(128, 128), (300, 200), (64, 64)])
def test_coefficients_are_those_of_the_library(size, photographs):
    picture = photographs(*size)[:1]
    wanted, _ = pdqhash.compute_float(picture[0].permute(1, 2, 0).contiguous().numpy())
    luma = torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114]), picture[0].float())
    down, across = (axis_map(n, torch.float32, torch.device("cpu")) for n in luma.shape)
    found = (down @ luma @ across.T).flatten().flip(0)
    assert np.allclose(found.numpy(), wanted, atol=0.05, rtol=0)  # of sizes up to 2,000


def test_quality_is_that_of_the_library(photographs):
    pictures = photographs(100, 80)
    flat = torch.full_like(pictures[:1], 90)
    wanted = [pdqhash.compute(each.permute(1, 2, 0).contiguous().numpy())[1] for each in pictures]
    assert pdq_quality(torch.cat([pictures, flat])).tolist() == [*wanted, 0]
    assert max(wanted) > 49


@pytest.mark.parametrize(
    ("pictures", "match"),
    [
        (torch.rand(1, 3, 64, 64), "must be a dense tensor of uint8"),
        (torch.zeros(1, 2, 3, 64, 64, dtype=torch.uint8), r"\(1, 2, 3, 64, 64\)"),
        (torch.zeros(0, 3, 64, 64, dtype=torch.uint8), r"\(0, 3, 64, 64\)"),
        (torch.zeros(1, 3, 64, 2, dtype=torch.uint8), "at least 5x5 pixels; got 64x2"),
    ],
)
def test_quality_refuses_what_are_no_pictures(pictures, match):
    with pytest.raises(HashprobeError, match=match):
        pdq_quality(pictures)
