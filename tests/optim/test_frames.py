"""Which frames of a clip an attack changes."""

import itertools

import pytest
import torch

from hashprobe.attacks._bit_margin import SOFT, BitMarginOptions, bit_margin, bit_margin_loss
from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.frames import check_frame_rule, keep_rule, kept_frames, largest
from hashprobe.types import Budget, InputContract
from hashprobe.victims.base import Hasher
from hashprobe.victims.clip import FramewiseHasher


EPS = 64 / 255


class Whole(Hasher):
    """A network that does not say that it looks at every frame by itself."""

    def __init__(self, inner):
        super().__init__(inner.bits, inner.contract)
        self.inner = inner

    def forward(self, clips, lengths=None):
        return self.inner(clips, lengths)


@pytest.fixture
def assert_chosen(lengths, changed_frames):
    """Refuses other frames than those of the largest norms."""

    def check(victim, clips, targets, norms):
        moved = bit_margin(
            victim,
            Queries(clips, lengths=lengths),
            Goal.targeted(targets),
            budget=Budget(EPS, frames=2),
            options=BitMarginOptions(steps=6),
        )
        for row, length in enumerate(lengths.tolist()):
            wanted = set(norms[row, :length].topk(min(2, length)).indices.tolist())
            assert set(changed_frames(moved, clips)[row].nonzero().flatten().tolist()) == wanted

    return check


def test_frames_are_chosen_by_the_first_gradient_of_what_is_seen_of_them(
    clip_hasher, clips8, lengths, random_signs, assert_chosen
):
    """Those whose features have the gradient with the largest l1 norm, among the clip's own."""
    victim, clips = clip_hasher(), clips8.float() / 255
    targets = random_signs(5, 16, dtype=torch.float32)
    features = victim.features(clips.flatten(0, 1)).unflatten(0, (5, 6)).detach().requires_grad_()
    loss = bit_margin_loss(victim.code(features, lengths), targets, SOFT)
    (gradient,) = torch.autograd.grad(loss.sum(), features)
    assert_chosen(victim, clips, targets, gradient.abs().sum(2))


def test_where_frames_are_not_seen_by_themselves_their_pixels_decide(
    clip_hasher, clips8, lengths, random_signs, assert_chosen
):
    victim, clips = Whole(clip_hasher()), clips8.float() / 255
    targets = random_signs(5, 16, dtype=torch.float32)
    pixels = clips.clone().requires_grad_()
    loss = bit_margin_loss(victim(pixels, lengths), targets, SOFT)
    (gradient,) = torch.autograd.grad(loss.sum(), pixels)
    assert_chosen(victim, clips, targets, gradient.abs().sum((2, 3, 4)))


class Weighted(FramewiseHasher):
    """Each feature of a frame is one of its pixels, and weighs what a table says."""

    def __init__(self, weight):
        super().__init__(1, InputContract(size=2, frames=3))
        self.weight = torch.nn.Parameter(weight)

    def features(self, frames):
        return frames.flatten(1)

    def code(self, features, lengths):
        return (features * self.weight).sum((1, 2)).unsqueeze(1) - 30


@pytest.mark.parametrize("whole", [False, True])
def test_the_l1_norm_decides_and_not_the_largest_value(whole, changed_frames):
    """Frame 0 has the largest single gradient, frame 1 the largest l1 norm, frame 2 the l2 norm."""
    weight = torch.zeros(3, 12)
    weight[0, 0], weight[1], weight[2, :4] = 10.0, 1.5, 4.2
    assert weight.abs().sum(1).argmax() == 1 and weight.abs().amax(1).argmax() == 0
    victim = Weighted(weight)
    clips, lengths = torch.full((1, 3, 3, 2, 2), 0.5), torch.tensor([3])
    moved = bit_margin(
        Whole(victim) if whole else victim,
        Queries(clips, lengths=lengths),
        Goal.targeted(torch.ones(1, 1)),
        budget=Budget(EPS, frames=1),
        options=BitMarginOptions(steps=3),
    )
    assert changed_frames(moved, clips)[0].tolist() == [False, True, False]


