"""The 3-D networks: padding, recomputation, training, what they are made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision import models

from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.training.loop import train
from hashprobe.training.options import PAPER_IMAGES
from hashprobe.types import Budget, Runtime
from hashprobe.victims.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.clip3d import Conv3dHasher, clip_hasher
from hashprobe.victims.features import hash_layer_input
from hashprobe.victims.image import ImageHasher


LENGTHS = torch.tensor([4, 2, 4, 1])


def build(name="mc3_18", bits=16, dtype=torch.float64, **more):
    torch.manual_seed(0)
    hasher = Conv3dHasher(name, bits, size=8, frames=6, **more)
    for module in hasher.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return hasher.to(dtype).eval()


@pytest.fixture
def clips():
    return torch.rand(
        4, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


def gradient(hasher, clips, lengths=None):
    pixels = clips.clone().requires_grad_()
    logits = hasher(pixels, lengths)
    (given,) = torch.autograd.grad((logits**2).sum(), pixels)
    return logits.detach(), given


@pytest.mark.parametrize("name", ["mc3_18", "r2plus1d_18", "r3d_18"])
def test_a_clip_padded_to_any_length_has_the_same_code_and_gradient(name, clips):
    hasher = build(name).requires_grad_(False)
    padded = torch.cat([clips, torch.rand_like(clips[:, :1])], 1)
    for i, n in enumerate(LENGTHS.tolist()):
        padded[i, n:] = float("nan")
    logits, slopes = gradient(hasher, padded, LENGTHS)
    assert len(logits.unique(dim=0)) == 4
    for i, n in enumerate(LENGTHS.tolist()):
        alone, slope = gradient(hasher, clips[i : i + 1, :n])
        torch.testing.assert_close(logits[i], alone[0], rtol=0, atol=1e-11)
        torch.testing.assert_close(slopes[i, :n], slope[0], rtol=0, atol=1e-11)
        assert not slopes[i, n:].any()
        assert slopes[i, :n].abs().amax((1, 2, 3)).min() > 0


@pytest.mark.parametrize(("chunk", "frozen"), [(1, True), (3, False)])
def test_gradients_computed_again_are_the_plain_ones(chunk, frozen, clips):
    found = []
    for some in (None, chunk):
        hasher = build().requires_grad_(not frozen)
        hasher.chunk = some
        pixels = clips.clone().requires_grad_()
        (hasher(pixels, LENGTHS) ** 2).sum().backward()
        found.append([pixels.grad, *(w.grad for w in hasher.parameters() if not frozen)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def kept_bytes(hasher, clips):
    """What a pass keeps for its backward pass, weights apart."""
    own = {w.data_ptr() for w in (*hasher.parameters(), *hasher.buffers())}
    seen = {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            seen[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = hasher(clips.clone().requires_grad_())
    assert logits.requires_grad
    return sum(seen.values())


def test_little_is_kept_for_the_backward_pass(clips):
    hasher = build().requires_grad_(False)
    few = kept_bytes(hasher, clips)
    hasher.chunk = None
    assert few < kept_bytes(hasher, clips) / 4


def test_it_is_torchvisions_network_on_normalised_clips(clips, tmp_path):
    """Built from its state dict, with the hash layer where the classifier was."""
    torch.manual_seed(2)
    whole = models.get_model("mc3_18", weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pt")
    hasher = Conv3dHasher(
        "mc3_18", 16, weights=tmp_path / "weights.pt", size=8, frames=6, batch_norm=False
    ).eval()
    with torch.no_grad():
        whole.fc = hasher.head
        preset = models.video.MC3_18_Weights.KINETICS400_V1.transforms()
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preset.mean, preset.std))
        expected = whole(((clips.float() - mean) / std).transpose(1, 2))
        torch.testing.assert_close(hasher(clips.float()), expected, rtol=1e-4, atol=1e-5)
    assert (hasher.contract.size, hasher.contract.frames) == (8, 6)
    assert Conv3dHasher("mc3_18", 16).contract.size == 112


def test_features_are_what_the_hash_layer_is_given(clips):
    hasher = build()
    with hash_layer_input(hasher) as seen:
        logits = hasher(clips, LENGTHS)
    assert [len(one) for one in seen] == [4]
    torch.testing.assert_close(hasher.head(seen[0]), logits)


def test_training_learns_and_is_blind_to_padding(clips):
    """Bright clips and dark ones, of different lengths, with anything beyond them."""
    found = []
    labels = np.arange(16)[:, None] % 2 == np.arange(2)
    lengths = torch.arange(16) % 4 + 1
    for beyond in (0, 255):
        draws = torch.Generator().manual_seed(3)
        clips8 = torch.randint(0, 100, (16, 4, 3, 8, 8), generator=draws, dtype=torch.uint8)
        clips8[1::2] += 150
        for row, length in enumerate(lengths.tolist()):
            clips8[row, length:] = beyond
        hasher = build(bits=8, dtype=torch.float32)
        options = replace(
            PAPER_IMAGES,
            epochs=4, batch_size=8, optimiser="adamw", lr=1e-3, augment="none", held_out=0,
        )  # fmt: skip
        history = train(hasher, clips8, labels, options, lengths=lengths)
        found.append([epoch.loss for epoch in history])
    assert found[0] == found[1]
    assert found[0][-1] < found[0][0] / 2


def test_a_checkpoint_brings_it_back(clips, tmp_path):
    hasher = build("r2plus1d_18", dtype=torch.float32)
    card = ModelCard("r2plus1d_18", 16, hasher.contract)
    save_checkpoint(tmp_path, hasher, card)
    again, read = load_checkpoint(tmp_path)
    assert isinstance(again, Conv3dHasher) and read == card
    assert torch.equal(again(clips.float(), LENGTHS), hasher(clips.float(), LENGTHS))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_is_attacked(precision, tmp_path):
    clips8 = (torch.rand(2, 3, 3, 8, 8, generator=torch.Generator().manual_seed(4)) * 255).byte()
    codes = np.random.default_rng(5).choice(np.array([-1, 1], np.int8), (2, 16))
    done = craft(
        build(dtype=torch.float32),
        Queries(clips8, (3, 7), torch.tensor([3, 2])),
        Goal.targeted(codes),
        AttackSpec("bit-margin", BitMarginOptions(steps=3), Budget(64 / 255)),
        runtime=Runtime(precision=precision),
        out=tmp_path,
    )
    assert np.mean(done.codes.signs() != codes) < np.mean(done.clean_codes.signs() != codes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv3dHasher("r3d", 16), "unknown backbone 'r3d': did you mean r3d_18"),
        (lambda: clip_hasher("r3d", 16), "unknown backbone 'r3d': did you mean r3d_18"),
        (lambda: clip_hasher("vgg1", 16), "did you mean vgg11"),
        (lambda: ImageHasher("r3d_18", 16), "r3d_18 takes clips, no single images"),
        (lambda: Conv3dHasher("r3d_18", 16, weights="imagenet"), "no ImageNet weights: use kin"),
        (lambda: Conv3dHasher("r3d_18", 16, weights="no.pt"), "no weights file no.pt"),
        (lambda: VideoHasher("vgg11", 16, weights="kinetics"), "vgg11 has no Kinetics weights"),
        (lambda: Conv3dHasher("r3d_18", 16, frames=0), "frames must be at least 1; got 0"),
        (lambda: Conv3dHasher("r3d_18", 16, size=0), "at least 1 pixel; got 0"),
        (lambda: Conv3dHasher("r3d_18", 0), "a code must have 1 to 4096 bits; got 0"),
        (lambda: build()(torch.zeros(1, 7, 3, 8, 8)), "clips must have 1 to 6 frames; got 7"),
    ],
)
def test_what_does_not_fit_is_refused(make, message, as_for_users):
    with pytest.raises(HashprobeError, match=message):
        make()


def test_kinetics_weights_that_cannot_be_had(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(models, "get_model", offline)
    with pytest.raises(HashprobeError, match=r"Kinetics weights of mc3_18 .*no route to host"):
        Conv3dHasher("mc3_18", 16, weights="kinetics")
