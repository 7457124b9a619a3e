"""An attack within an l2 norm, on linear victims whose reachable codes are known."""

import numpy as np
import pytest
import torch
from torch import nn

from hashprobe import Victim
from hashprobe.attacks.within_l2 import on_levels, within_l2
from hashprobe.defenses.defended import defended
from hashprobe.errors import HashprobeError


@pytest.fixture(scope="module")
def line():
    torch.manual_seed(0)
    return Victim(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), bits=4, size=8).eval()


def pictures(count, seed=0):
    noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return ((0.5 + 0.1 * noise).clamp(0, 1) * 255).round() / 255


def moved_by(images, moved):
    return (moved - images).flatten(1).norm(dim=1)


@pytest.mark.parametrize("norm", [1 / 255, 0.02, 0.3, 5.0])
def test_changes_are_in_8_bits_within_the_norm(line, norm):
    images = pictures(5)
    images[0] = 0.0  # black: half of the changes are cut off
    wanted = -line.codes(images).signs()
    moved = within_l2(line, images, wanted, norm, steps=4, batch_size=2)
    assert (moved_by(images, moved) <= norm * (1 + 1e-6)).all() and moved.min() >= 0
    assert moved.max() <= 1 and torch.equal(moved, (255 * moved).round() / 255)


def test_no_part_of_the_norm_goes_to_values_that_cannot_be_reached(line):
    """Half of the values are black or white: the others take the whole of the norm."""
    images = pictures(8)
    images[:, :, :4] = (images[:, :, :4] > 0.5).float()
    wanted = -line.codes(images).signs()
    moved = within_l2(line, images, wanted, 0.5, steps=10)
    assert (moved_by(images, moved) > 0.97 * 0.5).all()


def test_the_last_of_equal_images_is_kept(line):
    """Codes that are reached without a change: later images have larger margins."""
    images = pictures(8)
    wanted = line.codes(images).signs()
    moved = within_l2(line, images, wanted, 0.3, steps=6)
    margin = [(line(x).detach() * torch.from_numpy(wanted)).amin(1) for x in (images, moved)]
    assert (line.codes(moved).signs() == wanted).all() and (margin[1] > margin[0]).all()


def test_a_bit_turns_over_just_beyond_its_distance(line):
    """One bit at a time: the shortest way is along its weight, and the attack needs little more."""
    images = pictures(20)
    weight = line.network[1].weight.detach()
    one = Victim(nn.Sequential(nn.Flatten(), nn.Linear(192, 1)), bits=1, size=8).eval()
    one.network[1].weight.data, one.network[1].bias.data = weight[:1], -weight[:1].sum(1) / 2
    logit = (images - 0.5).flatten(1) @ weight[0]
    distance = (logit.abs() / weight[0].norm()).numpy()
    wanted, norm = -one.codes(images).signs(), 0.1
    turned = (one.codes(within_l2(one, images, wanted, norm, steps=5)).signs() == wanted)[:, 0]
    assert not turned[distance > norm].any() and turned[distance < 0.85 * norm].all()
    assert 3 < turned.sum() < 17


def test_whole_levels_are_as_near_to_the_ball_as_they_can_be():
    change = torch.randn(4, 3, 8, 8)
    for radius in (0.9, 3.0, 40.0):
        levels = on_levels(change, radius)
        norm = levels.flatten(1).norm(dim=1)
        assert (norm <= radius).all() and torch.equal(levels, levels.round())
        # One more level in one pixel would be too much.
        assert (norm > radius - 1.2).all() and (levels * change >= 0).all()
    assert on_levels(torch.zeros(1, 3, 2, 2), 9.0).abs().sum() == 0


def test_a_vote_of_noisy_copies_is_attacked_through_its_own_draws(line):
    images = pictures(12)
    vote = defended(line, "smoothing", sigma=0.1, votes=31)
    clean = vote.codes(images).signs()
    moved = within_l2(vote, images, -clean, 0.3, steps=8)
    chance = torch.randn(images.shape, generator=torch.Generator().manual_seed(5))
    noise = 0.3 * chance / chance.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    by_noise = (vote.codes((images + noise).clamp(0, 1)).signs() != clean).sum()
    assert (vote.codes(moved).signs() != clean).sum() > 2 * by_noise + 10


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"norm": 0.0}, "must be above 0"),
        ({"norm": float("nan")}, "must be above 0"),
        ({"norm": 0.1, "steps": 0}, "steps must be at least 1"),
        ({"norm": 0.1, "codes": np.ones((2, 5), np.int8)}, "a code of 4 bits each"),
        ({"norm": 0.1, "images": 255 * pictures(2)}, "must lie in [0, 1]"),
        ({"norm": 0.1, "images": torch.rand(2, 3, 8, 8)}, "must be multiples of 1/255"),
        ({"norm": 0.1, "codes": np.zeros((2, 4), np.int8)}, "must be of -1 and +1"),
    ],
)
def test_what_does_not_fit_is_one_line(line, given, said, as_for_users):
    known = {"images": pictures(2), "codes": np.ones((2, 4), np.int8), **given}
    with pytest.raises(HashprobeError) as error:
        within_l2(line, **known)
    assert said in str(error.value)
