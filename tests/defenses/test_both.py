"""Two hashes that must agree."""

import numpy as np
import pytest
import torch
from torch import nn

from hashprobe import AttackSpec, Budget, Goal, HashprobeError, PackedCodes, Queries, Victim
from hashprobe.attacks import BitMarginOptions
from hashprobe.codes.packed import hamming
from hashprobe.crafting import craft
from hashprobe.defenses import BothHashes, match_both
from hashprobe.victims import load_victim, preflight


@pytest.fixture(scope="module")
def both():
    return BothHashes(load_victim("pdq"), load_victim("phash"))


def test_a_code_of_both_is_that_of_each(both, photographs):
    codes = both.codes(photographs)
    first, second = both.parts(codes)
    assert first == load_victim("pdq").codes(photographs)
    assert second == load_victim("phash").codes(photographs)
    assert both.encode(photographs).packed == codes


def test_logits_of_both_have_the_same_size(both, photographs):
    logits = both(photographs.float() / 255)
    for part in logits.split([256, 64], dim=1):
        assert torch.allclose(part.abs().mean(1), torch.ones(len(part)))
    signs = np.where(logits.numpy() >= 0, 1, -1)
    assert (signs == both.codes(photographs).signs()).mean() > 0.998


def test_both_are_attacked_as_one_victim(both, photographs):
    assert preflight(both, Queries(photographs), gradients=True).notes == ()
    before = both.codes(photographs)
    spec = AttackSpec("bit-margin", BitMarginOptions(steps=8), budget=Budget(16 / 255))
    result = craft(both, Queries(photographs), Goal.targeted(-before.signs()), spec)
    moved = [
        np.bitwise_count(one.data ^ other.data).sum(1).mean()
        for one, other in zip(both.parts(result.codes), both.parts(before), strict=True)
    ]
    assert moved[0] > 20 and moved[1] > 5


def test_a_match_is_one_of_both(both, photographs):
    codes = both.codes(photographs)
    distances = [hamming(part, part) for part in both.parts(codes)]
    found = match_both(*distances, 120, 30)
    for i in range(len(codes)):
        for j in range(len(codes)):
            near = distances[0][i, j] <= 120, distances[1][i, j] <= 30
            assert found[i, j] == all(near)
    assert found.diagonal().all()


def test_one_of_two_may_have_a_size(photographs):
    net = Victim(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8)), bits=8, size=16)
    assert BothHashes(load_victim("pdq"), net).contract.size == 16
    assert BothHashes(net, load_victim("pdq")).codes(torch.rand(1, 3, 16, 16)).bits == 264
    other = Victim(nn.Flatten(), bits=8, size=20)
    with pytest.raises(HashprobeError, match="of one size; these take 16 px and 20 px"):
        BothHashes(net, other)


def test_wrong_codes_and_distances_are_one_line(both):
    with pytest.raises(HashprobeError, match="have 320 bits; got 8"):
        both.parts(PackedCodes.from_signs(np.ones((1, 8))))
    assert [len(part) for part in both.parts(PackedCodes.empty(320))] == [0, 0]
    ones = np.ones((2, 3), int)
    with pytest.raises(HashprobeError, match=r"shapes \(2, 3\) and \(3, 2\)"):
        match_both(ones, ones.T, 1, 1)
    with pytest.raises(HashprobeError, match="second radius must be at least 0; got -1"):
        match_both(ones, ones, 1, -1)
