import pytest
import torch

from hashprobe.attacks._feature import FeatureOptions, feature
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import solve
from hashprobe.optim.gradients import outputs_of
from hashprobe.optim.rule import UpdateRule
from hashprobe.optim.steps import SignStep
from hashprobe.types import Budget, InputContract, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.clip import FramewiseHasher
from hashprobe.victims.passes import PassCounter


GREY = torch.full((1, 3, 4, 4), 0.5)


def test_no_weight_gradient_is_computed(linear, random_signs, downhill):
    class Spy(linear):
        def forward(self, images):
            assert not self.weight.requires_grad and not self.training
            assert images.requires_grad
            return super().forward(images)

    victim = Spy(torch.ones(8, 48)).train()
    downhill(victim, GREY, random_signs(1, 8, dtype=torch.float32), budget=Budget(0.1))
    assert victim.weight.requires_grad and victim.training and victim.weight.grad is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite(bad, linear, random_signs, downhill):
    weight = torch.ones(8, 48)
    weight[3, 5] = bad
    targets = random_signs(1, 8, dtype=torch.float32)
    with pytest.raises(HashprobeError, match="logits became infinite or NaN at step 1: check"):
        downhill(linear(weight), GREY, targets, budget=Budget(0.1))


def test_gradient_that_is_not_finite(random_signs, downhill):
    class Root(Hasher):
        def forward(self, images):
            return (images.flatten(1)[:, :8] - 0.5).abs().sqrt()

    victim, targets = Root(8, InputContract(size=4)), random_signs(1, 8, dtype=torch.float32)
    with pytest.raises(HashprobeError, match="gradient became infinite or NaN at step 1"):
        downhill(victim, GREY, targets, budget=Budget(0.1))


def test_a_sum_of_finite_values_may_overflow(linear, random_signs, downhill):
    """One number is looked at first; only single values that are not finite are refused."""
    victim = linear(torch.full((8, 48), 1e37))
    with torch.no_grad():
        assert victim(GREY).isfinite().all() and not victim(GREY).sum().isfinite()
    targets = random_signs(1, 8, dtype=torch.float32)
    moved = downhill(victim, GREY, targets, budget=Budget(0.1), steps=1, alpha=1e-38)
    assert moved.isfinite().all()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_an_objective_is_handed_whole_numbers_by_a_victim_of_half_precision(half, linear):
    """Some attacks hand over the number of a query; 4,097 is 4,096 in both types."""
    seen = []

    class Half(linear):
        def forward(self, images):
            return super().forward(images).to(half)

    def objective(z, given, step):
        seen.append((z.dtype, int(given)))
        return z.sum(1)

    rule = UpdateRule(objective, SignStep.steady(1 / 255), steps=1, compared="anything")
    solve(
        Half(torch.ones(8, 48)), Queries(GREY), torch.tensor([[4097.0]]), rule, budget=Budget(0.1)
    )
    assert seen == [(torch.float32, 4097)]


def test_a_victim_without_gradient_or_with_other_bits(linear, random_signs, downhill):
    class Stuck(linear):
        def forward(self, images):
            return super().forward(images.detach())

    class Short(linear):
        def forward(self, images):
            return super().forward(images)[:, :5]

    targets = random_signs(1, 8, dtype=torch.float32)
    with pytest.raises(HashprobeError, match="carry no gradient to the pixels"):
        downhill(Stuck(torch.ones(8, 48)), GREY, targets, budget=Budget(0.1))
    with pytest.raises(HashprobeError, match=r"shape \(1, 5\) for 1 images; wanted are 8 each"):
        downhill(Short(torch.ones(8, 48)), GREY, targets, budget=Budget(0.1))


@pytest.mark.parametrize("rule", [{}, {"frames": 2}])
def test_features_before_the_hash_layer_take_one_among_all_frames(rule, clips8, lengths):
    class PerFrame(FramewiseHasher):
        def __init__(self):
            super().__init__(16, InputContract(size=8, frames=6))
            self.hash = torch.nn.Linear(192, 16)

        def features(self, frames):
            return self.hash(frames.flatten(1))

        def code(self, features, lengths):
            return features.sum(1)

    clips = clips8.float() / 255
    goal = Goal.targeted(torch.ones(5, 16), images=Queries(clips.flip(-1), lengths=lengths))
    with pytest.raises(HashprobeError, match="one row a query; it was given"):
        feature(
            PerFrame(),
            Queries(clips, lengths=lengths),
            goal,
            budget=Budget(64 / 255, **rule),
            options=FeatureOptions(steps=2),
        )


@pytest.mark.parametrize("batch_size", [None, 1, 2, 5])
def test_outputs_in_any_batch_are_those_of_one_pass_counted_once(batch_size, conv, random_images):
    victim, queries = conv(dtype=torch.float32), Queries(random_images(5, dtype=torch.float32))
    seen = []
    victim.hash.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    counter, runtime = PassCounter(5), Runtime(batch_size=batch_size)
    with counter.counting(victim):
        logits = outputs_of(victim, queries, runtime)
        features = outputs_of(victim, queries, runtime, "features")
    assert counter.forwards.tolist() == [2] * 5 and counter.backwards.tolist() == [0] * 5
    seen.clear()
    with torch.no_grad():
        torch.testing.assert_close(logits, victim(queries.pixels))
    torch.testing.assert_close(features, seen[0])
    assert not logits.requires_grad and not features.requires_grad


def test_outputs_are_computed_in_the_victims_own_precision(conv, random_images):
    victim, queries = conv(dtype=torch.float32), Queries(random_images(3, dtype=torch.float32))
    exact = outputs_of(victim, queries, Runtime())
    assert torch.equal(outputs_of(victim, queries, Runtime(precision="bfloat16")), exact)


def test_a_pass_is_counted_for_the_queries_that_are_in_it(conv, random_images):
    victim, counter, states = conv(), PassCounter(5), []

    def after(module, given, logits):
        states.append(counter.forwards.tolist())

    with counter.counting(victim):
        victim.register_forward_hook(after)
        outputs_of(victim, Queries(random_images(5)), Runtime(batch_size=2))
    assert states == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
