"""Encoding a run: kills, bad images, precision, clips, workers."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hashprobe.codes.packed import PackedCodes
from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.data.sources import ArraySource, BadImage, FileSource, Split
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_npz
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.types import Runtime
from hashprobe.victims import ImageHasher
from hashprobe.victims.clip3d import clip_hasher
from hashprobe.victims.encoding import encode
from hashprobe.workflow import encode_step as encoding
from hashprobe.workflow.network import Network
from hashprobe.workflow.train_step import train_run


class Killed(Exception):
    """Stands for a process that dies."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An encoded run of the digits; tests must not write into it."""
    folder = tmp_path_factory.mktemp("encoding") / "digits"
    options = TrainOptions(
        epochs=2, batch_size=25, optimiser="adamw", lr=3e-3, augment="none", held_out=0
    )
    train_run(folder, DataOptions("digits"), Network("small", 16, size=8), options)
    encoding.encode_run(folder)
    return folder


@pytest.fixture
def trained(whole, tmp_path):
    """A run before anything was encoded."""
    folder = shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(folder / "codes")
    return folder


@pytest.fixture
def often(monkeypatch):
    """Every batch is kept at once."""
    monkeypatch.setattr(encoding, "PART_SECONDS", -1.0)


def dying(monkeypatch, after):
    """Encodes some batches and dies; counts what was encoded."""
    real, seen = encoding.encode, []

    def count(hasher, queries):
        if len(seen) == after:
            raise Killed
        seen.append(len(queries))
        return real(hasher, queries)

    monkeypatch.setattr(encoding, "encode", count)
    return seen


@pytest.mark.parametrize("after", [1, 3, 5, 30])
def test_goes_on_where_it_was_killed(trained, whole, often, monkeypatch, after):
    with monkeypatch.context() as context:
        first = dying(context, after)
        with pytest.raises(Killed):
            encoding.encode_run(trained, runtime=Runtime(batch_size=50))
    assert not Run.open(trained).finished("codes/database.npz")
    with monkeypatch.context() as context:
        second = dying(context, 10**6)
        encoding.encode_run(trained, runtime=Runtime(batch_size=64))
    assert sum(first) + sum(second) == 200 + 1347
    for role in ("query", "database"):
        name = f"codes/{role}.npz"
        assert (trained / name).read_bytes() == (whole / name).read_bytes()
        assert not (trained / "codes" / f"{role}.parts").exists()


def test_parts_of_another_network_or_precision_are_not_taken_over(
    trained, whole, often, monkeypatch
):
    with monkeypatch.context() as context:
        dying(context, 10)
        with pytest.raises(Killed):
            encoding.encode_run(trained, runtime=Runtime(batch_size=50, precision="bfloat16"))
    assert list((trained / "codes" / "database.parts").iterdir())
    with pytest.raises(HashprobeError, match=r"query split .* in bfloat16: go on with --precision"):
        encoding.encode_run(trained, runtime=Runtime(batch_size=50))
    (trained / "codes" / "query.npz").unlink()
    with monkeypatch.context() as context:
        seen = dying(context, 10**6)
        encoding.encode_run(trained, runtime=Runtime(batch_size=50))
    assert sum(seen) == 200 + 1347
    ours, theirs = (read_npz(run / "codes/database.npz") for run in (trained, whole))
    np.testing.assert_array_equal(ours["codes"], theirs["codes"])


def test_the_precision_of_codes_that_were_removed_does_not_bind(trained, often, monkeypatch):
    encoding.encode_run(trained)
    shutil.rmtree(trained / "codes")
    with monkeypatch.context() as context:
        dying(context, 2)
        with pytest.raises(Killed):
            encoding.encode_run(trained, runtime=Runtime(batch_size=200, precision="bfloat16"))
    encoding.encode_run(trained, runtime=Runtime(precision="bfloat16"))


def test_a_damaged_part_is_encoded_again(trained, often, monkeypatch):
    with monkeypatch.context() as context:
        dying(context, 10)
        with pytest.raises(Killed):
            encoding.encode_run(trained, runtime=Runtime(batch_size=50))
    parts = sorted((trained / "codes" / "database.parts").iterdir())
    parts[2].write_bytes(parts[2].read_bytes()[:100])
    with monkeypatch.context() as context:
        seen = dying(context, 10**6)
        encoding.encode_run(trained, runtime=Runtime(batch_size=50))
    assert sum(seen) == 1347 - 100


