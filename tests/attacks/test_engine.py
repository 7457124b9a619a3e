import re

import pytest
import torch
from hashprobe.attacks.objectives import inner_product_loss

from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import minimise
from hashprobe.optim.box import Box, round_to_bytes
from hashprobe.optim.rule import Descent, unit_l2_step
from hashprobe.types import Budget, InputContract
from hashprobe.victims.base import Hasher, frozen_eval
from hashprobe.victims.checks import check_images, check_images8, check_targets


def descend(hasher, images, targets, *, budget, steps=3, size=1.0, alpha=0.1):
    return minimise(
        hasher,
        images,
        targets,
        Descent(
            objective=lambda z, b, step: inner_product_loss(z, b, alpha),
            step_rule=lambda gradient, step: unit_l2_step(gradient, size=size),
            steps=steps,
        ),
        budget=budget,
    )


def test_loss_against_a_double_loop(random_signs):
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    b = random_signs(5, 8)
    b[2, 3] = 0
    loss = inner_product_loss(z, b, 0.3)
    for i in range(5):
        expected = -sum(b[i, k] * torch.tanh(0.3 * z[i, k]) for k in range(8)) / 8
        assert abs(loss[i] - expected) < 1e-15


def test_loss_with_the_hard_sign_is_the_hamming_distance(random_signs):
    b, h = random_signs(6, 16), random_signs(6, 16, seed=1)
    distance = (b != h).sum(1)
    torch.testing.assert_close(inner_product_loss(h * 1e3, b, 1.0), distance.double() / 8 - 1)


def test_steps_equal_the_update_computed_by_hand(linear, random_signs):
    """The released order, in normalised units and float64: valid pixels first, then eps."""
    chance = torch.Generator().manual_seed(3)
    w = torch.randn(8, 48, generator=chance, dtype=torch.float64) * 2
    x = torch.rand(2, 3, 4, 4, generator=chance, dtype=torch.float64)
    x[0, 0, 0] = 0.0
    x[1, 2, 1] = 1.0
    b, alpha, size, eps = random_signs(2, 8), 0.3, 0.4, 0.06
    hasher = linear(w)
    std = torch.tensor(hasher.contract.std, dtype=torch.float64).view(3, 1, 1)
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
    ours = descend(hasher, x, b, budget=budget, steps=3, size=size, alpha=alpha)
    torch.testing.assert_close(ours, torch.stack(by_hand), rtol=0, atol=1e-12)
    inside = (ours - x).abs() < eps * std * 0.999
    assert inside.float().mean() > 0.1  # not everything sits at the budget, so steps show


def test_unit_step_has_unit_length_per_sample_and_zero_stays_zero():
    gradient = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    gradient[1] = 0
    gradient[2] *= 1e-30  # squares underflow in float32
    gradient[3] *= 1e30
    move = unit_l2_step(gradient, size=2.5)
    lengths = torch.linalg.vector_norm(move.double(), dim=(1, 2, 3))
    expected = torch.tensor([2.5, 0, 2.5, 2.5], dtype=torch.float64)
    torch.testing.assert_close(lengths, expected, rtol=1e-5, atol=0)
    for row in (0, 2, 3):
        exact = gradient[row].double()
        exact = -2.5 * exact / exact.square().sum().sqrt()
        torch.testing.assert_close(move[row].double(), exact, rtol=1e-5, atol=1e-6)


def test_zero_gradient_leaves_the_image(linear, random_signs):
    images = torch.full((2, 3, 4, 4), 0.5)
    hasher = linear(torch.zeros(8, 48))
    moved = descend(hasher, images, random_signs(2, 8, dtype=torch.float32), budget=Budget(0.1))
    assert torch.equal(moved, images)


def test_no_weight_gradient_is_computed(linear, random_signs):
    class Spy(linear):
        def forward(self, images):
            assert not self.weight.requires_grad and not self.training
            assert images.requires_grad
            return super().forward(images)

    hasher = Spy(torch.ones(8, 48)).train()
    images = torch.full((1, 3, 4, 4), 0.5)
    descend(hasher, images, random_signs(1, 8, dtype=torch.float32), budget=Budget(0.1))
    assert hasher.weight.requires_grad and hasher.training and hasher.weight.grad is None


def test_hasher_is_given_back_after_an_error(conv):
    hasher = conv().train()
    with pytest.raises(RuntimeError), frozen_eval(hasher):
        raise RuntimeError
    assert hasher.training and all(weight.requires_grad for weight in hasher.parameters())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite(bad, linear, random_signs):
    weight = torch.ones(8, 48)
    weight[3, 5] = bad
    images = torch.full((1, 3, 4, 4), 0.5)
    with pytest.raises(HashprobeError, match="logits became infinite or NaN at step 1: check"):
        descend(linear(weight), images, random_signs(1, 8, dtype=torch.float32), budget=Budget(0.1))


def test_gradient_that_is_not_finite(random_signs):
    class Root(Hasher):
        def forward(self, images):
            return (images.flatten(1)[:, :8] - 0.5).abs().sqrt()

    images = torch.full((1, 3, 4, 4), 0.5)
    hasher = Root(8, InputContract(size=4))
    with pytest.raises(HashprobeError, match="gradient became infinite or NaN at step 1"):
        descend(hasher, images, random_signs(1, 8, dtype=torch.float32), budget=Budget(0.1))


