"""Photographs, and victims that stand behind remedies."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn

from hashprobe import Victim


def of_size(width, height):
    """Four photographs of this size, uint8."""
    whole = [Image.fromarray(each) for each in load_sample_images().images]
    crops = [one.crop((x, 80, x + 300, 305)) for one in whole for x in (20, 330)]
    pixels = [np.array(crop.resize((width, height), Image.BICUBIC)) for crop in crops]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="session")
def photographs():
    """Four photographs of 64 x 48 pixels, uint8."""
    return of_size(64, 48)


@pytest.fixture(scope="session")
def larger():
    """Four photographs of 128 x 128 pixels, uint8."""
    return of_size(128, 128)


@pytest.fixture(scope="session")
def net():
    """A linear victim of 16 bits on 24 x 24 pixels."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 16))
    return Victim(layers, bits=16, size=24, mean=0.5, std=0.25)
