"""What every attack in ATTACKS must keep on clips of any lengths: budget, padding, batches."""

import pytest
import torch

from hashprobe.attacks.registry import ATTACKS
from hashprobe.data.queries import Queries
from hashprobe.types import Budget, Runtime

from ..golden.victims import IDS


BUDGET = Budget(64 / 255)
RULES = [{"frames": 2}, {"shared": True}, {"frames": 2, "shared": True}]


@pytest.fixture(params=sorted(ATTACKS))
def attack(request):
    """The name of an attack."""
    return request.param


@pytest.fixture
def run(attack, quick, goal_of):
    """Attacks clips towards codes."""

    def call(victim, queries, codes, *, budget=BUDGET, **runtime):
        return ATTACKS[attack].run(
            victim,
            queries,
            goal_of(attack, queries, codes),
            budget=budget,
            options=quick(attack, 6),
            seed=2,
            runtime=Runtime(**runtime),
        )

    return call


def test_a_batch_of_any_lengths_is_each_clip_alone(
    attack, run, clip_hasher, clips8, lengths, random_signs
):
    """Without its padding: neither other clips nor what comes after the last frame matter."""
    victim, clips, targets = clip_hasher(torch.float64), clips8.double() / 255, random_signs(5, 16)
    queries = Queries(clips, tuple(IDS), lengths)
    together = run(victim, queries, targets)
    pooled = run(victim, queries, targets, batch_size=2)
    torch.testing.assert_close(pooled, together, rtol=0, atol=1e-9)
    assert together.shape == clips.shape
    assert ((together - clips).abs() <= BUDGET.eps + 1e-9).all()
    if attack == "noise":
        return  # a draw for every value: a shorter array takes other ones
    for row, length in enumerate(lengths.tolist()):
        part = slice(row, row + 1)
        one = Queries(clips[part, :length], (IDS[row],), lengths[part])
        alone = run(victim, one, targets[part])
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-9)
        changed = (alone[0] - clips[row, :length]).abs().amax((1, 2, 3))
        assert (changed > 0).all()  # every frame is used


def test_frames_beyond_a_clip_are_left_alone(run, clip_hasher, clips8, lengths, random_signs):
    clips = clips8.double() / 255
    moved = run(clip_hasher(torch.float64), Queries(clips, lengths=lengths), random_signs(5, 16))
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(moved[row, length:], clips[row, length:])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", RULES)
def test_every_attack_keeps_to_the_frames_of_its_budget(
    run, rule, precision, clip_hasher, clips8, lengths, random_signs
):
    clips = clips8.float() / 255
    moved = run(
        clip_hasher(),
        Queries(clips, tuple(IDS), lengths),
        random_signs(5, 16),
        budget=Budget(BUDGET.eps, **rule),
        precision=precision,
    )
    assert moved.min() >= 0 and moved.max() <= 1
    assert ((moved - clips).abs() <= BUDGET.eps + 1e-6).all()
    seen = (moved != clips).flatten(2).any(2)
    for row, length in enumerate(lengths.tolist()):
        assert not seen[row, length:].any()
        assert seen[row].sum() == min(rule.get("frames", length), length)
        if "shared" in rule:
            clean, after = clips[row][seen[row]], moved[row][seen[row]]
            change = after - clean
            common = change.gather(0, change.abs().argmax(0, keepdim=True))
            assert torch.allclose((clean + common).clamp(0, 1), after, rtol=0, atol=1e-6)
