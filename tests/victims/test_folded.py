"""Folding changes rounding alone, and what it would change is left as it is."""

import pytest
import torch
from torch import nn

from hashprobe.data.queries import Queries
from hashprobe.optim.attempts import solve
from hashprobe.optim.rule import UpdateRule
from hashprobe.optim.steps import SignStep
from hashprobe.types import Budget, InputContract
from hashprobe.victims.base import Hasher
from hashprobe.victims.folded import folded
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.passes import PassCounter


def norms(network):
    return sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in network.modules())


def used(hasher):
    """A hasher whose normalisations have seen something."""
    for module in hasher.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return hasher.eval()


class Net(Hasher):
    """Convolutions and normalisations in an order that the forward pass decides."""

    def __init__(self, order):
        super().__init__(8, InputContract(size=8))
        self.one, self.two = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
        self.norm, self.head, self.order = nn.BatchNorm2d(6), nn.Linear(96, 8), order

    def forward(self, images):
        x = self.one(images)
        if self.order == "after":
            x = self.two(self.norm(x))
        if self.order == "twice":
            x = self.two(self.norm(x) + self.norm(-x))
        if self.order == "beside":
            x = self.two(self.norm(x) + x)
        if self.order == "behind a relu":
            x = self.two(self.norm(x.relu()))
        if self.order == "by its weight":
            x = self.two(self.norm(x) * self.norm.weight.sum())
        return self.head(x.flatten(1))


@pytest.mark.parametrize("name", ["small", "shufflenet_v2_x0_5"])
def test_logits_and_gradients_stay_the_same(name):
    torch.manual_seed(0)
    victim, images = used(ImageHasher(name, 12, size=32)), torch.rand(3, 3, 32, 32)
    before = {key: value.clone() for key, value in victim.state_dict().items()}
    fast = folded(victim, images[:1])
    assert fast is not victim and norms(fast) == 0 < norms(victim)
    passes = []
    for one in (victim, fast):
        given = images.clone().requires_grad_()
        logits = one(given)
        passes.append((logits, *torch.autograd.grad(logits.sum(), given)))
    for slow, quick in zip(*passes, strict=True):
        assert (slow - quick).abs().max() < 1e-4 * slow.abs().max()
    assert all(torch.equal(before[key], value) for key, value in victim.state_dict().items())


@pytest.mark.parametrize("order", ["after", "twice", "beside", "behind a relu", "by its weight"])
def test_only_what_directly_follows_is_folded(order):
    torch.manual_seed(0)
    victim, images = used(Net(order)), torch.rand(2, 3, 8, 8)
    fast = folded(victim, images)
    assert (fast is victim) == (order != "after")
    torch.testing.assert_close(fast(images), victim(images), rtol=1e-4, atol=1e-4)


def test_a_network_that_answers_otherwise_is_not_taken():
    class Odd(nn.Conv2d):
        def forward(self, images):
            return 2 * super().forward(images)

    victim = Net("after")
    victim.one = Odd(3, 6, 3)
    victim, images = used(victim), torch.rand(1, 3, 8, 8)
    assert folded(victim, images) is victim


def test_networks_that_cannot_be_copied_or_have_nothing_to_fold_are_left():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 32, 32)
    plain = ImageHasher("alexnet", 8, size=64, batch_norm=False).eval()
    assert folded(plain, torch.rand(1, 3, 64, 64)) is plain
    stuck = used(ImageHasher("small", 8))
    stuck.handle = (one for one in "a generator cannot be copied")
    assert folded(stuck, images) is stuck


def test_an_attack_takes_the_folded_copy_and_counts_its_passes():
    torch.manual_seed(0)
    victim, images = used(ImageHasher("small", 8, size=16)), torch.rand(2, 3, 16, 16)
    seen = []

    def objective(logits, codes, step):
        return -(codes * logits).mean(1)

    rule = UpdateRule(objective, SignStep(lambda done: 0 * done + 1 / 255), steps=3)
    moved = {}
    for fold in (False, True):
        norm = victim.network.features[1]
        hook = norm.register_forward_hook(lambda *_, fold=fold: seen.append(fold))
        counter = PassCounter(2)
        with counter.counting(victim):
            moved[fold] = solve(
                victim, Queries(images), torch.ones(2, 8), rule, budget=Budget(8 / 255), fold=fold
            )
        hook.remove()
        assert counter.forwards.tolist() == counter.backwards.tolist() == [3, 3]
    # The size of the pool is found in one pass; with the copy, the victim's own are two at most.
    assert seen.count(False) == 4 and seen.count(True) <= 2
    assert (moved[True] - moved[False]).abs().mean() < 0.1 / 255
