"""The loop: steps by hand, a pool that never mixes rows, little memory, who is told."""

from collections import deque

import pytest
import torch

from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import solve
from hashprobe.optim.box import Box
from hashprobe.optim.descend import Pool, out_of_memory
from hashprobe.optim.problem import Problem
from hashprobe.optim.rule import UpdateRule
from hashprobe.types import Budget, InputContract, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.passes import PassCounter


def test_steps_equal_the_update_computed_by_hand(linear, random_signs, downhill):
    """The released order, in normalised units and float64: valid pixels first, then eps."""
    chance = torch.Generator().manual_seed(3)
    w = torch.randn(8, 48, generator=chance, dtype=torch.float64) * 2
    x = torch.rand(2, 3, 4, 4, generator=chance, dtype=torch.float64)
    x[0, 0, 0] = 0.0
    x[1, 2, 1] = 1.0
    b, alpha, size, eps = random_signs(2, 8), 0.3, 0.4, 0.06
    victim = linear(w)
    std = torch.tensor(victim.contract.std, dtype=torch.float64).view(3, 1, 1)
    by_hand = []
    for image, code in zip(x, b, strict=True):
        delta = torch.zeros_like(image)
        for _ in range(3):
            u = torch.tanh(alpha * (w @ (image + std * delta).flatten()))
            pixel_gradient = -(w.T @ (code * alpha * (1 - u**2))).view(3, 4, 4) / 8
            gradient = std * pixel_gradient
            delta = delta - size * gradient / (gradient**2).sum().sqrt()
            valid = (image + std * delta).clamp(0, 1)
            delta = ((valid - image) / std).clamp(-eps, eps)
        by_hand.append(image + std * delta)
    budget = Budget(eps, "normalised")
    ours = downhill(victim, x, b, budget=budget, steps=3, size=size, alpha=alpha)
    torch.testing.assert_close(ours, torch.stack(by_hand), rtol=0, atol=1e-12)
    inside = (ours - x).abs() < eps * std * 0.999
    assert inside.float().mean() > 0.1  # not everything sits at the budget, so steps show


class Gate(Hasher):
    """z = W x, and 0 for dark images, where the gradient is 0, too."""

    def __init__(self):
        super().__init__(8, InputContract(size=4))
        chance = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(8, 48, generator=chance))

    def forward(self, images):
        bright = images.flatten(1).mean(1, keepdim=True) > 0.25
        return images.flatten(1) @ self.weight.T * bright


@pytest.mark.parametrize("size", [1, 2, 3])
def test_zero_gradient_leaves_an_image_among_others(size, random_signs, downhill):
    images = torch.full((3, 3, 4, 4), 0.5)
    images[0] = 0.1
    targets = random_signs(3, 8, dtype=torch.float32)
    moved = downhill(Gate(), images, targets, budget=Budget(0.1), runtime=Runtime(batch_size=size))
    assert torch.equal(moved[0], images[0])
    assert (moved[1:] != images[1:]).flatten(1).any(1).all()


@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_gradient_of_zero_at_every_image_is_refused(count, random_signs, downhill):
    images, targets = torch.full((count, 3, 4, 4), 0.1), -torch.ones(count, 8)
    for size in (1, 7):
        with pytest.raises(HashprobeError, match="gradient of the loss is 0 at every query"):
            downhill(Gate(), images, targets, budget=Budget(0.1), runtime=Runtime(batch_size=size))
    # Where every bit is right there is nothing to move.
    assert torch.equal(downhill(Gate(), images, -targets, budget=Budget(0.1)), images)


def test_outputs_that_saturate_the_objective_are_refused_at_the_first_step(linear, random_signs):
    victim, steps = linear(torch.full((8, 48), 1e4)), []
    rule = UpdateRule(
        objective=lambda z, b, step: steps.append(int(step.max())) or -(b * z.tanh()).mean(1),
        step=lambda gradient, step: -gradient.sign() / 255,
        steps=50,
    )
    with pytest.raises(HashprobeError, match=r"mean size of 2.4e\+05.*tanh: divide them by it"):
        solve(victim, Queries(torch.full((9, 3, 4, 4), 0.5)), -torch.ones(9, 8), rule,
              budget=Budget(0.1), runtime=Runtime(batch_size=8))  # fmt: skip
    assert set(steps) == {0}


