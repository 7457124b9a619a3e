"""What the contract tests share: every registered attack, quick, with a goal that fits it."""

import dataclasses

import pytest

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS
from hashprobe.data.queries import Queries


@pytest.fixture
def quick():
    """Builds the default options of an attack, with few steps where it has steps."""

    def build(name, steps=7):
        options = ATTACKS[name].options()
        if "steps" in {field.name for field in dataclasses.fields(options)}:
            options = dataclasses.replace(options, steps=steps)
        return options

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
