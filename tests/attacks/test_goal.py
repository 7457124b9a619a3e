import numpy as np
import pytest
import torch

from hashprobe.attacks.goal import Goal
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError


SIGNS = np.array([[1, -1, 1, 1, -1, -1, 1, -1], [-1] * 8], np.int8)


@pytest.mark.parametrize(
    "codes",
    [
        SIGNS,
        SIGNS.tolist(),
        SIGNS.astype(float),
        torch.from_numpy(SIGNS),
        torch.from_numpy(SIGNS).double().requires_grad_(),
        PackedCodes.from_signs(SIGNS),
    ],
    ids=["array", "list", "floats", "tensor", "with-gradient", "packed"],
)
def test_codes_of_any_kind_are_the_same_signs(codes):
    goal = Goal.targeted(codes)
    assert goal.codes.dtype == np.int8 and (goal.codes == SIGNS).all()
    assert goal.is_targeted and len(goal) == 2


def test_packed_codes_of_a_length_that_is_no_whole_number_of_bytes():
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (3, 11))
    goal = Goal.targeted(PackedCodes.from_signs(signs))
    assert (goal.codes == signs).all()
    packed = PackedCodes.from_signs(signs)
    assert packed.data.shape == (3, 2)
    # The bytes themselves are no signs, and are refused.
    with pytest.raises(HashprobeError, match="must consist of -1 and"):
        Goal.targeted(packed.data)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (SIGNS * 2, r"must consist of -1 and \+1 .*; got 2"),
        (SIGNS / 2, r"got 0\.5"),
        (np.full((2, 8), np.nan), "got nan"),
        (SIGNS[0], r"must have shape \(Q, K\); got \(8,\)"),
        (torch.ones(1, 2, 8), r"got \(1, 2, 8\)"),
    ],
)
def test_codes_that_do_not_fit(codes, message):
    with pytest.raises(HashprobeError, match=message):
        Goal.targeted(codes)


def test_parts_of_other_lengths_are_refused(as_for_users):
    label, member = np.ones((2, 3), bool), np.zeros((2, 1), np.int64)
    with pytest.raises(HashprobeError, match="got 2 target labels, 1 codes, 2 members"):
        Goal(codes=SIGNS[:1], labels=label, members=member)
    with pytest.raises(HashprobeError, match=r"must consist of -1, \+1"):
        Goal(codes=SIGNS * 2, labels=label, members=member)
    with pytest.raises(HashprobeError, match="2 codes, 3 target images"):
        Goal.targeted(SIGNS, images=Queries(torch.zeros(3, 3, 4, 4)))
    with pytest.raises(HashprobeError, match="2 codes, 1 own labels"):
        Goal.targeted(SIGNS, own_labels=label[:1])


@pytest.mark.parametrize("rows", [[1], np.array([1]), slice(1, 2)])
def test_some_of_a_goal_are_some_of_all_its_parts(rows):
    goal = Goal.targeted(
        SIGNS,
        labels=np.eye(2, dtype=bool),
        members=np.array([[3], [4]]),
        images=Queries(torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 4, 4), (7, 9)),
        own_labels=~np.eye(2, dtype=bool),
    )
    one = goal.take(rows)
    assert (one.codes == SIGNS[1:]).all() and one.members.tolist() == [[4]]
    assert one.labels.tolist() == [[False, True]] and one.own_labels.tolist() == [[True, False]]
    assert one.images.ids == (9,) and (one.images.pixels == 1).all()
    nothing = Goal.untargeted().take(rows)
    assert not nothing.is_targeted and len(nothing) == 0


def test_codes_beside_the_pixels_that_they_belong_to():
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    codes = Goal.targeted(SIGNS).codes_for(pixels, 8)
    assert codes.dtype == torch.float64 and (codes.numpy() == SIGNS).all()
    with pytest.raises(HashprobeError, match="needs target codes: give it a targeted goal"):
        Goal.untargeted().codes_for(pixels, 8)
    with pytest.raises(HashprobeError, match="have 8 bits but the victim gives 16"):
        Goal.targeted(SIGNS).codes_for(pixels, 16)
    with pytest.raises(HashprobeError, match="2 target codes for 1 images"):
        Goal.targeted(SIGNS).codes_for(pixels[:1], 8)
