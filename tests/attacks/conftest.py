"""What the contract tests share: every registered attack, quick, with a goal that fits it."""

import dataclasses

import numpy as np
import pytest
import torch

from hashprobe.attacks.generator import Generator
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS
from hashprobe.codes.labelled import Codes
from hashprobe.data.queries import Queries


@pytest.fixture
def quick():
    """Builds the default options of an attack, with few steps, or queries to the service."""

    def build(name, steps=7):
        options = ATTACKS[name].options()
        fewer = {n: steps for n in ("steps", "query_budget", "updates") if hasattr(options, n)}
        return dataclasses.replace(options, **fewer)

    return build


def database(bits):
    """Forty codes of four labels, for attacks that know one."""
    rng = np.random.default_rng(3)
    return Codes.of(rng.integers(0, 2, (40, bits)), np.arange(40) % 4)


def labels_like(codes):
    """Labels that depend on nothing but each query's own target code."""
    return np.eye(4, dtype=bool)[(np.asarray(codes) > 0).sum(1) % 4]


def generator():
    """One of four labels that was not trained."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Generator(4, 8)


@pytest.fixture
def goal_of():
    """Builds the goal of an attack; target images are the queries turned upside down."""

    def build(name, queries, codes):
        known = labels = None
        if "database" in ATTACKS[name].needs:
            known, labels = database(codes.shape[1]), labels_like(codes)
        if ATTACKS[name].goal == "untargeted":
            return Goal.untargeted(labels, known)
        images = None
        if "target images" in ATTACKS[name].needs:
            # Something else, and the same in every batch.
            images = Queries(queries.pixels.flip(-2), lengths=queries.lengths)
        made = None
        if "generator" in ATTACKS[name].needs:
            made, labels = generator(), labels_like(codes)
        return Goal.targeted(codes, labels=labels, images=images, known=known, generator=made)

    return build
