"""Stored codes made in every other way are told apart, and each way is named as an option."""

import numpy as np
import pytest
import torch
from torch import nn

import hashprobe as hp
from hashprobe.codes.convention import BitConvention
from hashprobe.data.fitting import fit_image
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract
from hashprobe.victims.binarise import Binariser
from hashprobe.victims.embedding import Embedding
from hashprobe.workflow.code_check import check_codes
from hashprobe.workflow.contract_flags import flags_between


SIZE, BITS = 16, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLUE_FIRST = {"bgr": True, "mean": MEAN[::-1], "std": STD[::-1]}
HALVES = {"mean": 0.5, "std": 0.5, "filter": "bicubic"}


def network(rectified=False):
    """Every pixel counts, at two scales, so that each resize gives other codes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, BITS))
        nn.init.normal_(net[1].weight, std=0.05)
        nn.init.normal_(net[1].bias, std=0.2)
    return nn.Sequential(net, nn.ReLU()) if rectified else net


@pytest.fixture(scope="module")
def victim():
    return hp.Victim(network(), bits=BITS, size=SIZE, mean=MEAN, std=STD)


@pytest.fixture(scope="module")
def pictures():
    """Seven pictures of several sizes, with edges."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(7):
        height, width = 40 + 6 * number, 64 - 2 * number
        rough = rng.integers(0, 256, (3, height // 3 + 1, width // 3 + 1))
        made.append(np.kron(rough, np.ones((3, 3)))[:, :height, :width].astype(np.uint8))
    return made


def codes_of(victim, pictures):
    fitted = [fit_image(torch.from_numpy(each), victim.contract) for each in pictures]
    return victim.encode(torch.stack(fitted)).packed


def other(victim, **said):
    options = {"size": SIZE, "mean": MEAN, "std": STD} | said
    return hp.Victim(victim.network, bits=BITS, **options)


def test_the_same_codes_are_the_same(victim, pictures):
    found = check_codes(victim, codes_of(victim, pictures), pictures)
    assert found.equal and found.agrees and found.remedy is None and not found.candidates
    assert "all 7 pictures" in str(found)


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ({"filter": "bicubic"}, "--filter bicubic"),
        ({"filter": "lanczos"}, "--filter lanczos"),
        ({"filter": "box"}, "--filter box"),
        ({"filter": "nearest"}, "--filter nearest"),
        ({"fit": "crop"}, "--resize shorter"),
        ({"fit": "pad"}, "--resize pad"),
        ({"resize_to": 18}, "--resize-to 18"),
        (BLUE_FIRST, "--bgr --mean 0.406,0.456,0.485 --std 0.225,0.224,0.229"),
        ({"bgr": True}, "--bgr --range 0..1 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"),
        ({"mean": 0, "std": 1}, "--range 0..1 --mean 0 --std 1"),
        ({"mean": 0, "std": 1, "range": "-1..1"}, "--range -1..1 --mean 0 --std 1"),
        ({"mean": 0, "std": 1, "range": "0..255"}, "--range 0..255 --mean 0 --std 1"),
        (HALVES, "--range -1..1 --mean 0 --std 1 --filter bicubic"),
        ({"fit": "crop", "filter": "bicubic"}, "--resize shorter --filter bicubic"),
    ],
)  # fmt: skip
def test_another_input_is_named(said, flags, victim, pictures):
    made = other(victim, **said)
    found = check_codes(victim, codes_of(made, pictures), pictures)
    assert not found.equal and found.remedy is not None
    assert " ".join(found.remedy.flags) == flags
    assert found.remedy.differing == 0
    assert found.remedy.contract == made.contract
    assert flags in str(found)


@pytest.mark.parametrize(
    ("convention", "flags"),
    [
        (BitConvention("little"), ("--bit-order little",)),
        (BitConvention(reversed=True), ("--reversed",)),
        (BitConvention(inverted=True), ("--inverted",)),
        (BitConvention("little", True), ("--bit-order little", "--reversed")),
        (BitConvention("little", inverted=True), ("--bit-order little", "--inverted")),
    ],
)
def test_another_layout_of_the_bits_is_named(convention, flags, victim, pictures):
    stored = convention.read(codes_of(victim, pictures))  # each is its own inverse
    found = check_codes(victim, stored, pictures)
    assert found.remedy.flags == flags and found.remedy.convention == convention
    assert convention.read(stored) == codes_of(victim, pictures)


