"""Victims with five queries and a goal: images (`work`) and clips (`clip_work`)."""

import numpy as np
import pytest
import torch

from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries

from ..golden.victims import IDS
from .work import Work


@pytest.fixture
def work(conv):
    """A victim, five clean images and where to steer them."""
    rng = np.random.default_rng(0)
    images8 = torch.from_numpy(rng.integers(0, 256, (5, 3, 8, 6), dtype=np.uint8))
    images8[0, :, 0] = 0
    images8[1, :, 1] = 255
    codes = rng.choice(np.array([-1, 1], np.int8), (5, 16))
    codes[2, 3] = 0
    goal = Goal.targeted(codes, labels=np.eye(5, 4, dtype=bool), members=np.zeros((5, 1), np.int64))
    return Work(conv(dtype=torch.float32), Queries(images8, (31, 4, 7, 100, 12)), goal)


@pytest.fixture
def clip_work(clip_hasher, clips8, lengths):
    """The same with clips."""
    rng = np.random.default_rng(1)
    codes = rng.choice(np.array([-1, 1], np.int8), (5, 16))
    goal = Goal.targeted(codes, labels=np.eye(5, 4, dtype=bool))
    return Work(clip_hasher(), Queries(clips8, tuple(IDS), lengths), goal)
