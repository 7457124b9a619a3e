"""Real photographs of any size."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture(scope="session")
def photographs():
    """A function: (width, height) to 8-bit crops of two photographs at this size."""
    whole = [Image.fromarray(each) for each in load_sample_images().images]
    corners = ((0, 0), (300, 60), (120, 100))

    def of_size(width, height):
        crops = [one.crop((x, y, x + 300, y + 300)) for one in whole for x, y in corners]
        resized = [np.array(crop.resize((width, height), Image.BICUBIC)) for crop in crops]
        return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)

    return of_size
