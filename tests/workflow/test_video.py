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

from hashprobe.cli import demo as demo_module
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.clip_sources import VideoFileSource
from hashprobe.data.codec import decode_h264, encode_h264
from hashprobe.data.datasets import moving_digits
from hashprobe.data.datasets.moving_digits import load_moving_digits
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.data.videos import read_video
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measures import mean_average_precision, targeted_mean_average_precision
from hashprobe.evaluation.scoring import wrong_bits
from hashprobe.storage.runs import Run
from hashprobe.training.losses.csq import csq_centres
from hashprobe.training.sampling import augment
from hashprobe.types import InputContract
from hashprobe.victims.checkpoint import load_checkpoint
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.clip3d import Conv3dHasher
from hashprobe.victims.encoding import encode
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow import after_codec as films_module
from hashprobe.workflow import train_step as training
from hashprobe.workflow.commands import attack_command
from hashprobe.workflow.report_step import comparable, report_table
from hashprobe.workflow.results import finished_attack
from hashprobe.workflow.run_io import load_codes, open_run


SHAPE = ["--size", 16, "--frames", 16, "--hidden", 32, "--bits", 16]
TRAINING = [
    *SHAPE,
    *("--epochs", 2, "--batch-size", 24, "--optimiser", "adamw", "--lr", 3e-3),
    *("--augment", "none", "--held-out", 24),
]
CONTRACT = InputContract(size=16, frames=16)
ATTACK = "--eps 64/255 --queries 5 --seed 1"


@pytest.fixture(scope="module", autouse=True)
def few_clips():
    """Less than half of the moving digits: 48 queries, 96 training and 176 database items."""
    with pytest.MonkeyPatch.context() as patch:
        for name, count in (("CLIPS", 40), ("CLIP_QUERIES", 6), ("CLIP_TRAINING", 12)):
            patch.setattr(moving_digits, name, count)
        yield


@pytest.fixture(scope="module")
def audit(once, hashprobe, few_clips):
    """A run on the moving digits; tests must not write into it."""

    def make(folder):
        run = folder / "run"
        said = {"train": hashprobe("train", "moving-digits", *TRAINING, "--out", run)}
        said["encode"] = hashprobe("encode", run)
        said["noise"] = hashprobe(f"attack noise {run} {ATTACK}")
        said["attack"] = hashprobe(f"attack {run} {ATTACK} --steps 15")
        said["report"] = hashprobe("report", run, "--examples", 3)
        assert [answer.code for answer in said.values()] == [0] * 5, said
        return run, said

    return once("video", make)


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
    for i in range(0, 48, 16):
        clip = data.query.source.read(int(query.positions[i])).float() / 255
        alone = encode(hasher, Queries(clip[None], lengths=torch.tensor([len(clip)])))
        assert (alone.data == query.codes[i].data).all()


def test_the_attack_moves_clips_and_is_judged_by_their_own_frames(audit):
    victim = open_run(audit[0])
    attacked = AttackResult.load(audit[0] / "attacks" / "bit-margin-64of255-seed1")
    clean = decode(victim.data.query.take(attacked.query_ids), victim.hasher.contract)
    lengths = torch.from_numpy(clean.lengths)
    assert len(set(clean.lengths.tolist())) > 1
    images8 = attacked.images8[:]
    moved = Queries(images8.float() / 255, lengths=lengths)
    assert encode(victim.hasher, moved) == attacked.codes
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
    some = []
    for a, b, n in zip(images8, clean.images, clean.lengths, strict=True):
        change = (a[:n].numpy() / 255.0 - b[:n].numpy() / 255.0).reshape(n, -1)
        frames = change[change.any(1)]
        some.append(np.sqrt((frames**2).mean()) if len(frames) else 0.0)
    assert seen == pytest.approx(np.mean(some)) and np.mean(some) > np.mean(squares)
    assert f"perceptibility, changed frames {seen:.2e}" in audit[1]["attack"].out
    for query_id, n in zip(attacked.query_ids, clean.lengths, strict=True):
        frames = audit[0] / "attacks" / "bit-margin-64of255-seed1" / "png" / str(query_id)
        assert len(list(frames.glob("*.png"))) == n


