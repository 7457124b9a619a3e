"""The default attack and what the engine does for it: 8 bits inside, leaving early, restarts."""

import pytest
import torch
from hashprobe.attacks.objectives import bit_margin_loss
from hashprobe.optim.session import Session

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin, signed_step
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import minimise
from hashprobe.optim.box import Box
from hashprobe.optim.descend import judge
from hashprobe.optim.gradients import layout
from hashprobe.optim.rule import Descent
from hashprobe.types import Budget, InputContract


EPS = Budget(8 / 255)


def on_grid(images):
    return (images * 255).round() / 255


def disjoint(bits=16, size=8, seed=0):
    """Rows of disjoint support: bit k can be flipped by eps exactly when |z_k| < eps ||w_k||_1."""
    chance = torch.Generator().manual_seed(seed)
    weight = torch.zeros(bits, 3 * size * size)
    for k, part in enumerate(torch.arange(weight.shape[1]).chunk(bits)):
        weight[k, part] = torch.randn(len(part), generator=chance)
    return weight


def test_loss_against_a_double_loop(random_signs):
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    b = random_signs(4, 8)
    b[1, 2] = 0
    loss = bit_margin_loss(z, b, 2.5)
    for i in range(4):
        s = sum(abs(z[i, k]) for k in range(8)) / 8
        terms = [torch.log(1 + torch.exp(-2.5 * b[i, k] * z[i, k] / s)) / 2.5 for k in range(8)]
        expected = sum(term for k, term in enumerate(terms) if b[i, k] != 0) / 8
        assert abs(loss[i] - expected) < 1e-12
    each = bit_margin_loss(z, b, torch.tensor([[1.0], [2.5], [9.0], [0.1]], dtype=torch.float64))
    assert each[1] == loss[1] and (each != loss)[[0, 2, 3]].all()


def test_loss_is_the_same_for_logits_of_another_scale_and_has_no_nan(random_signs):
    z, b = torch.randn(3, 8, generator=torch.Generator().manual_seed(1)), random_signs(3, 8)
    torch.testing.assert_close(
        bit_margin_loss(1e4 * z, b.float(), 4.0), bit_margin_loss(z, b, 4.0).float()
    )
    assert bit_margin_loss(torch.zeros(1, 8), torch.ones(1, 8), 4.0).isfinite().all()


