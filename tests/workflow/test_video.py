"""The same commands on clips: train, encode, attack, report, and what they leave."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hashprobe.attacks import Attacked, encode
from hashprobe.commands import demo as demo_module
from hashprobe.data import decode, load_moving_digits
from hashprobe.models import ImageHasher, VideoHasher, load_checkpoint
from hashprobe.models.sampling import augment
from hashprobe.runs import Run
from hashprobe.workflow import load_codes, open_victim
from hashprobe.workflow.reporting import query_frames, result_frames


SHAPE = ["--size", 16, "--frames", 16, "--hidden", 32, "--bits", 16]
TRAINING = [
    *SHAPE,
    *("--epochs", 2, "--batch-size", 24, "--optimiser", "adamw", "--lr", 3e-3),
    *("--augment", "none", "--held-out", 24),
]
ATTACK = "--eps 64/255 --queries 5 --seed 1"


@pytest.fixture(scope="module")
def audit(tmp_path_factory, hashprobe):
    """A run on the moving digits; tests must not write into it."""
    run = tmp_path_factory.mktemp("video") / "run"
    said = {"train": hashprobe("train", "moving-digits", *TRAINING, "--out", run)}
    said["encode"] = hashprobe("encode", run)
    said["noise"] = hashprobe(f"attack noise {run} {ATTACK}")
    said["attack"] = hashprobe(f"attack {run} {ATTACK} --steps 15")
    said["report"] = hashprobe("report", run, "--examples", 3)
    assert [answer.code for answer in said.values()] == [0] * 5, said
    return run, said


def test_the_checkpoint_is_a_network_for_clips(audit):
    hasher, card = load_checkpoint(audit[0] / "model")
    assert isinstance(hasher, VideoHasher)
    assert (card.contract.frames, card.contract.size, card.hidden) == (16, 16, 32)
    losses = [event["loss"] for event in Run.open(audit[0]).events("epoch")]
    assert losses[-1] < losses[0]


def test_codes_are_those_of_the_clips(audit):
    """Whatever the batch and the padding: each clip alone gives the code in the file."""
    data = load_moving_digits()
    hasher, _ = load_checkpoint(audit[0] / "model")
    query = load_codes(Run.open(audit[0]), "query")
    for i in range(0, 120, 40):
        clip = data.query.source.read(int(query.positions[i])).float() / 255
        alone = encode(hasher, clip[None], torch.tensor([len(clip)]))
        assert (alone.data == query.codes[i].data).all()


def test_the_attack_moves_clips_and_is_judged_by_their_own_frames(audit):
    victim = open_victim(audit[0])
    attacked = Attacked.load(audit[0] / "attacks" / "bit-margin-64of255-seed1")
    clean = decode(victim.data.query.take(attacked.query_ids), victim.hasher.contract)
    lengths = torch.from_numpy(clean.lengths)
    assert len(set(clean.lengths.tolist())) > 1
    images8 = attacked.images8[:]
    assert (encode(victim.hasher, images8.float() / 255, lengths).data == attacked.codes.data).all()
    content = json.loads(
        (audit[0] / "attacks" / "bit-margin-64of255-seed1" / "evaluation.json").read_text()
    )
    assert content["wrong"]["value"] < content["wrong_clean"]["value"] / 2
    squares = [
        np.sqrt(((a[:n].numpy() / 255.0 - b[:n].numpy() / 255.0) ** 2).mean())
        for a, b, n in zip(images8, clean.images, clean.lengths, strict=True)
    ]
    assert content["perceptibility"]["rmse"] == pytest.approx(np.mean(squares))
    seen = content["perceptibility"]["rmse_frames"]
    assert seen == pytest.approx(np.mean(squares)), "every frame was changed"
    assert f"perceptibility, changed frames {seen:.2e}" in audit[1]["attack"].out
    for query_id, n in zip(attacked.query_ids, clean.lengths, strict=True):
        frames = audit[0] / "attacks" / "bit-margin-64of255-seed1" / "png" / str(query_id)
        assert len(list(frames.glob("*.png"))) == n


def test_the_report_shows_frames_side_by_side(audit):
    text = (audit[0] / "report.html").read_text()
    assert text.count("<article") == 3
    assert "moving-digits" in text and "https:" not in text
    attacked = Attacked.load(audit[0] / "attacks" / "bit-margin-64of255-seed1")
    source = load_moving_digits().query.source
    numbers = re.findall(r"query, frames ([\d, ]+)<", text)
    shown = re.findall(r'src="data:image/png;base64,([^"]*)" alt="Query [^,]*, (\w*)', text)
    for i in range(3):
        clip = source.read(int(attacked.query_ids[i]))
        chosen = list(range(3, len(clip) + 1, 3))
        assert numbers[i] == ", ".join(str(n) for n in chosen)
        for frames, (address, kind) in zip(
            (clip, attacked.images8[i]), shown[2 * i : 2 * i + 2], strict=True
        ):
            seen = np.array(Image.open(io.BytesIO(base64.b64decode(address))).convert("RGB"))
            wanted = torch.cat([frames[n - 1] for n in chosen], dim=2)
            np.testing.assert_array_equal(seen.transpose(2, 0, 1), wanted.numpy(), kind)


@pytest.mark.parametrize(
    ("length", "query", "result"),
    [
        (1, (1,), (1,)),
        (2, (2,), (1, 2)),
        (3, (3,), (1, 2, 3)),
        (8, (3, 6), (1, 4, 8)),
        (40, (3, 6, 9, 12, 15, 18, 21), (1, 20, 40)),
    ],
)
def test_frames_that_stand_for_a_clip(length, query, result):
    assert (query_frames(length), result_frames(length)) == (query, result)


def test_the_same_again_changes_nothing(audit, hashprobe, tmp_path):
    run = shutil.copytree(audit[0], tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*.npz")}
    assert "trained already" in hashprobe("train", "moving-digits", *TRAINING, "--out", run).err
    assert hashprobe("encode", run).out == audit[1]["encode"].out
    assert hashprobe(f"attack {run} {ATTACK} --steps 15").out == audit[1]["attack"].out
    assert {path: path.read_bytes() for path in run.rglob("*.npz")} == before


def test_a_backbone_with_weights_stands_still_unless_it_is_tuned(hashprobe, tmp_path):
    torch.manual_seed(3)
    state = ImageHasher("small", 16, size=16).network.state_dict()
    torch.save(state, tmp_path / "weights.pt")
    words = ("moving-digits", *TRAINING, "--weights", tmp_path / "weights.pt")
    still, tuned = tmp_path / "still", tmp_path / "tuned"
    assert hashprobe("train", *words, "--out", still).code == 0
    assert hashprobe("train", *words, "--tune", "--out", tuned).code == 0
    name = next(key for key in state if state[key].ndim == 4)
    found = [load_file(run / "model" / "model.safetensors") for run in (still, tuned)]
    assert torch.equal(found[0][f"network.{name}"], state[name])
    assert not torch.equal(found[1][f"network.{name}"], state[name])
    fresh = VideoHasher("small", 16, size=16, frames=16, hidden=32).lstm.weight_ih_l0.shape
    assert found[0]["lstm.weight_ih_l0"].shape == fresh


def test_all_frames_of_a_clip_are_augmented_alike():
    frame = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    clips = frame[:, None].expand(5, 4, 3, 8, 8)
    moved = augment(clips, "crop-flip", torch.Generator().manual_seed(0))
    assert moved.shape == clips.shape
    assert (moved == moved[:, :1]).all()
    assert len({clip.numpy().tobytes() for clip in moved}) > 1


def test_kinds_that_do_not_fit_are_refused(hashprobe, tmp_path):
    words = ("train", "moving-digits", "--out", tmp_path / "run")
    said = hashprobe(*words, "--backbone", "squeezenet1_0", "--size", 64)
    assert "ends in a convolution" in said.error
    assert "at least 1; got 0" in hashprobe(*words, "--size", 16, "--frames", 0).error
    assert not (tmp_path / "run").exists()


def test_the_demo_has_clips_too(hashprobe, tmp_path, monkeypatch):
    monkeypatch.setitem(demo_module.CLIPS, "epochs", 1)
    said = hashprobe("demo", "--video", "--out", tmp_path / "run", "--queries", 3, "--steps", 2)
    assert said.code == 0, said.err
    names = ("untouched queries", "Noise", "P2P", "DHTA", "Bit margin")
    assert all(f"t-MAP of {name}" in said.out for name in names)
    assert f"report: {tmp_path / 'run' / 'report.html'}" in said.out
    assert "64/255, which anybody can see" in (tmp_path / "run" / "report.html").read_text()
