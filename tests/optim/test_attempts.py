"""Attempts one after the other: a tenth of the frames, all of them, random starts."""

import dataclasses
import sys

import pytest
import torch

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import random_start, solve
from hashprobe.optim.best import judge
from hashprobe.optim.box import Box
from hashprobe.optim.rule import MARGIN, UpdateRule
from hashprobe.types import Budget, InputContract, Runtime
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.encoding import encode
from hashprobe.victims.passes import PassCounter

from ..golden.victims import IDS, coloured, lstm


EPS = 64 / 255
SIX = torch.full((1,), 6)


class Counting(VideoHasher):
    """A network for clips that notes how many frames go through its backbone."""

    def features(self, frames):
        self.seen.append(len(frames))
        return super().features(frames)


class Keeper:
    def __init__(self):
        self.told, self.done = [], []

    def step(self, done, most):
        self.told.append((done, most))

    def finished(self, rows, images):
        self.done.extend(rows)


@dataclasses.dataclass
class Work:
    """An attack on clips of up to 24 frames, and what was seen of it."""

    victim: Counting
    clips: torch.Tensor
    lengths: torch.Tensor
    moved: torch.Tensor
    wrong: torch.Tensor
    counter: PassCounter
    keeper: Keeper


def long_work(steps, precision="float32", **rule):
    """To codes that a clip's last frame alone can hardly reach."""
    victim = lstm()
    victim.__class__, victim.seen = Counting, []
    victim.contract = dataclasses.replace(victim.contract, frames=24)
    clips = torch.cat([coloured(6, seed) for seed in range(4)], 1).float() / 255
    lengths = torch.tensor([24, 11, 20, 7, 24, 10])
    rng = torch.Generator().manual_seed(3)
    targets = torch.where(torch.rand(6, 16, generator=rng) < 0.5, -1.0, 1.0)
    counter, keeper = PassCounter(6), Keeper()
    with counter.counting(victim):
        moved = bit_margin(
            victim,
            Queries(clips, lengths=lengths),
            Goal.targeted(targets),
            budget=Budget(EPS, **rule),
            options=BitMarginOptions(steps=steps),
            runtime=Runtime(batch_size=4, precision=precision, watch=keeper),
        )
    signs = torch.where(victim(moved, lengths) >= 0, 1.0, -1.0)
    wrong = (signs != targets).sum(1)
    return Work(victim, clips, lengths, moved, wrong, counter, keeper)


def test_clips_are_tried_on_a_tenth_of_their_frames_first(changed_frames):
    work = long_work(30)
    tenth = (work.lengths + 9) // 10
    seen = changed_frames(work.moved, work.clips).sum(1)
    quickly = torch.from_numpy(work.counter.backwards) <= 11
    assert quickly.any() and not quickly.all()
    assert (work.wrong[quickly] == 0).all() and (seen[quickly] <= tenth[quickly]).all()
    assert (seen[~quickly] > tenth[~quickly]).all()
    # First all frames of each clip by itself, to choose; then the chosen ones of four at once.
    frames = work.victim.seen
    assert frames[:6] == work.lengths.tolist() and frames[6] == tenth[:4].sum()
    assert sorted(work.keeper.done) == list(range(6))
    assert work.keeper.told[-1] == (6 * 50, 6 * 50)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_attempts_before_never_hurt(precision, monkeypatch, clip_hasher, colourful):
    """Whose code they do not reach with a margin is attacked as if there had been none."""
    victim, clips = clip_hasher(), colourful(24, 7).float() / 255
    rng = torch.Generator().manual_seed(5)
    targets = torch.where(torch.rand(24, 16, generator=rng) < 0.5, -1.0, 1.0)
    found = []
    for quick_steps in (10, 1000):
        monkeypatch.setattr(
            sys.modules["hashprobe.attacks._bit_margin"], "QUICK_STEPS", quick_steps
        )
        counter = PassCounter(24)
        with counter.counting(victim):
            moved = bit_margin(
                victim,
                Queries(clips, lengths=SIX.expand(24)),
                Goal.targeted(targets),
                budget=Budget(32 / 255),
                options=BitMarginOptions(steps=30),
                runtime=Runtime(precision=precision),
            )
        with torch.no_grad():
            found.append((*judge(victim(moved), targets), counter.backwards))
    (wrong, margin, quick), (plain_wrong, plain_margin, plain) = found
    assert (wrong <= plain_wrong).all()
    assert (margin > MARGIN)[plain_margin > MARGIN].all()
    assert (quick < plain).any() and quick.max() > 30 >= plain.max()


def test_few_steps_and_chosen_frames_have_no_tenth_before_them(changed_frames, assert_alike):
    assert long_work(10).victim.seen[0] == 24 + 11 + 20 + 7
    two = long_work(11, frames=2)
    assert (changed_frames(two.moved, two.clips).sum(1) <= 2).all()
    alike = long_work(11, shared=True)
    for row, length in enumerate(alike.lengths.tolist()):
        assert_alike(alike.moved[row, :length], alike.clips[row, :length])


