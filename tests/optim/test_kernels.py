import numpy as np
import pytest
import torch

from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import solve
from hashprobe.optim.descend import Pool
from hashprobe.optim.kernels import Room, flat, in_threads, unit_l2_move
from hashprobe.optim.rule import UpdateRule
from hashprobe.optim.steps import SignStep, UnitL2Step
from hashprobe.types import Budget, Runtime


FALLING = SignStep(lambda done: 4 / 255 * (1 - done / 9))


def objective(z, b, step):
    return (1 - b * z / z.abs().mean(1, keepdim=True)).relu().sum(1)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "rule",
    [
        UpdateRule(objective, FALLING, 9, momentum=0.6, eight_bit=True),
        UpdateRule(objective, FALLING, 9, eight_bit=True),
        UpdateRule(objective, FALLING, 9, momentum=0.6),
        UpdateRule(objective, UnitL2Step(0.3), 9),
        UpdateRule(objective, UnitL2Step(1.0), 9, eight_bit=True),
    ],
    ids=["momentum", "signs", "floats", "l2", "l2-eight-bit"],
)
@pytest.mark.parametrize("eps", [8 / 255, 3.4 / 255])
def test_kernels_move_pixels_as_torch_does(
    rule, channels_last, threads, eps, conv, random_images, random_signs, monkeypatch
):
    victim = conv().float()
    if channels_last:
        victim = victim.to(memory_format=torch.channels_last)
    chance = torch.Generator().manual_seed(1)
    images = random_images(7).float() + 0.2 / 255 * torch.rand(7, 3, 8, 8, generator=chance)
    queries, targets = Queries(images.clamp(0, 1)), random_signs(7, 16).float()

    def run():
        return solve(
            victim, queries, targets, rule, budget=Budget(eps), runtime=Runtime(batch_size=4)
        )

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("hashprobe.optim.descend.LOADED", 0)
    called = []
    original = Pool.moved_by_kernel
    monkeypatch.setattr(
        Pool, "moved_by_kernel", lambda self, g: called.append(original(self, g)) or called[-1]
    )
    fused = run()
    assert called and all(called)
    monkeypatch.setattr(Pool, "moved_by_kernel", lambda self, gradient: False)
    assert torch.equal(fused, run())
    assert (fused != queries.pixels).any()


def test_little_work_does_not_load_kernels(conv, random_images, random_signs, monkeypatch):
    """They are loaded once as much has moved without them as loading them costs."""
    rule, called, original = UpdateRule(objective, FALLING, 5), [], Pool.moved_by_kernel
    images = random_images(7).float()
    monkeypatch.setattr(
        Pool, "moved_by_kernel", lambda self, g: called.append(original(self, g)) or called[-1]
    )
    monkeypatch.setattr(Pool, "moved", 0)
    monkeypatch.setattr("hashprobe.optim.descend.LOADED", 2 * images.numel())
    targets = random_signs(7, 16).float()
    solve(conv().float(), Queries(images), targets, rule, budget=Budget(0.1))
    assert called == [False, False, True, True, True]


def test_a_gradient_that_is_not_finite_is_refused(conv, random_images, random_signs):
    images = random_images(2).float()
    rule = UpdateRule(lambda z, b, step: (z * torch.tensor([0.0] * 16) / 0).sum(1), FALLING, 9)
    with pytest.raises(HashprobeError, match="NaN at step 1"):
        solve(
            conv().float(), Queries(images), random_signs(2, 16).float(), rule, budget=Budget(0.1)
        )


def test_a_unit_step_by_hand():
    none = np.empty((0, 0), np.float32)
    pixels = np.array([[0.5, 0.5]], np.float32)
    low, high = pixels - np.float32(0.25), pixels + np.float32(0.25)
    room = Room(pixels, low, high, none, low, high, none)
    gradient, one = np.array([[3.0, -0.5]], np.float32), np.ones(1, np.float32)
    in_threads(unit_l2_move, room, gradient, 4 * one, 0.5 * one, np.float32(-0.1), np.float32(1))
    np.testing.assert_allclose(pixels, [[0.35, 0.525]], rtol=1e-6)


def test_rows_are_views_in_the_order_of_memory():
    values = torch.arange(24.0).view(2, 3, 2, 2)
    assert flat(values).tolist() == values.flatten(1).tolist()
    last = values.contiguous(memory_format=torch.channels_last)
    assert flat(last)[0, :3].tolist() == [0, 4, 8]
    flat(last)[0, 0] = 9
    assert last[0, 0, 0, 0] == 9
    assert flat(values.double()) is None
    assert flat(values[..., ::2]) is None
