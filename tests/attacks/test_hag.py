import pytest
import torch

from hashprobe.attacks._hag import HagOptions, hag
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget

from ..golden.victims import queries8, small


def test_it_drives_queries_away_from_their_own_code():
    victim, queries = small(), Queries(queries8("small").float() / 255)
    options = HagOptions(steps=30)
    moved = hag(victim, queries, Goal.untargeted(), budget=Budget(32 / 255), options=options)
    with torch.no_grad():
        changed = (victim(moved) >= 0) != (victim(queries.pixels) >= 0)
    assert changed.float().mean() > 0.3


def test_a_goal_plays_no_part(conv, random_images, random_signs):
    victim, queries = conv(), Queries(random_images(3))
    given = {"budget": Budget(8 / 255), "options": HagOptions(steps=4)}
    aimed = hag(victim, queries, Goal.targeted(random_signs(3, 16)), **given)
    assert torch.equal(aimed, hag(victim, queries, Goal.untargeted(), **given))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 1.0}, "momentum must be from 0 to below 1; got 1.0"),
        ({"momentum": -0.1}, "momentum must be from 0 to below 1; got -0.1"),
        ({"margin": -1.0}, "margin must not be negative; got -1.0"),
        ({"balance": float("nan")}, "balance must not be negative; got nan"),
        ({"step_size": 0.0}, "step_size must be above 0; got 0.0"),
    ],
)
def test_options_out_of_range(settings, message):
    with pytest.raises(HashprobeError, match=message):
        HagOptions(**settings)