def test_few_frames_changed_alike(audit, hashprobe, tmp_path):
    run = shutil.copytree(audit[0], tmp_path / "run")
    shutil.rmtree(run / "attacks")
    said = hashprobe(f"attack {run} {ATTACK} --steps 9 --frames 3 --shared")
    assert said.code == 0, said.err
    assert "64/255 (0.2510) in pixels" in said.err and "the same in at most 3 frames" in said.err
    folder = run / "attacks" / "bit-margin-64of255-3frames-shared-seed1"
    attacked, victim = AttackResult.load(folder), open_run(run)
    clean = decode(victim.data.query.take(attacked.query_ids), victim.hasher.contract).images
    changed = (attacked.images8[:] != clean).flatten(2).any(2).sum(1)
    assert (changed > 0).any() and (changed <= 3).all()
    assert hashprobe("report", run).code == 0
    page = (run / "report.html").read_text()
    assert "--steps 9 --frames 3 --shared" in page or "--frames 3 --shared --steps 9" in page
    assert "64/255, the same in at most 3 frames" in page
    # The strips show the frames that were changed, and none that were not.
    moved = [
        row.nonzero().flatten() + 1 for row in (attacked.images8[:] != clean).flatten(2).any(2)
    ]
    shown = re.findall(r"<figcaption>query, frames? ([\d, ]+)</figcaption>", page)
    assert len(shown) == len(moved) and sum(len(row) == 3 for row in moved) >= 3
    for numbers, row in zip(shown, moved, strict=True):
        if len(row):
            assert numbers == ", ".join(str(int(n)) for n in row)


def test_many_clips_are_learnt_from_out_of_a_file(audit, hashprobe, tmp_path, monkeypatch):
    """With the same result, and nothing of it left."""
    where, decode_here = [], training.decode
    monkeypatch.setattr(training, "CLIP_BYTES", 0)
    monkeypatch.setattr(
        training, "decode", lambda *a, **k: (where.append(k["into"]), decode_here(*a, **k))[1]
    )
    run = tmp_path / "run"
    assert hashprobe("train", "moving-digits", *TRAINING, "--out", run).code == 0
    assert where == [run / "pixels.npy"] and not where[0].exists()
    weights = [load_file(path / "model" / "model.safetensors") for path in (audit[0], run)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_images_have_no_frames_to_choose_from(hashprobe, tmp_path):
    words = ("--size", 8, "--bits", 8, "--epochs", 1, "--batch-size", 125)
    assert hashprobe("train", "digits", *words, "--out", tmp_path / "run").code == 0
    assert hashprobe("encode", tmp_path / "run").code == 0
    said = hashprobe("attack", tmp_path / "run", "--frames", 2, "--queries", 2)
    assert "frames and shared are for clips; got images" in said.error
    assert not list((tmp_path / "run" / "attacks").glob("*/attack.json"))
    assert "must be at least 1; got 0" in hashprobe("attack", tmp_path / "run", "--frames", 0).error


@pytest.fixture
def attacked(audit, tmp_path):
    """A copy of the run, and the folder of its stronger attack."""
    pytest.importorskip("av")
    run = shutil.copytree(audit[0], tmp_path / "run")
    return run, run / "attacks" / "bit-margin-64of255-seed1"


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("mp4/*")}


def test_every_adversarial_clip_is_an_mp4_too(audit):
    pytest.importorskip("av")
    folder = audit[0] / "attacks" / "bit-margin-64of255-seed1"
    attacked = AttackResult.load(folder)
    clean = decode(load_moving_digits().query.take(attacked.query_ids), CONTRACT)
    assert len(list(folder.glob("mp4/*"))) == 5
    for row, query_id in enumerate(attacked.query_ids):
        clip = attacked.images8[row][: clean.lengths[row]]
        assert (folder / "mp4" / f"{query_id}.mp4").read_bytes() == encode_h264(clip, 23)
        assert read_video(folder / "mp4" / f"{query_id}.mp4").shape == clip.shape
    assert "codec" not in (folder / "attack.json").read_text()
    assert "codec" not in (folder / "evaluation.json").read_text()


