"""Small picture trees and the arrays behind them, shared by the tests of the data."""

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.data import ArraySource, Split


@pytest.fixture
def picture():
    """Builds seeded (h, w, 3) pixels in 0..255."""

    def build(seed=0, height=8, width=8):
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return build


@pytest.fixture
def write_tree(tmp_path, picture):
    """Writes root/<class>/NNNN.png with pictures that are all different, and gives the root."""

    def write(counts, root=tmp_path / "tree", seed=0, suffix=".png"):
        for number, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = picture(seed + 10_000 * number + i)
                Image.fromarray(pixels).save(root / name / f"{i:04d}{suffix}")
        return root

    return write


@pytest.fixture
def make_split():
    """Builds a split in memory; item i shows contents[i] in every pixel."""

    def build(contents, labels, prefix=""):
        pixels = torch.tensor(contents, dtype=torch.uint8)[:, None, None, None]
        pixels = pixels.expand(-1, 3, 4, 4).contiguous()
        ids = tuple(f"{prefix}{i}" for i in range(len(contents)))
        return Split(ids, ArraySource(pixels), np.asarray(labels, dtype=bool))

    return build
