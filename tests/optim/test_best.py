"""The best image so far: judged in float32, by its 8-bit pixels, kept once."""

import pytest
import torch

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.optim.attempts import solve
from hashprobe.optim.best import Watch, judge
from hashprobe.optim.rule import MARGIN
from hashprobe.types import Budget, Runtime
from hashprobe.victims.passes import PassCounter


def on_grid(images):
    return (images * 255).round() / 255


def test_judging_bit_by_bit(random_signs):
    chance = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(6, 8, generator=chance).double(), random_signs(6, 8)
    targets[1, 3], logits[2, 4], logits[3] = 0, 0.0, 0.0
    wrong, margin = judge(logits, targets)
    for row in range(6):
        mean = sum(abs(z) for z in logits[row].tolist()) / 8
        bits = [
            (z * b / (mean or 1), (1 if z >= 0 else -1) != b)
            for z, b in zip(logits[row].tolist(), targets[row].tolist(), strict=True)
            if b != 0
        ]
        assert wrong[row] == sum(bad for _, bad in bits)
        assert margin[row] == pytest.approx(min(m for m, _ in bits), abs=1e-12)


def test_what_is_returned_is_the_best_that_the_network_has_seen(conv, random_images, random_signs):
    seen = []

    class Noting(conv):
        def forward(self, images):
            logits = super().forward(images)
            seen.append((images.detach().clone(), logits.detach().clone()))
            return logits

    images, targets = on_grid(random_images(1)), random_signs(1, 16)
    moved = bit_margin(
        Noting(),
        Queries(images),
        Goal.targeted(targets),
        budget=Budget(2 / 255),
        options=BitMarginOptions(steps=15),
        runtime=Runtime(batch_size=1),
    )
    seen = seen[2:]  # the victim and its folded copy are compared
    assert len(seen) == 16  # the last iterate is looked at once more
    by_hand = []
    for pixels, logits in seen:
        signs = torch.where(logits >= 0, 1, -1)
        margins = (targets * logits) / logits.abs().mean()
        by_hand.append((-int((signs != targets).sum()), float(margins.min()), pixels))
    wrong, _, pixels = max(by_hand, key=lambda entry: entry[:2])
    assert torch.equal(moved, pixels)
    assert -wrong == judge(conv()(moved), targets)[0]


def test_a_query_leaves_when_its_code_is_reached(conv, random_images):
    victim, images = conv(), on_grid(random_images(6))
    with torch.no_grad():
        there = torch.where(victim(images) >= 0, 1.0, -1.0).double()
    targets = torch.where(torch.arange(6)[:, None] < 3, there, -there)
    counter = PassCounter(6)
    with counter.counting(victim):
        moved = bit_margin(
            victim,
            Queries(images),
            Goal.targeted(targets),
            budget=Budget(8 / 255),
            options=BitMarginOptions(steps=30),
            runtime=Runtime(batch_size=2),
        )
    margins = judge(victim(images), targets)[1]
    at_once = (torch.arange(6) < 3) & (margins > MARGIN)
    assert at_once.any() and torch.equal(moved[at_once], images[at_once])
    assert (counter.backwards[at_once] == 1).all()
    assert (counter.backwards[3:] == 30).all()


@pytest.mark.parametrize(
    "run, options", [(dhta, DhtaOptions(steps=4)), (bit_margin, BitMarginOptions(steps=4))]
)
def test_gradients_come_from_the_copy_and_success_from_the_original(
    run, options, conv, random_images, random_signs
):
    seen = []

    class Noting(conv):
        def forward(self, images):
            seen.append(self.hash.weight.dtype)
            return super().forward(images)

    victim = Noting(dtype=torch.float32)
    images, targets = random_images(3, dtype=torch.float32), random_signs(3, 16)
    with torch.no_grad():
        targets[0] = torch.where(victim(images[:1]) >= 0, 1.0, -1.0)[0]
    seen.clear()
    moved = run(
        victim,
        Queries(images),
        Goal.targeted(targets),
        budget=Budget(8 / 255),
        options=options,
        runtime=Runtime(precision="bfloat16"),
    )
    assert moved.dtype == torch.float32
    # The first query starts at its code: only bit_margin leaves early, after a look in float32. It
    # also compares the copy whose normalisations are folded with the victim, one pass each.
    assert seen.count(torch.float32) == (3 if run is bit_margin else 0)
    assert seen.count(torch.bfloat16) >= 4


def test_a_code_that_only_bfloat16_takes_for_reached_is_not_left_at(linear):
    """256 + 1 is 256 in bfloat16, so a bit that float32 sees as wrong looks right."""
    weight = torch.zeros(8, 192)
    weight[:, 0], weight[:, 1] = 257.0, -256.0
    victim, images = linear(weight), torch.full((1, 3, 8, 8), 1.0)
    images[0, 0, 0, 0] = 255 / 256  # z = -0.004 in float32, 0 = right in bfloat16
    moved = bit_margin(
        victim,
        Queries(on_grid(images)),
        Goal.targeted(torch.ones(1, 8)),
        budget=Budget(4 / 255),
        options=BitMarginOptions(),
        runtime=Runtime(precision="bfloat16", batch_size=1),
    )
    assert (victim(moved) > 0).all()


class Keeper:
    """Watches an attack; whoever has the two methods may."""

    def __init__(self):
        self.steps, self.images = [], {}

    def step(self, done, most):
        self.steps.append((done, most))

    def finished(self, rows, images):
        assert not self.images.keys() & set(rows)
        self.images |= dict(zip(rows, images.clone(), strict=True))


@pytest.mark.parametrize("eight_bit", [False, True])
def test_whoever_watches_is_told_each_step_and_handed_each_query_once(
    eight_bit, conv, random_images, random_signs, sign_rule
):
    keeper, images = Keeper(), on_grid(random_images(5))
    assert isinstance(keeper, Watch) and not isinstance(object(), Watch)
    moved = solve(
        conv(),
        Queries(images),
        random_signs(5, 16),
        sign_rule(4, eight_bit=eight_bit),
        budget=Budget(8 / 255),
        runtime=Runtime(batch_size=2, watch=keeper),
    )
    assert sorted(keeper.images) == list(range(5))
    assert all(torch.equal(moved[row], image) for row, image in keeper.images.items())
    assert {most for _, most in keeper.steps} == {20}
    done = [step for step, _ in keeper.steps]
    assert done == sorted(done) and done[-1] == 20
    assert len(done) == 4 * 3  # two, two and one query, four steps each


def test_a_watch_is_handed_queries_as_they_leave_and_told_of_steps_they_do_not_need(
    conv, random_images
):
    victim, images = conv(), on_grid(random_images(4))
    with torch.no_grad():
        logits = victim(images)
    targets = torch.where(logits >= 0, 1.0, -1.0).double()
    there = judge(logits, targets)[1] > MARGIN
    targets[3] = -targets[3]
    order = []

    class Ordered(Keeper):
        def finished(self, rows, images):
            super().finished(rows, images)
            order.append((rows, self.steps[-1][0] if self.steps else 0))

    keeper = Ordered()
    bit_margin(
        victim,
        Queries(images),
        Goal.targeted(targets),
        budget=Budget(2 / 255),
        options=BitMarginOptions(steps=9),
        runtime=Runtime(batch_size=4, watch=keeper),
    )
    first = there[:3].nonzero().flatten().tolist()
    assert order[0] == (first, 0) and sorted(keeper.images) == list(range(4))
    assert keeper.steps[0] == (9 * len(first) + 4 - len(first), 36)
    assert keeper.steps[-1] == (36, 36)
