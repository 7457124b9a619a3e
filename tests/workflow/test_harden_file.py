"""Hardening a network in a file of weights on pictures without labels."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import mobilenet_v3_small

from hashprobe import load_victim
from hashprobe.defenses.trainers._label_free import LabelFree
from hashprobe.errors import HashprobeError
from hashprobe.victims.binarise import Binariser
from hashprobe.workflow.harden_file import harden_file
from hashprobe.workflow.hardening_options import HardenOptions


DEFENCE = LabelFree(steps=1)
SHORT = HardenOptions(epochs=1, batch_size=4)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Weights with what is said of them, a binariser, and a folder of pictures."""
    folder, rng = tmp_path_factory.mktemp("file"), np.random.default_rng(0)
    torch.manual_seed(0)
    torch.save(mobilenet_v3_small(num_classes=12).state_dict(), folder / "net.pth")
    Binariser(mean=rng.normal(0, 0.01, 12)).save(folder / "mean.npz")
    said = "backbone: mobilenet_v3_small\nsize: 32\nmean: [0.5, 0.4, 0.5]\nbinarise: mean.npz\n"
    (folder / "net.yaml").write_text(said)
    (folder / "photos").mkdir()
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (40, 36, 3), np.uint8)).save(
            folder / f"photos/{i}.png"
        )
    return folder


@pytest.fixture(scope="module")
def made(here):
    return harden_file(here / "net.pth", here / "photos", DEFENCE, SHORT, out=here / "hard")


def test_the_hardened_network_is_a_victim_by_itself(here, made):
    before, after = load_victim(here / "net.pth"), load_victim(made)
    assert after.contract == before.contract and after.bits == before.bits == 12
    pixels = torch.rand(6, 3, 32, 32)
    logits = [victim(pixels).detach() for victim in (before, after)]
    assert not torch.equal(*logits)
    assert ((logits[0] >= 0) == (logits[1] >= 0)).float().mean() > 0.8
    assert sorted(path.name for path in made.parent.iterdir() if path.name != ".lock") == [
        "binariser.npz", "hardened.json", "weights.safetensors", "weights.yaml",
    ]  # fmt: skip


def test_it_is_done_once(here, made):
    stamp = made.stat().st_mtime_ns
    again = harden_file(here / "net.pth", here / "photos", DEFENCE, SHORT, out=here / "hard")
    assert again == made and made.stat().st_mtime_ns == stamp
    with pytest.raises(HashprobeError, match="holds another hardening"):
        harden_file(here / "net.pth", here / "photos", LabelFree(), SHORT, out=here / "hard")
    with pytest.raises(HashprobeError, match="holds other files"):
        harden_file(here / "net.pth", here / "photos", DEFENCE, SHORT, out=here / "photos")


def test_what_does_not_fit_is_one_line(hashprobe, here, tmp_path):
    out = tmp_path / "x"
    net, photos = here / "net.pth", here / "photos"
    for words, said in (
        (f"harden {net} --out {out}", "name a folder as --pictures"),
        (f"harden {net} --out {out} --pictures {photos} --defence p2s", "p2s needs labels"),
        (f"harden dhash --out {out} --pictures {photos} --defence label-free", "perceptual hash"),
        (
            f"harden {tmp_path / 'no.pth'} --out {out} --pictures {photos} --defence crdat",
            "no victim",
        ),
        (
            f"harden {net} --out {out} --pictures {tmp_path / 'none'} --defence crdat",
            "no such folder",
        ),
        (f"harden {tmp_path / 'none'} --out {out} --defence crdat", "does not exist"),
    ):
        assert said in hashprobe(words).error
