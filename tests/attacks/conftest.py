"""What the contract tests share: every registered attack, quick, with a goal that fits it."""

import dataclasses

import pytest

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS
from hashprobe.data.queries import Queries


@pytest.fixture
def quick():
    """Builds the default options of an attack, with few steps, or queries to the service."""

    def build(name, steps=7):
        options = ATTACKS[name].options()
        fewer = {n: steps for n in ("steps", "query_budget") if hasattr(options, n)}
        return dataclasses.replace(options, **fewer)

    return build


@pytest.fixture
def goal_of():
    """Builds the goal of an attack; target images are the queries turned upside down."""

    def build(name, queries, codes):
        if ATTACKS[name].goal == "untargeted":
            return Goal.untargeted()
        images = None
        if "target images" in ATTACKS[name].needs:
            # Something else, and the same in every batch.
            images = Queries(queries.pixels.flip(-2), lengths=queries.lengths)
        return Goal.targeted(codes, images=images)

    return build
