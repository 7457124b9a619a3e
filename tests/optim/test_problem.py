"""What an attack moves, and how a victim sees it."""

import pytest
import torch

import hashprobe.optim.gradients as gradients_module
import hashprobe.optim.problem as problem_module
from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS
from hashprobe.data.queries import Queries
from hashprobe.optim.box import Box
from hashprobe.optim.problem import FrameSubset, Problem, layout
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import encode


def problem_of(victim, queries, eps=0.1):
    return Problem(
        victim, victim, queries, Box.around(queries.pixels, Budget(eps), victim.contract)
    )


def test_a_pass_through_some_frames_is_a_pass_through_all(
    clip_hasher, clips8, lengths, random_signs
):
    """The same logits and the same gradient, from the frames that move and the others' features."""
    victim, clips = clip_hasher(torch.float64), clips8.double() / 255
    queries = Queries(clips, lengths=lengths)
    open = torch.tensor(
        [
            [0, 1, 1, 0, 0, 1],
            [1, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0],
            [1, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 0],
        ]
    ).bool()
    rows, others = torch.tensor([3, 0, 2, 4]), torch.rand(4, 4, 3, 8, 8, dtype=torch.float64)
    features = victim.features(clips.flatten(0, 1)).unflatten(0, (5, 6)).detach()
    box = Box.around(clips, Budget(0.1), victim.contract)
    by_itself = FrameSubset(victim, victim, queries, box, open, features)
    in_place = FrameSubset(victim, victim, queries, box, open, None)
    found = []
    for problem in (by_itself, in_place):
        pixels = others.clone().requires_grad_()
        logits = problem.forward(rows, pixels)
        (gradient,) = torch.autograd.grad((logits * random_signs(4, 16)).sum(), pixels)
        found.append((logits.detach(), gradient))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-12)
    assert torch.equal(found[0][1].abs().sum((2, 3, 4)) > 0, by_itself.open[rows])
    whole = by_itself.paste(rows, others)
    assert torch.equal((whole != clips[rows]).flatten(2).any(2), open[rows])
    torch.testing.assert_close(victim(whole, lengths[rows]), found[0][0], rtol=0, atol=1e-12)
    torch.testing.assert_close(by_itself.exact(rows, others), found[0][0], rtol=0, atol=1e-12)


def test_a_subset_begins_at_its_own_frames_within_the_box_of_all(clip_hasher, clips8, lengths):
    victim, clips = clip_hasher(), clips8.float() / 255
    open = torch.zeros(5, 6, dtype=torch.bool)
    open[0, [1, 4]], open[2, 3], open[1, 0], open[3, 0], open[4, 2] = True, True, True, True, True
    box = Box.around(clips, Budget(0.1), victim.contract)
    some = FrameSubset(victim, victim, Queries(clips, lengths=lengths), box, open, None)
    assert some.start.shape == (5, 2, 3, 8, 8)
    assert torch.equal(some.origin(0)[0], clips[0, [1, 4]])
    assert torch.equal(some.box.low[0], box.low[0, [1, 4]])
    assert torch.equal(some.origin(2)[0, 0], clips[2, 3])
    # The second place of a clip with one frame to move has no room.
    assert torch.equal(some.box.low[2, 1], some.box.high[2, 1])
    assert torch.equal(some.paste(torch.tensor([0, 2]), some.start[[0, 2]]), clips[[0, 2]])


def test_padding_has_no_room(clip_hasher, clips8, lengths):
    problem = problem_of(clip_hasher(), Queries(clips8.float() / 255, lengths=lengths))
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(problem.box.low[row, length:], problem.box.high[row, length:])
        assert (problem.box.low[row, :length] < problem.box.high[row, :length]).any()