def test_attempts_of_a_batch_are_those_of_each_clip_alone(
    clip_hasher, clips8, lengths, random_signs
):
    victim, clips, targets = clip_hasher(torch.float64), clips8.double() / 255, random_signs(5, 16)

    def attacked(rows, frames=6, **more):
        return bit_margin(
            victim,
            Queries(clips[rows, :frames], tuple(IDS[row] for row in rows), lengths[rows]),
            Goal.targeted(targets[rows]),
            budget=Budget(EPS),
            options=BitMarginOptions(steps=14, restarts=1),
            runtime=Runtime(**more),
        )

    together = attacked(list(range(5)))
    torch.testing.assert_close(attacked(list(range(5)), batch_size=2), together, rtol=0, atol=1e-9)
    for row, length in enumerate(lengths.tolist()):
        alone = attacked([row], length)
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("more", [{"restarts": 1}, {"quick": True}])
def test_more_attempts_need_grey_levels(more, conv, random_images, random_signs):
    plain = UpdateRule(lambda *_: 0, lambda *_: 0, steps=1)
    more = {name: plain if name == "quick" else value for name, value in more.items()}
    with pytest.raises(HashprobeError, match="quick attempts and restarts need eight_bit"):
        solve(
            conv(), Queries(random_images(1)), random_signs(1, 16), plain, budget=Budget(), **more
        )


def test_restarts_are_only_for_queries_that_need_them_and_never_hurt(
    conv, random_images, random_signs
):
    images = (random_images(8) * 255).round() / 255
    victim, targets = conv(), random_signs(8, 16, seed=2)
    with torch.no_grad():  # two queries are where they should be from the start
        targets[:2] = torch.where(victim(images[:2]) >= 0, 1.0, -1.0)

    def attacked(restarts, ids=range(8), seed=1):
        counter = PassCounter(8)
        with counter.counting(victim):
            moved = bit_margin(
                victim,
                Queries(images, tuple(ids)),
                Goal.targeted(targets),
                budget=Budget(24 / 255),
                options=BitMarginOptions(steps=3, restarts=restarts),
                seed=seed,
                runtime=Runtime(batch_size=3),
            )
        return moved, judge(victim(moved), targets), counter.backwards

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


def test_random_starts_fill_the_box_and_are_alike_where_frames_are():
    clips = torch.full((2, 4, 3, 8, 8), 0.5)
    for shared in (False, True):
        box = Box.around(clips, Budget(0.1, shared=shared), InputContract(frames=4), eight_bit=True)
        start = random_start(box, (7, 9), 3, 1, 1)
        assert ((start >= box.low[1]) & (start <= box.high[1])).all()
        assert start.min() < 255 * 0.41 and start.max() > 255 * 0.59
        assert (start == start[:, :1]).all() == shared
        assert torch.equal(random_start(box, (7, 9), 3, 1, 1), start)
        for other in (((7, 8), 3, 1, 1), ((7, 9), 4, 1, 1), ((7, 9), 3, 2, 1)):
            assert not torch.equal(random_start(box, *other), start)


@pytest.mark.parametrize("eight_bit", [False, True])
def test_restarts_are_drawn_evenly_from_the_whole_box(eight_bit):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    box = Box.around(images, Budget(0.3), InputContract(), eight_bit=eight_bit)
    for start in range(1, 4):
        for row in range(2):
            drawn = random_start(box, (7, 9), 3, start, row)
            share = (drawn[0] - box.low[row]) / (box.high[row] - box.low[row])
            deciles = torch.histc(share, 10, 0, 1) / share.numel()
            assert share.min() >= 0 and share.max() <= 1
            assert ((deciles > 0.07) & (deciles < 0.13)).all()


def test_restarts_stay_in_the_chosen_frames(
    clip_hasher, clips8, lengths, random_signs, changed_frames, assert_alike
):
    clips = clips8.float() / 255
    for rule in ({"frames": 2}, {"frames": 2, "shared": True}):
        moved = bit_margin(
            clip_hasher(),
            Queries(clips, lengths=lengths),
            Goal.targeted(random_signs(5, 16)),
            budget=Budget(EPS, **rule),
            options=BitMarginOptions(steps=2, restarts=2),
        )
        seen = changed_frames(moved, clips)
        assert (seen.sum(1) <= 2).all()
        if "shared" in rule:
            for row in range(5):
                assert_alike(moved[row][seen[row]], clips[row][seen[row]])


