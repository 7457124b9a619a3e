import math

import pytest
import torch

from hashprobe.training.options import TrainOptions
from hashprobe.training.schedule import build_optimiser, rate


def rates(epochs, points, **options):
    options = {"schedule": "constant"} | options
    return [rate(TrainOptions(epochs=epochs, **options), point) for point in points]


def test_constant():
    assert rates(10, [0, 3.7, 10]) == [1, 1, 1]


def test_step_is_a_tenth_after_each_third():
    points = [0, 9.99, 10, 19.99, 20, 29.99, 30]
    assert rates(30, points, schedule="step") == [1, 1, 0.1, 0.1, 0.01, 0.01, 0.01]


@pytest.mark.parametrize("epochs", [3, 7, 100])
def test_step_falls_at_the_thirds_of_any_length(epochs):
    thirds = [i * epochs / 3 for i in range(3)]
    assert rates(epochs, thirds, schedule="step") == [1, 0.1, 0.01]


def test_cosine_ends_at_nought():
    seen = rates(8, [0, 2, 4, 6, 8], schedule="cosine")
    expected = [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]
    assert seen == pytest.approx(expected, abs=1e-12)


def test_warm_up_rises_linearly_and_the_schedule_starts_after_it():
    seen = rates(10, [0, 0.5, 1, 1.5], warmup=2)
    assert seen == pytest.approx([0, 0.25, 0.5, 0.75], abs=1e-3)
    assert seen[0] > 0
    assert rates(10, [2, 6, 10], warmup=2, schedule="cosine") == pytest.approx([1, 0.5, 0])
    assert rates(8, [2, 3.9, 4.1, 6.1], warmup=2, schedule="step") == [1, 1, 0.1, 0.01]


@pytest.mark.parametrize("epochs", [1, 10, 100])
def test_one_cycle_is_that_of_pytorch(epochs):
    """OneCycleLR over 1,000 steps: up in 30 % of them, then down to nearly nothing."""
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(sgd, 1.0, total_steps=1001, pct_start=0.3)
    theirs = []
    for _ in range(1001):
        theirs.append(sgd.param_groups[0]["lr"])
        sgd.step()
        if len(theirs) < 1001:
            cycle.step()
    ours = rates(epochs, [i * epochs / 1000 for i in range(1001)], schedule="one-cycle")
    assert ours == pytest.approx(theirs, abs=0.01)
    assert (max(ours), ours[-1]) == (pytest.approx(1), pytest.approx(0, abs=1e-9))


@pytest.mark.parametrize("warmup", [1e-4, 0.3, 5, 50])
def test_no_schedule_exceeds_one_or_falls_below_nought(warmup):
    for schedule in ("constant", "step", "cosine", "one-cycle"):
        points = [i / 20 for i in range(101)]
        assert all(0 <= r <= 1 for r in rates(5, points, warmup=warmup, schedule=schedule))


def test_the_hash_layer_and_the_backbone_have_rates_of_their_own(small):
    hasher = small()
    optimiser = build_optimiser(hasher, TrainOptions(lr=0.2, backbone_lr=0.1))
    body, head = optimiser.param_groups
    assert (body["lr"], head["lr"]) == (pytest.approx(0.02), 0.2)
    head_of_network = {id(p) for p in hasher.network.head.parameters()}
    assert {id(p) for p in head["params"]} == head_of_network
    both = {id(p) for p in [*body["params"], *head["params"]]}
    assert both == {id(p) for p in hasher.parameters()}


def test_sgd_and_adamw_take_their_options(tiny):
    sgd = build_optimiser(tiny(), TrainOptions(optimiser="sgd", momentum=0.7, weight_decay=0.3))
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[1]["weight_decay"]) == (0.7, 0.3)
    adamw = build_optimiser(tiny(), TrainOptions(optimiser="adamw", weight_decay=0.3))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["weight_decay"] == 0.3