def test_clips_are_judged_after_a_real_codec(attacked, hashprobe):
    """From the files alone: decoded, encoded and ranked, they give what was said."""
    run, folder = attacked
    said = hashprobe(f"attack {run} {ATTACK} --steps 15 --codec h264 --crf 30")
    assert said.code == 0, said.err
    assert "5 of 5 queries are finished already" in said.err
    result, victim = finished_attack(folder).evaluation, open_run(run)
    made = AttackResult.load(folder)
    films = [read_video(folder / "mp4" / f"{query_id}.mp4") for query_id in made.query_ids]
    codes = PackedCodes.concatenate([code_of(victim.hasher, film) for film in films])
    targets = PackedCodes.from_logits(made.target_codes)
    assert result.wrong_codec.value == wrong_bits(codes, targets).value
    against = victim.database.codes, made.target_labels, victim.database.labels
    found = targeted_mean_average_precision(codes, *against)
    assert result.achieved_codec.value == found.value
    assert "round:h264-crf30" in result.achieved_codec.signature
    assert f"t-MAP after the codec          {result.achieved_codec}" in said.out
    assert f"bits wrong after the codec     {result.wrong_codec}" in said.out
    assert f"MAP untouched, after the codec {result.map_codec}" in said.out
    # The codec is not mild: other codes than those of the PNG files.
    assert (codes.data != made.codes.data).any()
    clips = [victim.data.query.source.read(int(i)) for i in made.query_ids]
    back = [decode_h264(encode_h264(c, 30), len(c), *c.shape[2:]) for c in clips]
    codes = PackedCodes.concatenate([code_of(victim.hasher, clip) for clip in back])
    rows = np.searchsorted(victim.query.positions, made.query_ids)
    own = victim.database.codes, victim.query.labels[rows], victim.database.labels
    assert result.map_codec.value == mean_average_precision(codes, *own).value


def test_a_codec_is_in_the_report_and_in_the_command_that_leads_there(attacked, hashprobe):
    run, folder = attacked
    before = finished_attack(folder)
    assert hashprobe(f"attack {run} {ATTACK} --steps 15 --codec h264 --crf 30").code == 0
    finished = finished_attack(folder)
    assert attack_command(run, finished).count("--codec h264 --crf 30") == 1
    assert "--codec" not in attack_command(run, before)
    assert comparable(before, finished), "curves are of the pixels before the codec"
    assert hashprobe("report", run, "--examples", 0).code == 0
    assert "t-MAP after H.264" in (run / "report.html").read_text()
    assert "| t-MAP after H.264 |" in report_table(run)
    assert "h264-crf30" in report_table(run)
    # Judged without again, the files are at the usual crf again and nothing speaks of a codec.
    assert hashprobe(f"attack {run} {ATTACK} --steps 15").code == 0
    assert "H.264" not in report_table(run)
    assert finished_attack(folder).record.protocol == before.record.protocol


def test_a_film_that_fails_costs_no_result_where_it_is_not_judged(attacked, hashprobe, monkeypatch):
    run, folder = attacked
    shutil.rmtree(folder / "mp4")

    def refuse(clip, crf):
        raise HashprobeError("H.264 of a clip of 5x3x16x16: no such size")

    monkeypatch.setattr(films_module, "encode_h264", refuse)
    said = hashprobe(f"attack {run} {ATTACK} --steps 15")
    assert said.code == 0 and said.err.count("no mp4 file of query") == 5
    assert finished_attack(folder) is not None and not (folder / "mp4").exists()
    said = hashprobe(f"attack {run} {ATTACK} --steps 15 --codec h264")
    assert said.error == "H.264 of a clip of 5x3x16x16: no such size"


def test_only_missing_and_damaged_mp4_files_are_written_again(attacked, hashprobe):
    run, folder = attacked
    before = stamps(folder)
    contents = {path.name: path.read_bytes() for path in folder.glob("mp4/*")}
    first, second, *others = sorted(before)
    (folder / "mp4" / first).unlink()
    (folder / "mp4" / second).write_bytes(b"cut off")
    assert hashprobe(f"attack {run} {ATTACK} --steps 15").code == 0
    after = stamps(folder)
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    assert {path.name: path.read_bytes() for path in folder.glob("mp4/*")} == contents


