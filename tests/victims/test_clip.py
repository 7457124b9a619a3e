"""The video network: padding, chunks, order, memory of what it is given."""

import copy

import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.victims.clip import VideoHasher, clip_features
from hashprobe.victims.features import hash_layer_input
from hashprobe.victims.image import ImageHasher


def build(bits=16, **more):
    torch.manual_seed(0)
    hasher = VideoHasher("small", bits, size=8, frames=12, hidden=24, **more)
    for module in hasher.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return hasher.double().eval()


@pytest.fixture
def clips():
    return torch.rand(
        3, 7, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


def gradient(hasher, clips, lengths=None):
    pixels = clips.clone().requires_grad_()
    logits = hasher(pixels, lengths)
    (given,) = torch.autograd.grad((logits**2).sum(), pixels)
    return logits.detach(), given


@pytest.mark.parametrize("beyond", [0.0, 0.5, 1.0, float("nan")])
def test_a_clip_padded_to_any_length_has_the_same_code_and_gradient(beyond, clips):
    hasher, lengths = build(), torch.tensor([7, 4, 1])
    for parameter in hasher.parameters():
        parameter.requires_grad_(False)
    alone = [gradient(hasher, clips[i : i + 1, :n]) for i, n in enumerate(lengths.tolist())]
    for more in (0, 1, 5):
        padded = torch.cat([clips, torch.rand_like(clips[:, :more])], 1)
        for i, n in enumerate(lengths.tolist()):
            padded[i, n:] = beyond
        logits, slopes = gradient(hasher, padded, lengths)
        for i, n in enumerate(lengths.tolist()):
            torch.testing.assert_close(logits[i], alone[i][0][0], rtol=0, atol=1e-12)
            torch.testing.assert_close(slopes[i, :n], alone[i][1][0], rtol=0, atol=1e-12)
            assert not slopes[i, n:].any()
            assert slopes[i, :n].abs().amax((1, 2, 3)).min() > 0


@pytest.mark.parametrize("frames", [0, 5, None])
@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("frozen", [True, False])
def test_chunked_gradients_equal_unchunked_ones(chunk, frozen, frames, clips, monkeypatch):
    """Whatever is kept for the backward pass: nothing, some frames, or all."""
    hasher, lengths = build(), torch.tensor([7, 4, 1])
    if frames is not None:
        kept = frames * hasher.frame_bytes(clips[0, :1]) + 1
        monkeypatch.setattr("hashprobe.victims.clip.room", lambda device: kept)
    hasher.network.requires_grad_(not frozen)
    hasher.chunk = None
    whole = gradient(hasher, clips, lengths)
    hasher.chunk = chunk
    parts = gradient(hasher, clips, lengths)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("frames", "passes"), [(0, 12 + 12), (5, 12 + 8), (100, 12)])
def test_frames_are_computed_again_where_there_is_no_room(frames, passes, clips, monkeypatch):
    hasher, lengths = build(), torch.tensor([7, 4, 1])
    hasher.requires_grad_(False)
    hasher.chunk, seen = 2, []
    kept = frames * hasher.frame_bytes(clips[0, :1])
    monkeypatch.setattr("hashprobe.victims.clip.room", lambda device: kept)
    hasher.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    gradient(hasher, clips, lengths)
    assert sum(seen) == passes
    with torch.no_grad():
        seen.clear()
        hasher(clips, lengths)
    assert sum(seen) == 12


def test_weights_get_the_same_gradient_in_chunks(clips, monkeypatch):
    monkeypatch.setattr("hashprobe.victims.clip.room", lambda device: 0)
    found = []
    for chunk in (None, 2):
        hasher = build()
        hasher.chunk = chunk
        (hasher(clips) ** 2).sum().backward()
        found.append([weight.grad for weight in hasher.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_order_of_frames_matters(clips):
    hasher = build()
    assert not torch.allclose(hasher(clips), hasher(clips.flip(1)))


def test_frame_features_are_those_of_the_image_network(clips):
    """The backbone is the image hasher's, without its last layer."""
    hasher = build()
    torch.manual_seed(0)
    image = ImageHasher("small", 8, size=8, batch_norm=False).double().eval()
    state = hasher.network.state_dict()
    missing, unexpected = image.network.load_state_dict(state, strict=False)
    assert len(missing) == 2 and not unexpected  # weight and bias of the last layer
    frames = clips.flatten(0, 1)
    features = hasher.features(frames)
    with hash_layer_input(image) as seen:
        image(frames)
    torch.testing.assert_close(features, seen[0])


def test_codes_of_features_are_the_codes_of_the_clips(clips):
    hasher, lengths = build(), torch.tensor([7, 4, 2])
    features = hasher.features(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    torch.testing.assert_close(hasher.code(features, lengths), hasher(clips, lengths))


def test_training_mode_normalises_over_all_frames(clips):
    """In chunks a backbone that is trained would see other statistics."""
    hasher = build().train()
    twin = copy.deepcopy(hasher)
    twin.chunk = None
    torch.testing.assert_close(hasher(clips), twin(clips))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: (c[0], None), r"clips must have shape \(N, T, 3, 8, 8\); got \(7, 3, 8, 8\)"),
        (lambda c: (c[..., :4], None), r"got \(3, 7, 3, 8, 4\)"),
        (lambda c: (c.repeat(1, 2, 1, 1, 1), None), "clips must have 1 to 12 frames; got 14"),
        (lambda c: (c, torch.tensor([7, 8, 1])), "one for each of 3 clips, from 1 to 7"),
        (lambda c: (c, torch.tensor([7, 0, 1])), "from 1 to 7"),
        (lambda c: (c, torch.tensor([7])), "one for each of 3 clips"),
        (lambda c: (c * 255, None), r"clips must lie in \[0, 1\]; got .*8-bit values"),
    ],
)
def test_clips_that_break_the_contract_are_refused(change, message, clips, as_for_users):
    with pytest.raises(HashprobeError, match=message):
        build()(*change(clips))


def test_networks_that_cannot_be_built():
    with pytest.raises(HashprobeError, match="frames must be at least 1; got 0"):
        VideoHasher("small", 16, size=8, frames=0)
    with pytest.raises(HashprobeError, match="ends in a convolution"):
        VideoHasher("squeezenet1_0", 16, size=64)
    with pytest.raises(HashprobeError, match="a code must have 1 to 4096 bits; got 0"):
        VideoHasher("small", 0)


def test_a_frozen_backbone_that_trains_is_measured_without_a_trace():
    """Neither the running statistics nor the state of chance know of the measurement."""
    hasher = VideoHasher("resnet18", 16, size=32, frames=4)
    hasher.network.requires_grad_(False)
    hasher.train()
    norms = [m for m in hasher.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    hasher(torch.rand(2, 2, 3, 32, 32))
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
    assert all(module.training for module in hasher.modules())


def test_features_of_clips_leave_modes_alone():
    hasher = VideoHasher("small", 16, size=8, frames=4).train()
    hasher.network.eval()
    given = torch.zeros(2, 4, 3, 8, 8, dtype=torch.uint8), torch.tensor([4, 1])
    clip_features(hasher, *given)
    assert hasher.training and not any(m.training for m in hasher.network.modules())
    assert all(weight.requires_grad for weight in hasher.parameters())

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clip_features(hasher, *given, stop)
    assert hasher.training