def test_bfloat16_turns_over_few_bits(trained, whole):
    encoding.encode_run(trained, runtime=Runtime(precision="bfloat16"))
    ours, theirs = (read_npz(run / "codes/database.npz") for run in (trained, whole))
    np.testing.assert_array_equal(ours["positions"], theirs["positions"])
    turned = np.bitwise_count(ours["codes"] ^ theirs["codes"]).mean() / 8
    assert 0 < turned < 0.02
    assert Run.open(trained).events("encoded split")[-1]["precision"] == "bfloat16"


class Holed:
    """Twenty pictures, some of which cannot be decoded."""

    def __len__(self):
        return 20

    def read(self, position):
        if position in (3, 4, 9, 19):
            raise BadImage(f"{position}.png", "cut off")
        return torch.full((3, 8, 8), 10 * position, dtype=torch.uint8)

    def fingerprint(self, position):
        return bytes([position])


@pytest.mark.parametrize("start", [0, 4, 10, 19])
def test_bad_images_are_left_out_or_end_it_all(often, start):
    names = tuple(map(str, range(20)))
    split = Split(names, Holed(), np.ones((20, 1), dtype=bool))
    hasher = ImageHasher("small", 8, size=8).eval()

    def encoded(skip_bad):
        runtime = Runtime(batch_size=5, workers=0, skip_bad=skip_bad)
        return encoding.encode_parts(hasher, split, start, runtime, lambda done, total: None)

    parts = list(encoded(skip_bad=True))
    good = [i for i in range(start, 20) if i not in (3, 4, 9, 19)]
    assert np.concatenate([part.positions for part in parts]).tolist() == good
    codes = PackedCodes.concatenate([part.codes for part in parts])
    assert len(codes) == len(good)
    if good:
        assert codes == encode(hasher, Queries(torch.stack([Holed().read(i) for i in good]) / 255))
    bad = dict.fromkeys(failure for part in parts for failure in part.bad)
    assert list(bad) == [f"{i}.png: cut off" for i in (3, 4, 9, 19) if i >= start]
    assert parts[-1].stop == 20
    kept = []
    with pytest.raises(HashprobeError, match=r"cut off.*other images? (is|are) bad"):
        kept.extend(encoded(skip_bad=False))
    assert all(part.stop <= 3 or start > 4 for part in kept)  # nothing after the first bad one
    assert not any(part.bad for part in kept)


@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_clips_are_encoded_with_their_lengths(often, batch_size):
    draws = torch.Generator().manual_seed(1)
    clips = tuple(
        torch.randint(256, (frames, 3, 32, 32), generator=draws).byte()
        for frames in (3, 1, 5, 2, 4)
    )
    split = Split(tuple("abcde"), ClipArraySource(clips), np.ones((5, 1), dtype=bool))
    torch.manual_seed(0)
    hasher = clip_hasher("small", 8, size=32, frames=4, hidden=8).eval()
    runtime = Runtime(batch_size=batch_size)
    parts = list(encoding.encode_parts(hasher, split, 0, runtime, lambda done, total: None))
    codes = PackedCodes.concatenate([part.codes for part in parts])
    pixels = decode(split, hasher.contract)
    lengths = torch.from_numpy(pixels.lengths)
    assert lengths.tolist() == [3, 1, 4, 2, 4]
    with torch.no_grad():
        logits = hasher(pixels.images / 255, lengths)
    assert codes == PackedCodes.from_logits(logits)
    assert [len(part.positions) for part in parts] == ([5] if batch_size is None else [1] * 5)


def test_the_network_has_most_cores_of_a_machine_without_a_gpu(monkeypatch):
    monkeypatch.setattr(encoding, "cores", lambda: 9)
    labels = np.ones((1, 1), dtype=bool)
    pixels = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    arrays = [
        Split(("a",), ArraySource(pixels), labels),
        Split(("a",), ClipArraySource((pixels,)), labels),
    ]
    files = Split(("a",), FileSource(Path("x"), ("a",)), labels)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert encoding.few_workers(Runtime(), files, cpu).workers == 2
    assert encoding.few_workers(Runtime(workers=5), files, cpu).workers == 5
    assert encoding.few_workers(Runtime(), files, gpu).workers is None
    assert [encoding.few_workers(Runtime(), split, cpu).workers for split in arrays] == [None] * 2