def test_overwriting_throws_the_films_of_the_other_attack_away(attacked, hashprobe):
    run, folder = attacked
    (folder / "mp4" / "notes.mp4").write_bytes(b"somebody's own")
    words = f"attack {run} --eps 64/255 --seed 1 --queries 3 --steps 15 --overwrite"
    assert hashprobe(words).code == 0
    names = {path.name for path in folder.glob("mp4/*")}
    assert names == {"notes.mp4", *(f"{i}.mp4" for i in AttackResult.load(folder).query_ids)}


def test_without_pyav_there_are_no_films_and_no_judgement_after_a_codec(
    attacked, hashprobe, monkeypatch
):
    run, folder = attacked
    shutil.rmtree(folder / "mp4")
    monkeypatch.setattr(f"{encode_h264.__module__}.find_spec", lambda name: None)
    said = hashprobe(f"attack {run} {ATTACK} --steps 15")
    assert said.code == 0
    line = "no mp4 files of the adversarial clips: H.264 needs av: pip install 'hashprobe[video]'"
    assert said.err.count(line) == 1
    assert not (folder / "mp4").exists()
    (folder / "attack.json").unlink()
    said = hashprobe(f"attack {run} {ATTACK} --steps 15 --codec h264")
    assert said.error == "H.264 needs av: pip install 'hashprobe[video]'"
    assert not (folder / "attack.json").exists(), "refused before anything is attacked"


@pytest.fixture
def films(tmp_path):
    """A folder of video files, twelve of each of two classes."""
    pytest.importorskip("av")
    rng = np.random.default_rng(0)
    for label, grey in (("dark", 40), ("light", 200)):
        (tmp_path / "films" / label).mkdir(parents=True)
        for i in range(12):
            noise = rng.integers(-30, 31, (4, 3, 16, 16))
            clip = torch.from_numpy((grey + noise).astype(np.uint8))
            (tmp_path / "films" / label / f"{i}.mp4").write_bytes(encode_h264(clip))
    return tmp_path / "films"


def test_every_command_takes_a_cache_of_clips(films, hashprobe, tmp_path, monkeypatch):
    run, cache = tmp_path / "run", ("--cache", tmp_path / "cache", "--workers", 0)
    shape = ("--size", 8, "--frames", 4, "--hidden", 8, "--bits", 8, "--epochs", 1)
    words = ("videofolder", "--root", films, "--queries", 3, "--training", 4, *shape)
    reads = []
    read = VideoFileSource.read
    monkeypatch.setattr(
        VideoFileSource, "read", lambda self, i: (reads.append(self.paths[i]), read(self, i))[1]
    )
    assert hashprobe("train", *words, "--batch-size", 4, "--out", run, *cache).code == 0
    assert len(reads) == 8
    assert hashprobe("encode", run, *cache).code == 0
    assert len(reads) == len(set(reads)) == 24
    attack = ("attack", "noise", run, "--queries", 4, "--minimum", 1)
    assert hashprobe(*attack, *cache).code == 0
    assert len(reads) == 24, "the attack found its queries in the cache"
    assert len(list((tmp_path / "cache").iterdir())) == 24
    kept = (run / "codes" / "query.npz").read_bytes()
    shutil.rmtree(run / "codes")
    assert hashprobe("encode", run, *cache).code == 0
    assert (len(reads), (run / "codes" / "query.npz").read_bytes()) == (24, kept)
    assert hashprobe(*attack, "--workers", 0, "--name", "plain").code == 0
    assert len(reads) == 28


def test_a_cache_that_cannot_be_written_is_refused(films, hashprobe, tmp_path):
    (tmp_path / "file").write_text("")
    words = ("train", "videofolder", "--root", films, "--out", tmp_path / "run", "--size", 8)
    said = hashprobe(*words, "--queries", 3, "--training", 4, "--cache", tmp_path / "file")
    assert said.error.startswith(f"no cache of clips: {tmp_path / 'file'} is in the way")