def test_an_input_and_a_layout_together(victim, pictures):
    stored = BitConvention("little").read(codes_of(other(victim, filter="box"), pictures))
    found = check_codes(victim, stored, pictures)
    assert found.remedy.flags == ("--filter box", "--bit-order little")


def test_the_bit_of_zero(pictures):
    rule = {"bits": BITS, "size": SIZE, "mean": MEAN, "std": STD}
    floats = [hp.Victim(network(True), **rule, zero_bit=bit) for bit in (0, 1)]
    fitted = [fit_image(torch.from_numpy(each), floats[0].contract) for each in pictures]
    stored = hp.PackedCodes.from_signs(floats[1](torch.stack(fitted) / 255).detach().numpy() > 0)
    assert check_codes(floats[0], stored, pictures).equal
    assert check_codes(floats[1], stored, pictures).remedy.flags == ("--zero-bit 0",)


def test_embeddings_are_varied_inside(victim, pictures):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(BITS, 32)).astype(np.float32)
    here, there = (
        Embedding(each, Binariser(matrix=matrix)) for each in (victim, other(victim, filter="box"))
    )
    found = check_codes(here, codes_of(there, pictures), pictures)
    assert found.remedy.flags == ("--filter box",)


def test_other_pictures_are_none_of_it(victim, pictures):
    stored = codes_of(victim, pictures)[np.roll(np.arange(7), 1)]
    found = check_codes(victim, stored, pictures)
    assert found.remedy is None and not found.agrees
    assert "no option makes them equal" in str(found) and len(str(found).splitlines()) == 1
    assert found.to_json()["flags"] is None


def test_few_bits_are_put_down_to_decoders(victim, pictures):
    signs = codes_of(victim, pictures).signs()
    signs[0, 3] *= -1
    found = check_codes(victim, hp.PackedCodes.from_signs(signs), pictures)
    assert found.agrees and not found.equal and found.remedy is None
    assert "other decoders" in str(found)


def test_a_network_that_knows_its_input_is_compared_too(small, pictures):
    victim = small(bits=8).eval()
    stored = BitConvention(inverted=True).read(codes_of(victim, pictures))
    assert check_codes(victim, stored, pictures).remedy.flags == ("--inverted",)


def test_what_does_not_fit_is_refused(victim, pictures):
    stored = codes_of(victim, pictures)
    with pytest.raises(HashprobeError, match="7 codes and 6 pictures"):
        check_codes(victim, stored, pictures[:6])
    with pytest.raises(HashprobeError, match="have 8 bits and the network gives 64"):
        check_codes(victim, hp.PackedCodes.from_signs(np.ones((7, 8))), pictures)
    with pytest.raises(HashprobeError, match="unpack them"):
        BitConvention("little").read(hp.PackedCodes.from_signs(np.ones((7, 12))))


def test_flags_say_what_was_meant():
    """Flags, given as options to a victim, give the contract that they describe."""
    from hashprobe.cli.victim_flags import VictimFlags

    base = InputContract(size=32)
    for there in (
        InputContract(32, MEAN, (1 / 255,) * 3, "box", "pad", 0, True),
        InputContract(32, (0.5,) * 3, (0.5,) * 3, resize_to=40),
        InputContract(32, (0.1, 0.2, 0.3), (0.3, 0.2, 0.1), bgr=True, fit="crop"),
    ):
        given = {"size": 32, "mean": MEAN, "std": STD}
        words = " ".join(flags_between(base, there)).split()
        while words:
            name = words.pop(0).removeprefix("--").replace("-", "_")
            value = True if name == "bgr" else words.pop(0)
            numbers = name in ("mean", "std")
            value = tuple(map(float, value.split(","))) if numbers else value
            given[name] = int(value) if name == "resize_to" else value
        made = VictimFlags(**given).options().contract()
        assert np.allclose(made.mean, there.mean) and np.allclose(made.std, there.std)
        same = ("size", "filter", "fit", "bgr", "resize_to")
        assert [getattr(made, n) for n in same] == [getattr(there, n) for n in same]
