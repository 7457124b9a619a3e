"""The registry of losses, and what holds for every pairwise loss in it."""

import subprocess
import sys
from types import ModuleType
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.training.loop import train
from hashprobe.training.losses.registry import LOSSES, HashingLoss
from hashprobe.training.options import TrainOptions
from hashprobe.victims.image import ImageHasher


PAIRS = [name for name, loss in LOSSES.items() if not loss.centres]


def test_names_import_no_torch():
    code = """
import sys
from hashprobe.training import LOSSES, TrainOptions
from hashprobe.workflow import TRAIN_PRESETS, Network
TrainOptions(loss="csq"), Network(), sorted(LOSSES)
print([name for name in ("torch", "torchvision", "lightning_fabric") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_the_choices_of_the_options_are_the_registry():
    kind = get_type_hints(TrainOptions)["loss"]
    assert get_args(kind) == tuple(LOSSES)
    for name in LOSSES:
        assert TrainOptions(loss=name).loss == name


def test_what_each_loss_compares_and_its_slope():
    assert [name for name, loss in LOSSES.items() if loss.centres] == [
        "csq",
        "dpn",
        "greedyhash",
        "orthohash",
    ]
    assert [name for name, loss in LOSSES.items() if loss.slope_at(600) != 1.0] == ["hashnet"]


def test_a_loss_is_one_function_and_one_entry(monkeypatch, tiny, pictures, as_for_users):
    seen = []

    def toy(codes, memory, similar):
        seen.append((codes.shape, memory.shape, similar.shape, similar.dtype))
        return (codes**2).mean()

    module = ModuleType("a_toy_loss")
    module.toy, module.slope = toy, lambda step: 2.0
    monkeypatch.setitem(sys.modules, "a_toy_loss", module)
    monkeypatch.setitem(LOSSES, "toy", HashingLoss("a_toy_loss:toy", slope="a_toy_loss:slope"))
    images, labels = pictures(12)
    options = TrainOptions(loss="toy", epochs=2, batch_size=6, held_out=0)
    first, last = train(tiny(), images, labels, options)
    assert last.loss < first.loss
    assert seen == [((6, 8), (12, 8), (6, 12), torch.bool)] * 4
    with pytest.raises(HashprobeError, match=r"loss must be one of csq, .*, toy; got 'tay'"):
        TrainOptions(loss="tay")


@pytest.mark.parametrize("loss", [LOSSES[name].load() for name in PAIRS], ids=PAIRS)
def test_gradients_are_those_of_finite_differences(loss, tensors):
    codes, memory, similar = tensors
    codes = torch.where(codes == 0, 0.3, codes)  # the quantisation error jumps at 0
    assert torch.autograd.gradcheck(
        lambda u: loss(u, memory, similar), (codes.requires_grad_(),), atol=1e-8
    )


@pytest.mark.parametrize("loss", [LOSSES[name].load() for name in PAIRS], ids=PAIRS)
def test_the_right_codes_cost_less_than_the_wrong_ones(loss):
    memory = torch.tensor([[1.0] * 8, [-1.0] * 8])
    similar = torch.tensor([[True, False]])
    right, none, wrong = (loss(torch.full((1, 8), v), memory, similar) for v in (0.99, 0.01, -0.99))
    assert right < none < wrong


@pytest.mark.parametrize("loss", [LOSSES[name].load() for name in PAIRS], ids=PAIRS)
def test_single_precision_is_close_to_double(loss, tensors):
    codes, memory, similar = tensors
    single = loss(codes.float(), memory.float(), similar)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(loss(codes, memory, similar).item(), abs=1e-6)


@pytest.mark.parametrize("name", ["dpn", "greedyhash", "orthohash"])
def test_losses_that_draw_to_codes_start_and_learn(name):
    """Two flat classes of pictures are told apart after a few epochs."""
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(40) % 2
    images = torch.randint(0, 90, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    images[labels == 1] += 120
    torch.manual_seed(0)
    hasher = ImageHasher("small", 16, size=8)
    options = TrainOptions(loss=name, epochs=20, batch_size=20, held_out=0, augment="none")
    epochs = train(hasher, images, np.eye(2, dtype=bool)[labels], options)
    assert epochs[-1].loss < 0.8 * epochs[0].loss
    with torch.no_grad():
        codes = hasher(images.float() / 255) >= 0
    apart = (codes[labels == 0].float().mean(0) - codes[labels == 1].float().mean(0)).abs()
    assert apart.mean() > 0.3
