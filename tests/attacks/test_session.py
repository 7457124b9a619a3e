"""Precision, batch size and counts."""

import gc

import hashprobe.optim.session as session_module
import numpy as np
import pytest
import torch
from hashprobe.optim.session import Converted, Session

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks.targets import TargetCodes
from hashprobe.crafting.runner import craft
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.memory import fitting, saved_bytes


def test_converted_copy_holds_bfloat16_and_keeps_the_pixels_in_float32(conv, random_images):
    hasher = conv(dtype=torch.float32)
    before = {name: value.clone() for name, value in hasher.state_dict().items()}
    copied = Converted(hasher)
    weights = list(copied.parameters())
    assert weights and all(w.dtype == torch.bfloat16 and not w.requires_grad for w in weights)
    assert copied.inner.features[1].running_mean.dtype == torch.bfloat16
    assert copied.inner.mean.dtype == torch.float32  # normalisation tells grey levels apart
    images = random_images(4, dtype=torch.float32)
    exact, fast = hasher(images), copied(images)
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(torch.equal(before[name], value) for name, value in hasher.state_dict().items())
    assert all(w.dtype == torch.float32 and w.requires_grad for w in hasher.parameters())


@pytest.mark.parametrize("backbone", ["small", "efficientnet_lite0", "resnet18", "swin_t"])
def test_backbones_convert(backbone):
    hasher = ImageHasher(backbone, 16, size=32).eval()
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    logits = Session(precision="bfloat16").fast(hasher)(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert gradient.dtype == torch.float32 and gradient.abs().sum() > 0
    exact = hasher(images)
    assert (logits - exact).abs().mean() < 0.1 * exact.abs().mean() + 0.01


def test_whole_numbers_among_the_weights_stay_as_they_are(conv):
    hasher = conv(dtype=torch.float32)
    steps = torch.nn.Parameter(torch.arange(300), requires_grad=False)
    hasher.hash.register_parameter("steps", steps)
    assert torch.equal(Converted(hasher).inner.hash.steps, torch.arange(300))


def test_one_copy_is_made_and_only_for_bfloat16(conv):
    hasher, other = conv(dtype=torch.float32), conv(seed=1, dtype=torch.float32)
    assert Session().fast(hasher) is hasher
    session = Session(precision="bfloat16")
    first = session.fast(hasher)
    assert session.fast(hasher) is first and session.fast(other) is not first


def test_a_hasher_that_cannot_be_copied_is_named(conv):
    hasher = conv(dtype=torch.float32)
    hasher.stream = (step for step in range(3))
    with pytest.raises(HashprobeError, match=r"bfloat16 needs a copy of the hasher.*use precision"):
        Session(precision="bfloat16").fast(hasher)


@pytest.mark.parametrize(
    "run, options", [(dhta, DhtaOptions(steps=4)), (bit_margin, BitMarginOptions(steps=4))]
)
def test_gradients_come_from_the_copy_and_success_from_the_original(
    run, options, conv, random_images, random_signs
):
    seen = []

    class Noting(conv):
        def forward(self, images):
            seen.append(self.hash.weight.dtype)
            return super().forward(images)

    hasher = Noting(dtype=torch.float32)
    images, targets = (
        random_images(3, dtype=torch.float32),
        random_signs(3, 16, dtype=torch.float32),
    )
    with torch.no_grad():
        targets[0] = torch.where(hasher(images[:1]) >= 0, 1.0, -1.0)[0]
    seen.clear()
    session = Session(precision="bfloat16")
    moved = run(hasher, images, targets, budget=Budget(8 / 255), options=options, session=session)
    assert moved.dtype == torch.float32
    # The first query starts at its code: only bit_margin leaves early, after a look in float32.
    assert seen.count(torch.float32) == (1 if run is bit_margin else 0)
    assert seen.count(torch.bfloat16) >= 4


def test_a_code_that_only_bfloat16_takes_for_reached_is_not_left_at(linear):
    """256 + 1 is 256 in bfloat16, so a bit that float32 sees as wrong looks right."""
    weight = torch.zeros(8, 192)
    weight[:, 0], weight[:, 1] = 257.0, -256.0
    hasher, images = linear(weight), torch.full((1, 3, 8, 8), 1.0)
    images[0, 0, 0, 0] = 255 / 256  # z = -0.004 in float32, 0 = right in bfloat16
    targets, session = torch.ones(1, 8), Session(precision="bfloat16", batch_size=1)
    images = (images * 255).round() / 255
    with session.counting(hasher, 1):
        moved = bit_margin(
            hasher,
            images,
            targets,
            budget=Budget(4 / 255),
            options=BitMarginOptions(),
            session=session,
        )
    assert (hasher(moved) > 0).all()


def test_craft_in_bfloat16_is_another_attack(conv, tmp_path):
    rng = np.random.default_rng(0)
    images8 = torch.from_numpy(rng.integers(0, 256, (3, 3, 8, 8), dtype=np.uint8))
    codes = rng.choice(np.array([-1, 1], np.int8), (3, 16))
    targets = TargetCodes(np.eye(3, dtype=bool), codes, np.zeros((3, 1), np.int64))
    given = {"budget": Budget(8 / 255), "options": BitMarginOptions(steps=5), "out": tmp_path}
    hasher = conv(dtype=torch.float32)
    out = craft(hasher, images8, [0, 1, 2], targets, precision="bfloat16", **given)
    assert out.recipe["precision"] == "bfloat16" and out.recipe["attack"] == "bit-margin"
    assert (out.forwards >= out.backwards).all() and (out.backwards > 0).all()
    with pytest.raises(HashprobeError, match="precision bfloat16 there, float32 here"):
        craft(hasher, images8, [0, 1, 2], targets, **given)


def test_batch_size_follows_from_memory(conv, random_images):
    hasher, images = conv(dtype=torch.float32), random_images(2, dtype=torch.float32)
    small, large = saved_bytes(hasher, images[:1]), saved_bytes(hasher, images)
    assert 0 < small < large <= 2 * small + 4096
    cpu = torch.device("cpu")
    assert fitting(1, cpu) == 128 and fitting(1 << 40, cpu) == 4
    assert fitting(16 << 20, cpu) == 16
    session = Session()
    assert session.rows(hasher, images[:1]) == 128
    assert Session(batch_size=5).rows(hasher, images[:1]) == 5


def test_passes_that_nobody_attends_are_shared_out(conv, random_images):
    hasher, session = conv(dtype=torch.float32), Session()
    images = random_images(4, dtype=torch.float32)
    with session.counting(hasher, 4):
        hasher(images)
        hasher(images[:2])
        hasher(images[:2])
        hasher(images.requires_grad_()).sum().backward()
        with session.attend([3]):
            hasher(images[:1])
        with session.attend([]):
            hasher(images)
    assert session.forwards.tolist() == [3, 3, 3, 4]
    assert session.backwards.tolist() == [1, 1, 1, 1]
    assert not hasher._forward_hooks


def test_bad_settings(as_for_users):
    with pytest.raises(HashprobeError, match="precision must be float32 or bfloat16; got 'half'"):
        Session(precision="half")
    with pytest.raises(HashprobeError, match="batch size must be at least 1; got 0"):
        Session(batch_size=0)


def test_measuring_what_a_query_needs_leaves_nothing_behind(conv, random_images):
    """The hooks see every tensor that is saved: holding one would hold its graph, and for ever."""
    hasher, images = conv(dtype=torch.float32), random_images(1, dtype=torch.float32)
    kept = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            saved_bytes(hasher, images)
            kept.append(sum(type(each) is torch.Tensor for each in gc.get_objects()))
    finally:
        gc.enable()
    assert kept[0] == kept[1]


def test_a_longer_clip_than_any_before_is_measured_anew(monkeypatch):
    measured = []

    def bytes_of(hasher, clips, lengths):
        measured.append(int(lengths.max()))
        return 1 << 20

    monkeypatch.setattr(session_module, "saved_bytes", bytes_of)
    session, hasher = Session(), VideoHasher("small", 16, size=8, frames=6)
    for length in (2, 1, 4, 3, 4):
        session.rows(hasher, torch.zeros(1, 6, 3, 8, 8), torch.tensor([length]))
    assert measured == [2, 4]