def test_pixels_lie_as_the_filters_of_the_victim_do(conv, random_images, random_signs):
    """A network that flattens by `view` works, as it does outside of attacks."""

    class Viewing(conv):
        def forward(self, images):
            mixed = self.features[0](images)
            return self.hash(mixed.view(len(mixed), -1)[:, :24])

    queries, goal = Queries(random_images(1)), Goal.targeted(random_signs(1, 16))
    options = BitMarginOptions(steps=2)
    bit_margin(Viewing(), queries, goal, budget=Budget(8 / 255), options=options)
    images = torch.rand(2, 3, 8, 8)
    assert layout(conv(), images) == torch.contiguous_format
    last = conv().to(memory_format=torch.channels_last)
    assert layout(last, images) == torch.channels_last
    assert layout(last, images.unsqueeze(1)) == torch.contiguous_format  # clips


def test_the_longest_of_the_rows_that_are_left_says_how_many_fit(monkeypatch, clip_hasher):
    measured = []

    def bytes_of(victim, clips, through):
        measured.append(len(clips))
        through(clips)
        return 1 << 20

    class Noting(Hasher):
        def forward(self, clips, lengths):
            seen.append(int(lengths.max()))
            return clips.mean((1, 2, 3, 4)).unsqueeze(1).expand(-1, self.bits)

    monkeypatch.setattr(problem_module, "saved_bytes", bytes_of)
    seen = []
    lengths = torch.tensor([2, 1, 4, 3, 4])
    victim = Noting(16, clip_hasher().contract)
    problem = problem_of(victim, Queries(torch.zeros(5, 6, 3, 8, 8), lengths=lengths))
    for rows, longest in (([0], 2), ([0, 1], 2), ([0, 1, 2], 4), ([1, 3], 3), ([1], 1)):
        assert problem.pool(rows) == 128
        assert seen.pop() == longest and not seen
    assert measured == [1] * 5


@pytest.mark.parametrize(
    ("attack", "rule"), [("bit-margin", {}), ("hag", {}), ("dhta", {"frames": 2})]
)
def test_a_longest_clip_says_how_many_fit(
    attack, rule, clip_hasher, clips8, lengths, random_signs, monkeypatch
):
    measured = []

    def bytes_of(victim, clips, *more, through=None):
        (through or victim)(clips.requires_grad_(), *more)
        measured.append(seen[-1])
        return 1 << 20

    class Plain(Hasher):
        def __init__(self, inner):
            super().__init__(inner.bits, inner.contract)
            self.inner = inner

        def forward(self, clips, lengths):
            seen.append(int(lengths.max()))
            return self.inner(clips, lengths)

    seen = []
    for module in (problem_module, gradients_module):
        monkeypatch.setattr(module, "saved_bytes", bytes_of)
    order = [3, 0, 1, 2, 4]
    options = ATTACKS[attack].options(steps=6)
    ATTACKS[attack].run(
        Plain(clip_hasher()),
        Queries(clips8[order].float() / 255, lengths=lengths[order]),
        Goal.targeted(random_signs(5, 16)),
        budget=Budget(64 / 255, **rule),
        options=options,
    )
    assert measured[0] == 6


@pytest.mark.parametrize("full", [False, True])
def test_a_network_may_write_into_its_features(full, own_clip_hasher, clips8, lengths):
    """Its features are needed for the way back, and `code` writes into them."""

    class Tanh(own_clip_hasher):
        def features(self, frames):
            return super().features(frames).tanh()

    victim = Tanh()
    queries = Queries(clips8.float() / 255, lengths=torch.full((5,), 6) if full else lengths)
    targets = torch.where(torch.arange(16) % 2 == 0, 1.0, -1.0).expand(5, 16)
    moved = bit_margin(
        victim,
        queries,
        Goal.targeted(targets),
        budget=Budget(64 / 255),
        options=BitMarginOptions(steps=12),
    )
    after = encode(victim, Queries(moved, lengths=queries.lengths)).signs()
    before = encode(victim, queries).signs()
    assert (after != targets.numpy()).sum() < (before != targets.numpy()).sum()