def test_hasher_without_gradient_or_with_other_bits(linear, random_signs):
    class Stuck(linear):
        def forward(self, images):
            return super().forward(images.detach())

    class Short(linear):
        def forward(self, images):
            return super().forward(images)[:, :5]

    given = torch.full((1, 3, 4, 4), 0.5), random_signs(1, 8, dtype=torch.float32)
    with pytest.raises(HashprobeError, match="carry no gradient to the pixels"):
        descend(Stuck(torch.ones(8, 48)), *given, budget=Budget(0.1))
    with pytest.raises(HashprobeError, match=r"shape \(1, 5\) for 1 images; wanted are 8 each"):
        descend(Short(torch.ones(8, 48)), *given, budget=Budget(0.1))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((1, 3, 2, 2), 2.64), "images must lie in [0, 1]; got max 2.64: already norm"),
        (torch.full((1, 3, 2, 2), -2.12), "images must lie in [0, 1]; got min -2.12: already norm"),
        (torch.full((1, 3, 2, 2), 255.0), "got max 255: divide by 255?"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "got uint8: divide by 255"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16), "float32 or float64; got bfloat16"),
        (torch.zeros(3, 2, 2), "must have shape (N, 3, H, W); got (3, 2, 2)"),
        (torch.zeros(1, 1, 2, 2), "must have shape (N, 3, H, W); got (1, 1, 2, 2)"),
        (torch.zeros(0, 3, 2, 2), "there are no images to attack"),
        (torch.tensor([0.0, float("nan")]).view(2, 1, 1, 1).expand(2, 3, 2, 2), "NaN in row 1"),
        (torch.full((1, 3, 2, 2), float("inf")), "got max inf"),
    ],
)
def test_images_that_do_not_fit(images, message):
    with pytest.raises(HashprobeError, match=re.escape(message)) as caught:
        check_images(images)
    assert "\n" not in str(caught.value)


def test_queries_and_targets_that_do_not_fit():
    with pytest.raises(HashprobeError, match=r"queries must be uint8 pixels .*; got int64"):
        check_images8(torch.zeros(1, 3, 2, 2, dtype=torch.int64))
    with pytest.raises(HashprobeError, match="3 target codes for 2 images"):
        check_targets(torch.ones(3, 8), 2, 8)
    with pytest.raises(HashprobeError, match="must be floating; got int8"):
        check_targets(torch.ones(2, 8, dtype=torch.int8), 2, 8)
    with pytest.raises(HashprobeError, match="got nan"):
        check_targets(torch.full((2, 8), float("nan")), 2, 8)
    with pytest.raises(HashprobeError, match=r"must have shape \(N, K\); got \(8,\)"):
        check_targets(torch.ones(8), 1, 8)
    check_targets(torch.tensor([[-1.0, 0.0, 1.0] + [1.0] * 5]), 1, 8)


def test_box_clamps_in_either_order():
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    wild = images + torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    ours = Box.around(images, Budget(0.2), InputContract()).clamp(wild)
    pixels_first = images + (wild.clamp(0, 1) - images).clamp(-0.2, 0.2)
    ball_first = (images + (wild - images).clamp(-0.2, 0.2)).clamp(0, 1)
    torch.testing.assert_close(ours, pixels_first)
    torch.testing.assert_close(ours, ball_first)


@pytest.mark.parametrize(
    ("budget", "reach"),
    [
        (Budget(8 / 255), (8, 8, 8)),
        (Budget(0.032), (8, 8, 8)),
        (Budget(7.99 / 255), (7, 7, 7)),
        (Budget(0.5 / 255), (0, 0, 0)),
        (Budget(0.032, "normalised"), (1, 1, 1)),
        (Budget(0.1, "normalised"), (5, 5, 5)),
        (Budget(1.0), (255, 255, 255)),
    ],
)
def test_rounding_keeps_the_budget_for_every_byte(budget, reach):
    """Every clean byte with every wish, against the nearest of the allowed integers."""
    clean = torch.arange(256, dtype=torch.uint8).repeat_interleave(103)
    wish = torch.linspace(0, 1, 103).repeat(256)
    shape = (1, 3, 1, len(wish))
    out = round_to_bytes(wish.expand(shape), clean.expand(shape), budget, InputContract()).squeeze(
        2
    )[0]
    for channel, r in enumerate(reach):
        moved = out[channel].long() - clean.long()
        assert moved.abs().max() == r
        nearest = (wish.double() * 255).round().long()
        low, high = clean.long() - r, clean.long() + r
        allowed = torch.maximum(torch.minimum(nearest, high), low)
        assert torch.equal(out[channel].long(), allowed.clamp(0, 255))


def test_every_n_over_255_reaches_n():
    clean = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    for n in range(1, 256):
        out = round_to_bytes(torch.ones(1, 3, 1, 1), clean, Budget(n / 255), InputContract())
        assert (out == n).all()


def test_rounding_refuses_nan():
    clean = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    with pytest.raises(HashprobeError, match="pixels that are not numbers"):
        round_to_bytes(torch.full((1, 3, 1, 1), torch.nan), clean, Budget(), InputContract())


def test_normalised_budget_of_n_over_255_reaches_n():
    clean = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    contract = InputContract()
    for n, std in [(n, std) for n in range(1, 60) for std in contract.std]:
        budget = Budget(n / 255 / std, "normalised")
        out = round_to_bytes(torch.ones(1, 3, 1, 1), clean, budget, contract)
        assert out[0, contract.std.index(std)] == n
