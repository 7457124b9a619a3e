"""What holds for every perceptual hash: its code is the library's, at every size."""

import copy
import pickle

import numpy as np
import pytest
import torch

from hashprobe import AttackSpec, Budget, Goal, HashprobeError, Queries
from hashprobe.attacks import BitMarginOptions
from hashprobe.crafting import craft
from hashprobe.victims import agreement, encode, load_victim, preflight
from hashprobe.victims.passes import PassCounter
from hashprobe.victims.perceptual import PERCEPTUAL_HASHES, DHash, perceptual_hash
from hashprobe.victims.perceptual.base import above_middle


NAMES = list(PERCEPTUAL_HASHES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "size", [(128, 128), (224, 224), (129, 131), (50, 150), (33, 47), (500, 375)]
)
def test_the_torch_form_gives_the_bits_of_the_library(name, size, photographs):
    assert agreement(perceptual_hash(name), photographs(*size)) > 0.998


@pytest.mark.parametrize("name", NAMES)
def test_gradients_lead_to_other_codes_of_the_library(name, photographs):
    victim, pictures = perceptual_hash(name), photographs(64, 48)[:3]
    before = victim.codes(pictures).signs()
    spec = AttackSpec("bit-margin", BitMarginOptions(steps=10), budget=Budget(16 / 255))
    result = craft(victim, Queries(pictures), Goal.targeted(-before), spec)
    noise = craft(
        victim, Queries(pictures), Goal.untargeted(), AttackSpec("noise", budget=spec.budget)
    )
    moved, by_chance = ((each.codes.signs() != before).mean() for each in (result, noise))
    assert moved > max(0.05, 2 * by_chance)
    assert result.codes == victim.codes(result.images8)


class Lying(DHash):
    """Its outputs have the wrong signs: only the library is right."""

    def outputs(self, images):
        return -super().outputs(images)


def test_judgement_asks_the_library_and_never_the_outputs(photographs):
    victim, pictures = Lying(), photographs(40, 40)
    right = DHash().codes(pictures)
    assert agreement(victim, pictures) < 0.01
    assert encode(victim, Queries(pictures.float() / 255)) == right
    assert victim.encode(pictures).packed == right
    result = craft(victim, Queries(pictures), Goal.untargeted(), AttackSpec("noise"))
    assert np.array_equal(result.clean_codes.data, right.data)
    assert result.codes == DHash().codes(result.images8)


def test_codes_are_those_of_8_bits(photographs):
    victim, pictures = perceptual_hash("dhash"), photographs(40, 40)
    near = (pictures.float() + torch.empty(pictures.shape).uniform_(-0.4, 0.4)).clamp(0, 255) / 255
    assert victim.codes(near) == victim.codes(pictures)


@pytest.mark.parametrize("name", NAMES)
def test_victims_pass_the_preflight_with_gradients(name, photographs):
    found = preflight(perceptual_hash(name), Queries(photographs(30, 40)), gradients=True)
    assert (found.notes, found.writes) == ((), False)


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_inside_inference_mode_leaves_gradients_alone(name):
    victim, pictures = perceptual_hash(name), torch.rand(1, 3, 37, 41)
    with torch.inference_mode():
        victim(pictures)
    pictures.requires_grad_()
    victim(pictures).sum().backward()
    assert pictures.grad.any()


def test_victims_can_be_copied_and_sent():
    victim, pictures = perceptual_hash("pdq"), torch.rand(2, 3, 20, 30)
    for twin in (copy.deepcopy(victim), pickle.loads(pickle.dumps(victim))):
        assert torch.equal(twin(pictures), victim(pictures))


def test_questions_to_the_library_count_as_passes():
    victim, counter = perceptual_hash("ahash"), PassCounter(3)
    with counter.counting(victim):
        encode(victim, Queries(torch.rand(3, 3, 20, 30)))
    assert counter.forwards.tolist() == [1, 1, 1]


def test_pictures_of_several_sizes_are_encoded_in_their_order(photographs):
    victim = perceptual_hash("phash")
    small, large = photographs(40, 30), photographs(30, 50)
    mixed = [picture for pair in zip(small, large, strict=True) for picture in pair]
    codes = victim.encode(mixed, labels=[0, 1] * 6)
    assert codes.packed[::2] == victim.codes(small)
    assert codes.packed[1::2] == victim.codes(large)
    assert (codes.labels.shape, codes.pictures) == ((12, 2), None)
    assert agreement(victim, mixed) == 1


def test_another_hash_does_not_go_on_where_one_stopped(tmp_path, photographs):
    pictures, goal = Queries(photographs(20, 20)), Goal.untargeted()
    craft(perceptual_hash("dhash"), pictures, goal, AttackSpec("noise"), out=tmp_path)
    with pytest.raises(HashprobeError, match="another attack"):
        craft(perceptual_hash("ahash"), pictures, goal, AttackSpec("noise"), out=tmp_path)


def test_a_bit_is_what_is_above_the_median():
    chance = torch.Generator().manual_seed(0)
    values = torch.randint(0, 5, (200, 8), generator=chance).float()  # many ties
    wanted = values.numpy() > np.sort(values.numpy(), axis=1)[:, 3:4]
    assert np.array_equal(above_middle(values).numpy() >= 0, wanted)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda v: v(torch.rand(1, 3, 4, 30)),
            "pdq takes pictures of at least 5x5 pixels; got 4x30",
        ),
        (lambda v: v.codes(torch.rand(1, 3, 30, 4)), "at least 5x5 pixels; got 30x4"),
        (
            lambda v: v(torch.rand(1, 2, 3, 8, 8)),
            r"images \(N, 3, H, W\); got shape \(1, 2, 3, 8, 8\)",
        ),
        (lambda v: v(torch.rand(3, 8, 8)), r"got shape \(3, 8, 8\)"),
        (lambda v: v(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), "got uint8: divide by 255"),
        (lambda v: v(torch.full((1, 3, 8, 8), 2.0)), r"lie in \[0, 1\]; got 2 to 2"),
        (lambda v: v.codes(torch.full((1, 3, 8, 8), float("nan"))), r"lie in \[0, 1\]; got nan"),
    ],
)
def test_wrong_pictures_are_refused(call, match):
    with pytest.raises(HashprobeError, match=match):
        call(perceptual_hash("pdq"))


def test_names_load_victims_and_know_their_contract(tmp_path, monkeypatch):
    assert load_victim("pdq").bits == 256
    with pytest.raises(HashprobeError, match="pdq knows its own contract: leave out bits"):
        load_victim("pdq", bits=64)
    with pytest.raises(HashprobeError, match="perceptual hashes are pdq, phash, dhash, ahash"):
        load_victim("dct")
    with pytest.raises(HashprobeError, match="unknown perceptual hash 'dct': choose from pdq"):
        perceptual_hash("dct")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pdq").write_text("a file of this name comes first")
    with pytest.raises(HashprobeError, match="no TorchScript file"):
        load_victim("pdq")


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setattr("hashprobe.victims.perceptual.base.find_spec", lambda name: None)
    with pytest.raises(HashprobeError, match=r"pdqhash, which is not .* 'hashprobe\[perceptual\]'"):
        perceptual_hash("pdq")
