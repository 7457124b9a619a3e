"""DHTA's descent as the tests of the loop use it."""

import pytest
import torch

from hashprobe.attacks._dhta import inner_product_loss
from hashprobe.data.queries import Queries
from hashprobe.optim.attempts import solve
from hashprobe.optim.rule import UpdateRule
from hashprobe.optim.steps import SignStep, UnitL2Step
from hashprobe.types import Runtime


@pytest.fixture
def downhill():
    """Takes images to codes by unit-l2 steps on the inner product loss."""

    def run(victim, images, targets, *, budget, steps=3, size=1.0, alpha=0.1, runtime=Runtime()):
        rule = UpdateRule(
            objective=lambda z, b, step: inner_product_loss(z, b, alpha),
            step=UnitL2Step(size),
            steps=steps,
        )
        return solve(victim, Queries(images), targets, rule, budget=budget, runtime=runtime)

    return run


@pytest.fixture
def sign_rule():
    """Builds small sign steps on the hinge of each bit, in grey levels."""

    def build(steps, **more):
        return UpdateRule(
            lambda z, b, _: (1 - b * z / z.abs().mean(1, keepdim=True)).relu().sum(1),
            SignStep(lambda done: torch.full_like(done, 0.005)),
            steps=steps,
            **{"eight_bit": True, **more},
        )

    return build


@pytest.fixture
def changed_frames():
    """Which frames of clips are not what they were."""
    return lambda moved, clean: (moved != clean).flatten(2).any(2)


@pytest.fixture
def assert_alike():
    """Refuses frames that are not changed alike, but for what black and white cut off."""

    def check(moved, clean, slack=1e-6):
        change = moved - clean
        common = change.gather(0, change.abs().argmax(0, keepdim=True))
        assert torch.allclose((clean + common).clamp(0, 1), moved, rtol=0, atol=slack)

    return check