def test_more_frames_than_a_clip_has_are_all_of_them(clip_hasher, clips8, lengths, random_signs):
    queries, goal = (
        Queries(clips8.float() / 255, lengths=lengths),
        Goal.targeted(random_signs(5, 16)),
    )
    one, other = (
        dhta(
            clip_hasher(),
            queries,
            goal,
            budget=Budget(EPS, frames=frames),
            options=DhtaOptions(steps=6),
        )
        for frames in (None, 40)
    )
    assert torch.equal(one, other)


def test_fewer_frames_achieve_less_and_all_most(clip_hasher, clips8, lengths, random_signs):
    victim, queries = clip_hasher(), Queries(clips8.float() / 255, lengths=lengths)
    targets = random_signs(5, 16, dtype=torch.float32)
    wrong = []
    for rule in ({"frames": 1}, {"shared": True}, {}):
        moved = bit_margin(
            victim,
            queries,
            Goal.targeted(targets),
            budget=Budget(EPS, **rule),
            options=BitMarginOptions(steps=30),
        )
        with torch.no_grad():
            signs = torch.where(victim(moved, lengths) >= 0, 1.0, -1.0)
        wrong.append((signs != targets).sum().item())
    assert wrong[2] < wrong[1] and wrong[2] < wrong[0]


def test_a_network_that_is_told_lengths_by_name_takes_a_rule(clips8, random_signs, changed_frames):
    """It may ignore them, as long as it takes them."""

    class Plain(Hasher):
        def forward(self, clips, lengths=None):
            return clips.mean((1, 3, 4)).repeat(1, 3)[:, :8] - 0.5

    clips = clips8.float() / 255
    moved = bit_margin(
        Plain(8, InputContract(size=8, frames=6)),
        Queries(clips, lengths=torch.full((5,), 6)),
        Goal.targeted(random_signs(5, 8)),
        budget=Budget(EPS, frames=2),
        options=BitMarginOptions(steps=12),
    )
    assert changed_frames(moved, clips).sum(1).max() == 2


def test_images_have_no_frames():
    for rule in ({"frames": 2}, {"shared": True}):
        with pytest.raises(HashprobeError, match="frames and shared are for clips; got images"):
            check_frame_rule(Budget(**rule), torch.zeros(2, 3, 8, 8))
        check_frame_rule(Budget(**rule), torch.zeros(2, 4, 3, 8, 8))
    check_frame_rule(Budget(), torch.zeros(2, 3, 8, 8))


def test_largest_against_sorting():
    rng = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 4, (30, 6), generator=rng).float()
    counts = torch.randint(0, 7, (30,), generator=rng)
    taken = largest(sizes, counts)
    for row, count, found in zip(sizes.tolist(), counts.tolist(), taken.tolist(), strict=True):
        order = sorted(range(6), key=lambda i: (-row[i], i))
        assert [i for i in range(6) if found[i]] == sorted(order[:count])


def test_a_rule_keeps_what_it_says():
    rng = torch.Generator().manual_seed(1)
    change = torch.randint(-9, 10, (4, 5, 3, 2, 2), generator=rng)
    lengths = torch.tensor([5, 3, 1, 4])
    for frames, shared in itertools.product((None, 1, 2, 9), (False, True)):
        budget = Budget(0.1, frames=frames, shared=shared)
        kept, frames_kept = keep_rule(change, budget, lengths), kept_frames(change, budget, lengths)
        for row, length in enumerate(lengths.tolist()):
            size = change[row, :length].abs().sum((1, 2, 3))
            most = min(frames or length, length)
            wanted = set(size.argsort(descending=True, stable=True)[:most].tolist())
            assert set(frames_kept[row].nonzero().flatten().tolist()) == wanted
            assert not kept[row][~frames_kept[row]].any()
            inside, before = kept[row][frames_kept[row]], change[row][frames_kept[row]]
            if not shared:
                assert torch.equal(inside, before)
                continue
            assert (inside == inside[0]).all()
            assert torch.equal(inside[0].abs(), before.abs().amax(0))