@pytest.mark.parametrize("raw", [False, True])
def test_momentum_by_hand(raw, linear, random_signs):
    """Each gradient is divided by its mean absolute value before it is added, unless it is raw."""
    moves = []
    images = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64)
    weights = torch.randn(8, 192, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def step(momentum, steps):
        moves.append(momentum.clone())
        return -momentum * 1e-3

    rule = UpdateRule(
        objective=lambda z, b, step: (z**2).sum(1), step=step, steps=3, momentum=0.7, raw=raw
    )
    solve(linear(weights), Queries(images), random_signs(1, 8), rule, budget=Budget(0.4))
    x, velocity = images[0].flatten(), torch.zeros(192, dtype=torch.float64)
    assert len(moves) == 3
    for move in moves:
        gradient = 2 * weights.T @ (weights @ x)
        velocity = 0.7 * velocity + (gradient if raw else gradient / gradient.abs().mean())
        torch.testing.assert_close(move.flatten(), velocity)
        x = (x - 1e-3 * velocity).clamp(0.1, 0.9)


def test_what_a_pool_moves_in_blocks_is_what_it_moves_at_once(
    conv, random_images, random_signs, monkeypatch
):
    victim, queries, goal = conv(), Queries(random_images(7)), Goal.targeted(random_signs(7, 16))
    given = {"budget": Budget(0.1, "normalised"), "options": DhtaOptions(steps=8)}
    whole = dhta(victim, queries, goal, **given)
    monkeypatch.setattr("hashprobe.optim.descend.BLOCK_BYTES", 1)
    assert torch.equal(dhta(victim, queries, goal, **given), whole)


def test_rows_keep_their_own_state_when_others_leave(conv, random_images, random_signs, sign_rule):
    """A query that leaves makes room; momentum, steps and bounds of the others stay theirs."""
    victim = conv()
    images = (random_images(9) * 255).round() / 255
    with torch.no_grad():
        there = torch.where(victim(images) >= 0, 1.0, -1.0).double()
    targets = torch.where(torch.arange(9)[:, None] % 3 == 0, there, random_signs(9, 16))
    rule = sign_rule(12, momentum=0.5)
    given = {"budget": Budget(6 / 255)}
    alone = [
        solve(victim, Queries(images[row : row + 1]), targets[row : row + 1], rule, **given)[0]
        for row in range(9)
    ]
    for size in (1, 2, 4, 9):
        moved = solve(
            victim, Queries(images), targets, rule, **given, runtime=Runtime(batch_size=size)
        )
        assert torch.equal(moved, torch.stack(alone))


class Weighted(Hasher):
    """Logits that are a weighted sum of all values, a weight a frame."""

    def forward(self, clips, lengths):
        weight = torch.tensor([1.0, 1.0, -1.5]).view(1, 3, 1, 1, 1)
        return -(clips * weight).sum((1, 2, 3, 4)).unsqueeze(1).expand(-1, 8)


def test_a_shared_change_is_not_led_by_frames_that_cannot_show_it():
    """Two black frames ask for darker values, which they cannot show; a grey one for lighter."""
    clean = torch.tensor([0.0, 0.0, 0.5]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 1, 1)
    victim, lengths = Weighted(8, InputContract(size=1, frames=3)), torch.tensor([3])
    moved = dhta(
        victim,
        Queries(clean, lengths=lengths),
        Goal.targeted(torch.ones(1, 8)),
        budget=Budget(64 / 255, shared=True),
        options=DhtaOptions(steps=40, alpha=0.1, step_size=0.03),
    )
    before, after = (victim(x, lengths).mean().item() for x in (clean, moved))
    assert after > before - 0.1  # led by them, it would end 1.1 below


class SeesPadding(Hasher):
    """Logits by all frames, padding too: nothing forbids it to a network that ignores lengths."""

    def forward(self, clips, lengths=None):
        weight = torch.tensor([1.0, -9.0]).view(1, 2, 1, 1, 1)
        return (clips * weight).mean((1, 2, 3, 4)).repeat(8, 1).T


def test_padding_has_no_say_in_a_shared_change():
    clips = torch.full((1, 2, 3, 4, 4), 0.5)
    moved = dhta(
        SeesPadding(8, InputContract(size=4, frames=2)),
        Queries(clips, lengths=torch.tensor([1])),
        Goal.targeted(torch.ones(1, 8)),
        budget=Budget(64 / 255, shared=True),
        options=DhtaOptions(steps=3, alpha=1.0),
    )
    assert (moved[:, 0] > clips[:, 0]).all() and torch.equal(moved[:, 1], clips[:, 1])


def poor(error, most):
    """A hasher that fails on more rows than some at once."""

    def build(base, **more):
        class Poor(base):
            tried = 0

            def forward(self, images):
                if len(images) > most:
                    Poor.tried += 1
                    raise error
                return super().forward(images)

        return Poor(**more)

    return build


GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize("error", [GPU, CPU], ids=["gpu", "cpu"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_too_little_memory_halves_the_pool(
    error, precision, conv, random_images, random_signs, sign_rule
):
    images = (random_images(7, dtype=torch.float32) * 255).round() / 255
    queries, targets = Queries(images), random_signs(7, 16, dtype=torch.float32)
    found = []
    for victim, size in (
        (poor(error, 2)(conv, dtype=torch.float32), 7),
        (conv(dtype=torch.float32), 2),
    ):
        counter, runtime = PassCounter(7), Runtime(batch_size=size, precision=precision)
        with counter.counting(victim):
            moved = solve(
                victim,
                queries,
                targets,
                UpdateRule(
                    lambda z, b, _: -(b * z).mean(1),
                    lambda gradient, _: -0.01 * gradient / gradient.abs().amax((1, 2, 3), True),
                    steps=5,
                ),
                budget=Budget(8 / 255),
                runtime=runtime,
            )
        found.append((moved, counter))
        if size == 7:
            assert type(victim).tried == 2 if precision == "float32" else type(victim).tried >= 2
    (halved, passes), (small, expected) = found
    torch.testing.assert_close(halved, small, rtol=0, atol=1e-6 if precision == "float32" else 1e-3)
    assert passes.forwards.tolist() == expected.forwards.tolist() == [5] * 7
    assert passes.backwards.tolist() == expected.backwards.tolist() == [5] * 7


def test_too_little_memory_for_one_query_is_one_clear_error(
    conv, random_images, random_signs, downhill
):
    victim = poor(GPU, 0)(conv, dtype=torch.float32)
    queries, targets = Queries(random_images(3, dtype=torch.float32)), random_signs(3, 16).float()
    rule = UpdateRule(lambda z, b, _: -(b * z).mean(1), lambda gradient, _: -gradient, steps=2)
    with pytest.raises(HashprobeError, match="cpu has too little memory for one query") as caught:
        solve(victim, queries, targets, rule, budget=Budget(0.1), runtime=Runtime(batch_size=3))
    assert "\n" not in str(caught.value) and caught.value.__cause__ is GPU


def test_other_errors_of_a_victim_are_its_own(conv, random_images, random_signs):
    broken = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    victim = poor(broken, 0)(conv)
    rule = UpdateRule(lambda z, b, _: -(b * z).mean(1), lambda gradient, _: -gradient, steps=2)
    queries, targets = Queries(random_images(3)), random_signs(3, 16)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        solve(victim, queries, targets, rule, budget=Budget(0.1), runtime=Runtime(batch_size=3))
    assert victim.tried == 1
    assert out_of_memory(GPU) and out_of_memory(CPU) and not out_of_memory(broken)


def test_a_pool_that_was_halved_stays_small(conv, random_images, random_signs, sign_rule):
    """It does not run into the same wall at every step."""
    victim = poor(GPU, 2)(conv, dtype=torch.float32)
    queries = Queries((random_images(7, dtype=torch.float32) * 255).round() / 255)
    targets, rule = random_signs(7, 16).float(), sign_rule(4)
    box = Box.around(queries.pixels, Budget(8 / 255), victim.contract, eight_bit=True)
    problem = Problem(victim, victim, queries, box)
    pool = Pool(problem, targets, rule, 7)
    assert pool.fill(deque(range(7)), problem.origin) and len(pool) == 7
    for _ in range(3):
        logits, gradient = pool.gradient()
        assert logits.shape == (7, 16) and gradient.shape == (7, 3, 8, 8)
        pool.move(gradient)
    assert victim.tried == 2 and pool.limit == 2