def code_of(hasher, clip):
    """The code of one clip of whole numbers."""
    return encode(hasher, Queries(clip[None].float() / 255, lengths=torch.tensor([len(clip)])))


def test_the_report_shows_frames_side_by_side(audit):
    text = (audit[0] / "report.html").read_text()
    assert text.count("<article") == 3
    assert "moving-digits" in text and "https:" not in text
    attacked = AttackResult.load(audit[0] / "attacks" / "bit-margin-64of255-seed1")
    source = load_moving_digits().query.source
    numbers = re.findall(r"query, frames ([\d, ]+)<", text)
    shown = re.findall(r'src="data:image/png;base64,([^"]*)" alt="Query [^,]*, (\w*)', text)
    for i in range(3):
        clip = source.read(int(attacked.query_ids[i]))
        chosen = list(range(3, len(clip) + 1, 3))
        changed = (attacked.images8[i][: len(clip)] != clip).flatten(1).any(1).nonzero() + 1
        if len(changed) and not set(chosen) <= set(changed.flatten().tolist()):
            chosen = changed.flatten().tolist()[:7]
        assert numbers[i] == ", ".join(str(n) for n in chosen)
        for frames, (address, kind) in zip(
            (clip, attacked.images8[i]), shown[2 * i : 2 * i + 2], strict=True
        ):
            seen = np.array(Image.open(io.BytesIO(base64.b64decode(address))).convert("RGB"))
            wanted = torch.cat([frames[n - 1] for n in chosen], dim=2)
            np.testing.assert_array_equal(seen.transpose(2, 0, 1), wanted.numpy(), kind)


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


def test_a_3d_network_goes_the_same_way(hashprobe, tmp_path):
    """Trained by centres, which the checkpoint keeps; the LSTM's width and --tune say nothing."""
    run, words = tmp_path / "run", ("moving-digits", "--backbone", "mc3_18", "--bits", 16)
    size = ("--size", 8, "--frames", 4, "--loss", "csq", "--seed", 3)
    training = ("--epochs", 1, "--batch-size", 120, "--augment", "none", "--lr", 0.001)
    assert hashprobe("train", *words, *size, *training, "--out", run).code == 0
    hasher, card = load_checkpoint(run / "model")
    assert isinstance(hasher, Conv3dHasher)
    assert (card.contract.frames, card.contract.size, card.hidden) == (4, 8, 0)
    centres = csq_centres(8, 16, seed=3)
    assert card.training["centres"] == [np.packbits(row > 0).tobytes().hex() for row in centres]
    assert "MAP" in hashprobe("encode", run).out
    for attack in ("bit-margin", "feature"):
        said = hashprobe(f"attack {attack} {run} --eps 64/255 --queries 2 --steps 2")
        assert said.code == 0, said.err
    again = AttackResult.load(run / "attacks" / "bit-margin-64of255-seed0")
    query = open_run(run).data.query.take(again.query_ids)
    lengths = torch.from_numpy(decode(query, card.contract).lengths)
    moved = Queries(again.images8[:].float() / 255, lengths=lengths)
    assert encode(hasher, moved) == again.codes


def test_all_frames_of_a_clip_are_augmented_alike():
    frame = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    clips = frame[:, None].expand(5, 4, 3, 8, 8)
    moved = augment(clips, "crop-flip", torch.Generator().manual_seed(0))
    assert moved.shape == clips.shape
    assert (moved == moved[:, :1]).all()
    assert len({clip.numpy().tobytes() for clip in moved}) > 1


def test_kinds_that_do_not_fit_are_refused(hashprobe, tmp_path):
    words = ("train", "moving-digits", "--out", tmp_path / "run")
    for name in ("--backbone", "r3d_19"), ("--backbone", "r3d_18", "--weights", "imagenet"):
        assert "r3d_18" in hashprobe(*words, *name, "--size", 16).error
    images = ("train", "digits", "--out", tmp_path / "run")
    assert "takes clips" in hashprobe(*images, "--backbone", "r3d_18").error
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


def test_clips_have_no_certificate(audit, hashprobe):
    run, _ = audit
    assert "certify is for runs of images" in hashprobe("certify", run).error
    assert not (run / "certify").exists()