def test_random_starts_leave_padding_alone(clip_hasher, clips8, lengths, random_signs):
    clips = clips8.float() / 255
    for rule in ({}, {"shared": True}, {"frames": 6}, {"frames": 2}):
        moved = bit_margin(
            clip_hasher(),
            Queries(clips, lengths=lengths),
            Goal.targeted(random_signs(5, 16)),
            budget=Budget(EPS, **rule),
            options=BitMarginOptions(steps=2, restarts=2),
        )
        for row, length in enumerate(lengths.tolist()):
            assert torch.equal(moved[row, length:], clips[row, length:]), rule


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", [{}, {"frames": 2}])
def test_networks_of_ones_own_are_tried_by_few_frames_too(
    rule, precision, own_clip_hasher, clips8, lengths, random_signs
):
    victim, targets = own_clip_hasher(), random_signs(5, 16).numpy()
    queries = Queries(clips8.float() / 255, lengths=lengths)
    moved = bit_margin(
        victim,
        queries,
        Goal.targeted(targets),
        budget=Budget(EPS, **rule),
        options=BitMarginOptions(steps=12),
        runtime=Runtime(precision=precision),
    )
    after = encode(victim, Queries(moved, lengths=lengths)).signs()
    clean = encode(victim, queries).signs()
    assert (after != targets).sum() < (clean != targets).sum() / 2


def passes_of(victim, clips, lengths, targets, keeper=None):
    """Passes of each clip in 12 steps within one grey level, where no code is reached."""
    counter = PassCounter(len(clips))
    with counter.counting(victim):
        bit_margin(
            victim,
            Queries(clips, lengths=lengths),
            Goal.targeted(targets),
            budget=Budget(1 / 255),
            options=BitMarginOptions(steps=12),
            runtime=Runtime(watch=keeper),
        )
    return counter


def test_a_clip_of_one_frame_has_no_tenth(clip_hasher, clips8, random_signs):
    one = torch.ones(5, dtype=torch.int64)
    clips = clips8[:, :1].float() / 255
    counter = passes_of(clip_hasher(), clips, one, random_signs(5, 16))
    assert counter.backwards.max() == 10 + 12


def test_a_clip_of_one_frame_among_others_has_no_tenth_either(
    clip_hasher, clips8, lengths, random_signs
):
    victim, clips, targets = clip_hasher(), clips8.float() / 255, random_signs(5, 16)
    passes = []
    for rows in (list(range(5)), [3]):
        keeper = Keeper()
        counter = passes_of(victim, clips[rows], lengths[rows], targets[rows], keeper)
        passes.append((counter.forwards[rows.index(3)], counter.backwards[rows.index(3)]))
        told = keeper.told
        assert told[-1] == (told[-1][1],) * 2 and told == sorted(told, key=lambda x: x[0])
    assert passes[0] == passes[1] and passes[0][1] == 10 + 12


def test_a_code_that_the_last_quick_step_reaches_is_done(clip_hasher, clips8, lengths, sign_rule):
    """The pass that sees it takes no gradient, and no attempt follows."""
    victim, clips = clip_hasher(), clips8.float() / 255
    with torch.no_grad():
        logits = victim(clips, lengths)
    weakest = logits.abs().argsort(1)[:, :4]
    targets = torch.where(logits >= 0, 1.0, -1.0)
    targets.scatter_(1, weakest, -targets.gather(1, weakest))

    def backwards(quick_steps):
        counter = PassCounter(5)
        with counter.counting(victim):
            solve(
                victim,
                Queries(clips, lengths=lengths),
                targets,
                sign_rule(40),
                budget=Budget(EPS, frames=6),
                quick=sign_rule(quick_steps),
            )
        return counter.backwards

    usual = backwards(40)
    reached = set(usual[usual < 41].tolist())
    assert len(reached) > 1
    for passes in reached:
        assert (backwards(passes - 1)[usual == passes] == passes - 1).all()


def test_a_narrow_code_is_not_worth_another_start(clip_hasher, colourful):
    """A clip that may not move far enough for a margin, whose code is right as it is."""
    victim, clips = clip_hasher(), colourful(40, 3).float() / 255
    with torch.no_grad():
        logits = victim(clips)
    targets = torch.where(logits >= 0, 1.0, -1.0)
    _, margin = judge(logits, targets)
    narrow = margin < 0.01
    clips, targets = clips[narrow], targets[narrow]
    counter = PassCounter(len(clips))
    with counter.counting(victim):
        moved = bit_margin(
            victim,
            Queries(clips, lengths=SIX.expand(len(clips))),
            Goal.targeted(targets),
            budget=Budget(1 / 255),
            options=BitMarginOptions(steps=3, restarts=2),
        )
    with torch.no_grad():
        wrong, margin = judge(victim(moved), targets)
    thin = (wrong == 0) & (margin <= MARGIN)
    assert thin.any() and (counter.backwards[thin.numpy()] == 3).all()


def test_one_copy_of_the_victim_is_made_for_all_attempts(clip_hasher, clips8, lengths, monkeypatch):
    made = []
    real = sys.modules["hashprobe.optim.attempts"].in_precision

    def noting(victim, precision):
        made.append(precision)
        return real(victim, precision)

    monkeypatch.setattr("hashprobe.optim.attempts.in_precision", noting)
    bit_margin(
        clip_hasher(),
        Queries(clips8.float() / 255, lengths=lengths),
        Goal.targeted(torch.ones(5, 16)),
        budget=Budget(EPS),
        options=BitMarginOptions(steps=12, restarts=1),
        runtime=Runtime(precision="bfloat16"),
    )
    assert made == ["bfloat16"]
