import dataclasses

import pytest
import torch

from hashprobe.attacks._feature import FeatureOptions, feature
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget


GIVEN = {"budget": Budget(64 / 255), "options": FeatureOptions(steps=6)}


def test_target_clips_have_lengths_of_their_own(clip_hasher, clips8, lengths):
    """What comes after a target's last frame plays no part, and it may be longer than a query."""
    clips = clips8.float() / 255
    aim = torch.cat([clips.flip(-1), clips.flip(-2)[:, :2]], 1)
    longer = torch.tensor([3, 8, 1, 4, 6])
    victim = clip_hasher()
    victim.contract = dataclasses.replace(victim.contract, frames=8)

    def attacked(images, image_lengths):
        goal = Goal.targeted(torch.ones(5, 16), images=Queries(images, lengths=image_lengths))
        return feature(victim, Queries(clips, lengths=lengths), goal, **GIVEN)

    plain = attacked(aim, longer)
    noisy = aim.clone()
    for row, length in enumerate(longer.tolist()):
        noisy[row, length:] = torch.rand(noisy[row, length:].shape)
    assert torch.equal(attacked(noisy, longer), plain)
    other = attacked(aim, longer.clamp(max=2))
    changed = (other != plain).flatten(1).any(1)
    assert changed.tolist() == [True, True, False, True, True]
    with pytest.raises(HashprobeError, match="clips need their lengths"):
        attacked(aim, None)


def test_it_steers_to_features_and_ignores_codes(conv, random_images, random_signs):
    victim, (images, wanted) = conv(), random_images(6).view(2, 3, 3, 8, 8)
    moved = [
        feature(victim, Queries(images), Goal.targeted(codes, images=Queries(wanted)), **GIVEN)
        for codes in (random_signs(3, 16), random_signs(3, 16, seed=1))
    ]
    assert torch.equal(*moved)
    with torch.no_grad():
        after, before, there = (victim.features(x).flatten(1) for x in (moved[0], images, wanted))
    assert ((after - there).norm(dim=1) < 0.8 * (before - there).norm(dim=1)).all()


def test_images_of_the_goal_that_do_not_fit(conv, random_images, random_signs, as_for_users):
    victim, queries, codes = conv(), Queries(random_images(2)), random_signs(2, 16)
    with pytest.raises(HashprobeError, match="the feature attack needs target images"):
        feature(victim, queries, Goal.targeted(codes), **GIVEN)
    with pytest.raises(HashprobeError, match="3 target images for 2 queries"):
        feature(victim, queries, Goal(images=Queries(random_images(3))), **GIVEN)
    dark = Goal(images=Queries(random_images(2) - 2))
    with pytest.raises(HashprobeError, match=r"images must lie in \[0, 1\]; got min -2"):
        feature(victim, queries, dark, **GIVEN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "adam"}, "rule must be sign or pgd; got 'adam'"),
        ({"momentum": 1.1}, "momentum must be from 0 to 1; got 1.1"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"step_size": -1.0}, "step_size must be above 0; got -1.0"),
    ],
)
def test_options_out_of_range(settings, message, as_for_users):
    with pytest.raises(HashprobeError, match=message):
        FeatureOptions(**settings)
    assert (FeatureOptions().n_t, FeatureOptions().tie) == (1, "plus")