def test_a_wrong_bit_keeps_its_gradient_however_wrong_it_is():
    z = torch.tensor([[-1000.0, 1.0, 1.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(bit_margin_loss(z, torch.ones(1, 4), 4.0).sum(), z)
    assert gradient[0, 0] < 0 and gradient[0, 0].abs() >= gradient[0, 1:].abs().max()


def test_first_step_is_all_of_eps_and_the_last_falls_to_nothing():
    momentum = torch.tensor([-2.0, 0.0, 3.0]).view(1, 3, 1, 1).repeat(2, 1, 1, 1)
    moved = signed_step(momentum, torch.tensor([0, 15]), size=0.1, steps=20)
    torch.testing.assert_close(moved[0].flatten(), torch.tensor([0.1, 0.0, -0.1]))
    torch.testing.assert_close(moved[1].flatten(), torch.tensor([0.025, 0.0, -0.025]))


@pytest.mark.parametrize("eps", [2, 8, 16])
def test_reaches_what_can_be_reached(eps, linear, random_signs):
    """A hasher whose best 8-bit code is known in closed form: the attack finds it."""
    weight = disjoint()
    chance = torch.Generator().manual_seed(1)
    images = torch.randint(80, 170, (12, 3, 8, 8), generator=chance) / 255.0
    weight = weight - weight.sum(1, keepdim=True) * (weight != 0) / (weight != 0).sum(
        1, keepdim=True
    )
    hasher, targets = linear(weight), random_signs(12, 16, dtype=torch.float32)
    best = targets * (images.flatten(1) @ weight.T) + eps / 255 * weight.abs().sum(1)
    reachable = best > 1e-3
    moved = bit_margin(
        hasher, images, targets, budget=Budget(eps / 255), options=BitMarginOptions()
    )
    right = targets * (moved.flatten(1) @ weight.T) > 0
    assert 0.1 < reachable.float().mean() < 1.01
    assert (right | ~reachable).all()


def test_every_value_is_a_grey_level_and_within_the_budget(conv, random_images, random_signs):
    images = on_grid(random_images(5, dtype=torch.float32))
    moved = bit_margin(
        conv(dtype=torch.float32),
        images,
        random_signs(5, 16, dtype=torch.float32),
        budget=Budget(3.7 / 255),
        options=BitMarginOptions(steps=9),
    )
    assert torch.equal(moved, on_grid(moved))
    levels = (255 * (moved - images)).round()
    assert levels.abs().max() == 3 and (255 * (moved - images) - levels).abs().max() < 1e-3


def test_what_is_returned_is_the_best_that_the_network_has_seen(conv, random_images, random_signs):
    seen = []

    class Noting(conv):
        def forward(self, images):
            logits = super().forward(images)
            seen.append((images.detach().clone(), logits.detach().clone()))
            return logits

    images, targets = on_grid(random_images(1)), random_signs(1, 16)
    options = BitMarginOptions(steps=15)
    given = {"budget": Budget(2 / 255), "options": options, "session": Session(batch_size=1)}
    moved = bit_margin(Noting(), images, targets, **given)
    assert len(seen) == 16  # the last iterate is looked at once more
    by_hand = []
    for pixels, logits in seen:
        signs = torch.where(logits >= 0, 1, -1)
        margins = (targets * logits) / logits.abs().mean()
        by_hand.append((-int((signs != targets).sum()), float(margins.min()), pixels))
    wrong, _, pixels = max(by_hand, key=lambda entry: entry[:2])
    assert torch.equal(moved, pixels)
    assert -wrong == judge(conv()(moved), targets)[0]


def test_a_query_leaves_when_its_code_is_reached(conv, random_images, random_signs):
    hasher, images = conv(), on_grid(random_images(6))
    with torch.no_grad():
        there = torch.where(hasher(images) >= 0, 1.0, -1.0).double()
    targets = torch.where(torch.arange(6)[:, None] < 3, there, -there)
    session = Session(batch_size=2)
    with session.counting(hasher, 6):
        moved = bit_margin(
            hasher, images, targets, budget=EPS, options=BitMarginOptions(steps=30), session=session
        )
    margins = judge(hasher(images), targets)[1]
    at_once = (torch.arange(6) < 3) & (margins > 0.05)
    assert at_once.any() and torch.equal(moved[at_once], images[at_once])
    assert (session.backwards[at_once] == 1).all()
    assert (session.backwards[3:] == 30).all()


def test_restarts_are_only_for_queries_that_need_them_and_never_hurt(
    conv, random_images, random_signs
):
    hasher, images, targets = conv(), on_grid(random_images(8)), random_signs(8, 16, seed=2)
    with torch.no_grad():  # two queries are where they should be from the start
        targets[:2] = torch.where(hasher(images[:2]) >= 0, 1.0, -1.0)

    def attacked(restarts, ids=range(8), seed=1):
        session = Session(batch_size=3)
        with session.counting(hasher, 8):
            options = BitMarginOptions(steps=3, restarts=restarts)
            moved = bit_margin(
                hasher, images, targets, budget=Budget(24 / 255), options=options, seed=seed,
                query_ids=list(ids), session=session,
            )  # fmt: skip
        return moved, judge(hasher(moved), targets), session.backwards

    once, (wrong, _), passes = attacked(0)
    moved, (fewer, _), more = attacked(3)
    reached = wrong == 0
    assert reached[:2].all() and not reached.all()
    assert (fewer <= wrong).all() and (fewer < wrong).any()
    assert torch.equal(moved[reached], once[reached])
    assert (more[reached.numpy()] == passes[reached.numpy()]).all()
    assert (more > 3).any() and (more <= 12).all()
    assert torch.equal(attacked(3)[0], moved)
    other = attacked(3, seed=2)[0], attacked(3, ids=range(10, 18))[0]
    assert not torch.equal(other[0], moved) and not torch.equal(other[1], moved)


def test_a_budget_below_one_grey_level_is_refused(conv, random_images, random_signs):
    given = (conv(), random_images(1), random_signs(1, 16))
    with pytest.raises(HashprobeError, match=r"no 8-bit pixel can change within .*0\.003"):
        bit_margin(*given, budget=Budget(0.003), options=BitMarginOptions())
    std = conv().contract.std  # the widest channel has one grey level, the others none
    narrow = Budget(1.01 / 255 / max(std), "normalised")
    moved = bit_margin(*given, budget=narrow, options=BitMarginOptions(steps=3))
    change = (moved - given[1]).abs().amax((0, 2, 3))
    assert change[2] > 0 and (change <= 1.02 / 255 / max(std) * torch.tensor(std)).all()


def test_box_of_grey_levels():
    images = torch.tensor([0.0, 1.0, 100 / 255, 0.5]).view(1, 1, 1, 4).repeat(1, 3, 1, 1)
    box = Box.around(images, Budget(8 / 255), InputContract())
    low, high = box.eight_bit(torch.zeros_like(images)), box.eight_bit(torch.ones_like(images))
    assert (255 * low[0, 0]).round().flatten().tolist() == [0, 247, 92, 120]
    assert (255 * high[0, 0]).round().flatten().tolist() == [8, 255, 108, 135]
    tight = Box.around(images, Budget(0.1 / 255), InputContract())
    assert torch.equal(tight.eight_bit(torch.ones_like(images))[..., :3], images[..., :3])
    torch.testing.assert_close(tight.eight_bit(torch.ones_like(images)), images)


def test_targets_of_another_precision_than_the_images(conv, random_images, random_signs):
    images, targets = on_grid(random_images(2)), random_signs(2, 16)
    given = {"budget": EPS, "options": BitMarginOptions(steps=4)}
    moved = bit_margin(conv(), images, targets, **given)
    assert torch.equal(moved, bit_margin(conv(), images, targets.float(), **given))


def test_pixels_lie_as_the_filters_of_the_hasher_do(conv, random_images, random_signs):
    """A network that flattens by `view` works, as it does outside of attacks."""

    class Viewing(conv):
        def forward(self, images):
            mixed = self.features[0](images)
            return self.hash(mixed.view(len(mixed), -1)[:, :24])

    options = BitMarginOptions(steps=2)
    bit_margin(Viewing(), random_images(1), random_signs(1, 16), budget=EPS, options=options)
    images = torch.rand(2, 3, 8, 8)
    assert layout(conv(), images) == torch.contiguous_format
    last = conv().to(memory_format=torch.channels_last)
    assert layout(last, images) == torch.channels_last
    assert layout(last, images.unsqueeze(1)) == torch.contiguous_format  # clips


def test_restarts_without_eight_bit_are_refused():
    with pytest.raises(HashprobeError, match="restarts need eight_bit"):
        Descent(lambda *_: 0, lambda *_: 0, steps=1, restarts=1)


def test_options_out_of_range(as_for_users):
    for wrong, message in (
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"step_size": 0.0}, "step_size must be above 0"),
        ({"restarts": -1}, "restarts must be 0 or above; got -1"),
        ({"n_t": 0}, "n_t must be at least 1"),
        ({"tie": "half"}, "tie must be plus or zero"),
    ):
        with pytest.raises(HashprobeError, match=message):
            BitMarginOptions(**wrong)


def test_momentum_by_hand(linear, random_signs):
    """Each gradient is divided by its mean absolute value before it is added."""
    moves = []
    images = torch.full((1, 3, 8, 8), 0.5, dtype=torch.float64)
    weights = torch.randn(8, 192, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def rule(momentum, step):
        moves.append(momentum.clone())
        return -momentum * 1e-3

    minimise(
        linear(weights),
        images,
        random_signs(1, 8),
        Descent(objective=lambda z, b, step: (z**2).sum(1), step_rule=rule, steps=3, momentum=0.7),
        budget=Budget(0.4),
    )
    x, velocity = images[0].flatten(), torch.zeros(192, dtype=torch.float64)
    for move in moves:
        gradient = 2 * weights.T @ (weights @ x)
        velocity = 0.7 * velocity + gradient / gradient.abs().mean()
        torch.testing.assert_close(move.flatten(), velocity)
        x = x - 1e-3 * velocity
