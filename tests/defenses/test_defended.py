"""Victims behind a remedy: judged through the real thing, attacked through its gradients."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hashprobe import AttackSpec, Budget, Goal, HashprobeError, Queries, Victim
from hashprobe.attacks import BitMarginOptions
from hashprobe.codes.packed import paired_hamming
from hashprobe.crafting import craft
from hashprobe.defenses import PREPROCESSORS, Defended, Jpeg, Preprocessor, Smoothing, defended
from hashprobe.types import InputContract
from hashprobe.victims import Hasher, encode, load_victim, preflight


NAMES = list(PREPROCESSORS)


@pytest.mark.parametrize("name", NAMES)
def test_every_remedy_passes_the_preflight_in_front_of_any_victim(name, net, photographs):
    pictures = torch.nn.functional.interpolate(photographs.float() / 255, (24, 24))
    for victim, queries in ((net, pictures), (load_victim("pdq"), photographs)):
        found = preflight(defended(victim, name), Queries(queries), gradients=True)
        assert found.notes == ()


def test_the_code_is_the_librarys_after_the_real_remedy(photographs):
    pdq, behind = load_victim("pdq"), defended(load_victim("pdq"), "jpeg", quality=40)
    saved = []
    for pixels in photographs:
        file = BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=40)
        saved.append(np.array(Image.open(file)).transpose(2, 0, 1))
    wanted = pdq.codes(torch.from_numpy(np.stack(saved)))
    assert encode(behind, Queries(photographs.float() / 255)) == wanted != pdq.codes(photographs)
    assert behind.encode(photographs).packed == wanted


def test_a_vote_is_the_majority_of_the_bits(photographs):
    remedy, dhash = Smoothing(0.2, votes=5), load_victim("dhash")
    pixels = photographs.float() / 255
    votes = sum(dhash.codes(remedy.apply(pixels, copy)).signs().astype(int) for copy in range(5))
    assert np.array_equal(defended(dhash, remedy).codes(pixels).signs(), np.sign(votes))


def test_logits_are_the_mean_over_an_attackers_draws(net):
    pixels, remedy = torch.rand(2, 3, 24, 24), Smoothing(attack_draws=6)
    wanted = sum(net(remedy.differentiable(pixels, draw)) for draw in range(6)) / 6
    assert torch.allclose(defended(net, remedy)(pixels), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["jpeg", "resize", "random-resize"])
def test_an_attack_that_knows_the_remedy_gets_further(name, larger):
    pdq, behind = load_victim("pdq"), defended(load_victim("pdq"), name)
    before, queries = pdq.codes(larger), Queries(larger)
    spec = AttackSpec("bit-margin", BitMarginOptions(steps=12), budget=Budget(4 / 255))
    goal = Goal.targeted(-before.signs())
    unaware, adaptive = (craft(each, queries, goal, spec) for each in (pdq, behind))
    assert adaptive.codes == behind.codes(adaptive.images8)
    reached = [
        paired_hamming(codes, before).mean()
        for codes in (behind.codes(unaware.images8), adaptive.codes)
    ]
    assert reached[0] < 0.8 * reached[1]


class Rippled(nn.Module):
    """Linear but for a ripple that is flat at 16 grey levels, and that noise averages out."""

    def __init__(self):
        super().__init__()
        chance = torch.Generator().manual_seed(0)
        linear, ripple = torch.randn(2, 3 * 24 * 24, 16, generator=chance)
        self.register_buffer("linear", linear)
        self.register_buffer("ripple", 0.1 * ripple)

    def forward(self, pixels):
        flat = pixels.flatten(1)
        return (flat - 0.5) @ self.linear + (2 * torch.pi * 15 * flat).cos() @ self.ripple


@pytest.mark.parametrize("name", ["bit-depth", "smoothing"])
def test_gradients_through_the_remedy_are_those_of_what_is_judged(name, photographs):
    """Straight through the few levels, and over draws of noise; the bare ripple misleads."""
    victim = Victim(Rippled(), bits=16, size=24)
    behind = defended(victim, name)
    queries = Queries(torch.nn.functional.interpolate(photographs, (24, 24)))
    goal = Goal.targeted(-behind.codes(queries.pixels).signs())
    spec = AttackSpec("bit-margin", BitMarginOptions(steps=10), budget=Budget(32 / 255))
    unaware, adaptive = (craft(each, queries, goal, spec) for each in (victim, behind))
    wrong = [
        (behind.codes(found.images8).signs() != goal.codes).mean() for found in (unaware, adaptive)
    ]
    assert wrong[1] < 0.5 * wrong[0]


def test_results_are_kept_under_the_remedy(tmp_path, photographs):
    dhash, queries, spec = load_victim("dhash"), Queries(photographs), AttackSpec("noise")
    craft(defended(dhash, "jpeg"), queries, Goal.untargeted(), spec, out=tmp_path)
    craft(defended(dhash, Jpeg(75)), queries, Goal.untargeted(), spec, out=tmp_path)
    with pytest.raises(HashprobeError, match="another attack"):
        craft(defended(dhash, "jpeg", quality=50), queries, Goal.untargeted(), spec, out=tmp_path)


def test_remedies_stand_in_front_of_each_other(photographs):
    dhash, pixels = load_victim("dhash"), photographs.float() / 255
    both = defended(defended(dhash, "median"), "jpeg", quality=30)
    wanted = defended(dhash, "median").codes(Jpeg(30).apply(pixels))
    assert both.codes(pixels) == wanted
    assert [one["name"] for one in both.reading["preprocessors"]] == ["median", "jpeg"]


class OfClips(Hasher):
    """A victim of clips."""

    def __init__(self):
        super().__init__(8, InputContract(size=4, frames=2))


class Identity(Preprocessor):
    """Changes nothing."""

    name = title = "identity"

    def apply(self, pixels, copy=0):
        return pixels

    def differentiable(self, pixels, draw=0):
        return pixels


def test_a_remedy_that_changes_nothing_changes_no_result(net, photographs):
    pictures = torch.nn.functional.interpolate(photographs, (24, 24))
    goal, queries = Goal.targeted(torch.ones(4, 16)), Queries(pictures)
    spec = AttackSpec("bit-margin", BitMarginOptions(steps=4))
    plain, behind = (craft(v, queries, goal, spec) for v in (net, Defended(net, Identity())))
    assert torch.equal(torch.as_tensor(plain.images8), torch.as_tensor(behind.images8))
    assert plain.codes == behind.codes
    assert plain.forwards.tolist() == behind.forwards.tolist()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda v: defended(v, "png"), "unknown preprocessor 'png'"),
        (
            lambda v: defended(v, Jpeg(), quality=3),
            "has its options: leave out quality",
        ),
        (lambda v: defended(v, 75), "preprocessor must be"),
        (lambda v: defended("pdq", "jpeg"), "victim must be a Hasher; got 'pdq'"),
        (
            lambda v: defended(OfClips(), "jpeg"),
            "a victim of images; this one takes clips",
        ),
    ],
)
def test_what_cannot_stand_together_is_one_line(call, match, net):
    with pytest.raises(HashprobeError, match=match):
        call(net)
