"""Hardening a network in a file of weights on pictures without labels."""

import shutil
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import mobilenet_v3_small

from hashprobe import load_victim
from hashprobe.defenses.trainers._label_free import LabelFree
from hashprobe.errors import HashprobeError
from hashprobe.progress import Silent
from hashprobe.storage.files import read_json, write_json
from hashprobe.types import Runtime
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
    with pytest.raises(HashprobeError, match=r"hardening \(defence.steps: 1 there, 10 here"):
        harden_file(here / "net.pth", here / "photos", LabelFree(), SHORT, out=here / "hard")
    with pytest.raises(HashprobeError, match="holds other files"):
        harden_file(here / "net.pth", here / "photos", DEFENCE, SHORT, out=here / "photos")


def test_other_pictures_are_another_hardening(here, made, tmp_path):
    photos = shutil.copytree(here / "photos", tmp_path / "photos")
    again = harden_file(here / "net.pth", photos, DEFENCE, SHORT, out=here / "hard")
    assert again == made  # the same pictures elsewhere
    (photos / "0.png").write_bytes((photos / "1.png").read_bytes())
    with pytest.raises(HashprobeError, match=r"another hardening \(the pictures differ"):
        harden_file(here / "net.pth", photos, DEFENCE, SHORT, out=here / "hard")
    # An earlier version did not write them down.
    early = shutil.copytree(here / "hard", tmp_path / "early")
    record = read_json(early / "hardened.json")
    write_json(early / "hardened.json", {k: v for k, v in record.items() if k != "pictures"})
    assert harden_file(here / "net.pth", photos, DEFENCE, SHORT, out=early).parent == early
    (early / "hardened.json").write_text("[]")
    with pytest.raises(HashprobeError, match=r"hardened.json is damaged"):
        harden_file(here / "net.pth", photos, DEFENCE, SHORT, out=early)


def test_a_training_that_minutes_cut_short_goes_on(here, made, tmp_path, monkeypatch):
    out, lines = tmp_path / "cut", []
    runtime = Runtime(progress=Lines(lines))

    def run(minutes):
        short = replace(SHORT, minutes=minutes)
        given = here / "net.pth", here / "photos", DEFENCE, short
        return harden_file(*given, out=out, runtime=runtime).read_bytes()

    first = run(1e-9)
    assert any("cut short by 1e-09 minutes, in epoch 1 of 1:" in line for line in lines)
    assert (out / "training.pt").exists() and load_victim(out / "weights.safetensors").bits == 12
    lines.clear()
    assert run(1e-9) == first and lines == [f"{out} is hardened already"]

    def kill(*_):
        raise KeyboardInterrupt

    # A kill after the last step, before all is written, is no end and no limit.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(import_module(harden_file.__module__), "keep_options", kill)
        run(9)
    lines.clear()
    whole = run(9)
    assert not any("cut short" in line for line in lines)
    assert whole != first and whole == made.read_bytes()
    assert not (out / "training.pt").exists() and run(None) == whole
    assert read_json(out / "hardened.json") == read_json(made.parent / "hardened.json")


class Lines(Silent):
    """Keeps what is said."""

    def __init__(self, lines):
        self.lines = lines

    def log(self, message):
        self.lines.append(message)


def test_a_refusal_leaves_no_folder_that_blocks_the_right_command(hashprobe, here, tmp_path):
    out, one = tmp_path / "hard", tmp_path / "one"
    one.mkdir()
    shutil.copy(here / "photos/0.png", one)
    net = here / "net.pth"
    words = f"harden {net} --out {out} --defence label-free --defence-option steps=1"
    assert "two pictures or more" in hashprobe(f"{words} --pictures {one}").error
    assert not out.exists()
    said = hashprobe(f"{words} --pictures {here / 'photos'} --bits 99 --binarise sign").error
    assert "99" in said and "12" in said and not out.exists()


def test_a_run_takes_no_options_of_a_file(hashprobe, encoded, here, tmp_path):
    words = f"harden {encoded} --out {tmp_path / 'x'} --defence label-free"
    said = hashprobe(f"{words} --bits 99 --backbone resnet18 --resize-to 9").error
    assert "is a run, which knows how its network is used" in said
    assert said.rstrip().endswith("leave out --bits, --resize-to, --backbone")
    said = hashprobe(f"harden {tmp_path / 'no.pth'} --backbone resnet18 --out {tmp_path / 'x'}")
    assert "no.pth does not exist" in said.error
    said = hashprobe(f"{words} --pictures {here / 'photos'}").error
    assert "is a run: a run is hardened on its own data, so leave out --pictures" in said
    said = hashprobe(
        f"harden {here} --out {tmp_path / 'x'} --defence crdat --pictures {here}"
    ).error
    assert "is a folder: a run is hardened on its own data" in said
    assert not (tmp_path / "x").exists()


def test_what_does_not_fit_is_one_line(hashprobe, here, tmp_path):
    out = tmp_path / "x"
    net, photos = here / "net.pth", here / "photos"
    for words, said in (
        (f"harden {net} --out {out}", "name a folder as --pictures"),
        (f"harden {net} --out {out} --pictures {photos} --defence p2s", "p2s needs labels"),
        (f"harden dhash --out {out} --pictures {photos} --defence label-free", "perceptual hash"),
        (f"harden phash --out {out} --defence label-free", "phash has no weights"),
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
