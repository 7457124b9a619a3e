import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher, frozen_eval
from hashprobe.victims.image import ImageHasher


def test_normalising_inside_is_normalising_outside():
    hasher = ImageHasher("resnet18", 16, size=32).eval()
    images = torch.rand(3, 3, 32, 32)
    mean, std = hasher.contract.mean, hasher.contract.std
    outside = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    torch.testing.assert_close(hasher(images), hasher.network(outside))
    assert not torch.allclose(hasher(images), hasher.network(images))


def test_the_contract_is_not_part_of_the_weights(small):
    assert not [k for k in small().state_dict() if not k.startswith("network.")]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 32, 8), "small takes 8x8 pixels; got 32x8"),
        ((2, 3, 8, 9), "small takes 8x8 pixels; got 8x9"),
        ((2, 1, 8, 8), r"shape \(N, 3, H, W\); got \(2, 1, 8, 8\)"),
        ((2, 4, 8, 8), r"shape \(N, 3, H, W\); got \(2, 4, 8, 8\)"),
        ((3, 8, 8), r"shape \(N, 3, H, W\); got \(3, 8, 8\)"),
    ],
)
def test_images_of_another_shape_are_refused(small, as_for_users, shape, message):
    with pytest.raises(HashprobeError, match=message):
        small().eval()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("value", "seen"),
    [(2.64, "0 to 2.64: already normalised"), (-0.1, "-0.1 to 0"), (float("nan"), "nan to nan")],
)
def test_images_out_of_range_are_refused(small, value, seen):
    images = torch.zeros(2, 3, 8, 8)
    images[1, 2, 3, 4] = value
    with pytest.raises(HashprobeError, match=rf"images must lie in \[0, 1\]; got {seen}"):
        small().eval()(images)


def test_eight_bit_images_are_refused(small, as_for_users):
    images = torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)
    with pytest.raises(HashprobeError, match="got 200 to 200: already normalised, or 8-bit"):
        small().eval()(images)


def test_the_ends_of_the_range_belong_to_it(small):
    images = torch.zeros(1, 3, 8, 8)
    images[0, 0] = 1
    assert small().eval()(images).shape == (1, 8)


@pytest.mark.parametrize("bits", [0, -8, 4097])
def test_a_code_length_that_does_not_fit_is_refused(bits):
    with pytest.raises(HashprobeError, match=f"a code must have 1 to 4096 bits; got {bits}"):
        ImageHasher("small", bits)
    with pytest.raises(HashprobeError, match=f"got {bits}"):
        Hasher(bits, InputContract(size=8))


@pytest.mark.parametrize("bits", [1, 8, 12, 48, 4096])
def test_code_lengths_from_1_to_4096(bits):
    hasher = ImageHasher("small", bits, size=8).eval()
    assert hasher(torch.rand(2, 3, 8, 8)).shape == (2, bits)
    assert hasher.bits == bits


def test_a_hasher_gives_a_gradient_to_the_pixels(small):
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    small().eval()(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_a_frozen_victim_is_given_back_after_an_error(conv):
    victim = conv().train()
    victim.features[1].eval()
    victim.hash.bias.requires_grad_(False)
    modes = [module.training for module in victim.modules()]
    flags = [weight.requires_grad for weight in victim.parameters()]
    with pytest.raises(RuntimeError), frozen_eval(victim):
        assert not any(module.training for module in victim.modules())
        assert not any(weight.requires_grad for weight in victim.parameters())
        raise RuntimeError
    assert [module.training for module in victim.modules()] == modes
    assert [weight.requires_grad for weight in victim.parameters()] == flags
