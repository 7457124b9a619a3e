"""Encoding a run: what a kill leaves, bad images, precision, memory."""

import shutil

import numpy as np
import pytest
import torch

from hashprobe.audit import encode_step as encoding
from hashprobe.audit.log import Silence
from hashprobe.audit.run_io import say_precision
from hashprobe.audit.shards import Part, Parts
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.sources import BadImage, Split
from hashprobe.errors import HashprobeError
from hashprobe.optim.encoding import encode
from hashprobe.storage.files import read_npz
from hashprobe.storage.runs import Run
from hashprobe.victims.base import ImageHasher


class Killed(Exception):
    """Stands for a process that dies."""


@pytest.fixture
def trained(encoded):
    """A run before anything was encoded."""
    shutil.rmtree(encoded / "codes")
    return encoded


@pytest.fixture
def often(monkeypatch):
    """Every batch is kept at once."""
    monkeypatch.setattr(encoding, "PART_SECONDS", -1.0)


def dying(monkeypatch, after):
    """Encodes some batches and dies; counts what was encoded."""
    real, seen = encoding.codes_of, []

    def count(hasher, images):
        if len(seen) == after:
            raise Killed
        seen.append(len(images))
        return real(hasher, images)

    monkeypatch.setattr(encoding, "codes_of", count)
    return seen


@pytest.mark.parametrize("after", [1, 3, 5, 30])
def test_goes_on_where_it_was_killed(trained, audit, often, monkeypatch, after):
    with monkeypatch.context() as context:
        first = dying(context, after)
        with pytest.raises(Killed):
            encoding.encode_run(trained, batch_size=50)
    assert not Run.open(trained).finished("codes/database.npz")
    with monkeypatch.context() as context:
        second = dying(context, 10**6)
        encoding.encode_run(trained, batch_size=64)
    assert sum(first) + sum(second) == 200 + 1347
    for role in ("query", "database"):
        name = f"codes/{role}.npz"
        assert (trained / name).read_bytes() == (audit[0] / name).read_bytes()
        assert not (trained / "codes" / f"{role}.parts").exists()


def test_parts_of_another_network_or_precision_are_not_taken_over(
    trained, audit, often, monkeypatch
):
    with monkeypatch.context() as context:
        dying(context, 10)
        with pytest.raises(Killed):
            encoding.encode_run(trained, batch_size=50, precision="bfloat16")
    assert list((trained / "codes" / "database.parts").iterdir())
    with pytest.raises(HashprobeError, match=r"query split .* in bfloat16: go on with --precision"):
        encoding.encode_run(trained, batch_size=50)
    (trained / "codes" / "query.npz").unlink()
    with monkeypatch.context() as context:
        seen = dying(context, 10**6)
        encoding.encode_run(trained, batch_size=50)
    assert sum(seen) == 200 + 1347
    ours, theirs = (read_npz(run / "codes/database.npz") for run in (trained, audit[0]))
    np.testing.assert_array_equal(ours["codes"], theirs["codes"])


def test_the_precision_of_codes_that_were_removed_does_not_bind(trained, often, monkeypatch):
    encoding.encode_run(trained)
    shutil.rmtree(trained / "codes")
    with monkeypatch.context() as context:
        dying(context, 2)
        with pytest.raises(Killed):
            encoding.encode_run(trained, batch_size=200, precision="bfloat16")
    encoding.encode_run(trained, precision="bfloat16")


def test_a_damaged_part_is_encoded_again(trained, often, monkeypatch):
    with monkeypatch.context() as context:
        dying(context, 10)
        with pytest.raises(Killed):
            encoding.encode_run(trained, batch_size=50)
    parts = sorted((trained / "codes" / "database.parts").iterdir())
    parts[2].write_bytes(parts[2].read_bytes()[:100])
    with monkeypatch.context() as context:
        seen = dying(context, 10**6)
        encoding.encode_run(trained, batch_size=50)
    assert sum(seen) == 1347 - 100


class Lines(Silence):
    """A screen that keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.mark.parametrize("able", [False, True])
def test_a_processor_without_bfloat16_is_named(able, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: able)
    screen, cpu = Lines(), torch.device("cpu")
    say_precision(screen, "bfloat16", cpu)
    say_precision(screen, "float32", cpu)
    say_precision(screen, "bfloat16", torch.device("cuda"))
    wanted = ["this processor does not compute in bfloat16: float32 is faster on it"]
    assert screen.said == ([] if able else wanted)


def test_bfloat16_turns_over_few_bits(trained, audit):
    encoding.encode_run(trained, precision="bfloat16")
    ours, theirs = (read_npz(run / "codes/database.npz") for run in (trained, audit[0]))
    np.testing.assert_array_equal(ours["positions"], theirs["positions"])
    turned = np.bitwise_count(ours["codes"] ^ theirs["codes"]).mean() / 8
    assert 0 < turned < 0.02
    assert Run.open(trained).events("encoded split")[-1]["precision"] == "bfloat16"


class Holed:
    """Twenty pictures of which some cannot be had."""

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
    given = {"batch_size": 5, "workers": 0, "cache": None, "tick": lambda done, total: None}
    parts = list(encoding.encode_parts(hasher, split, start, skip_bad=True, **given))
    good = [i for i in range(start, 20) if i not in (3, 4, 9, 19)]
    assert np.concatenate([part.positions for part in parts]).tolist() == good
    codes = PackedCodes.concatenate([part.codes for part in parts])
    assert len(codes) == len(good)
    if good:
        assert codes == encode(hasher, torch.stack([Holed().read(i) for i in good]) / 255)
    bad = dict.fromkeys(failure for part in parts for failure in part.bad)
    assert list(bad) == [f"{i}.png: cut off" for i in (3, 4, 9, 19) if i >= start]
    assert parts[-1].stop == 20
    kept = []
    with pytest.raises(HashprobeError, match=r"cut off.*other images? (is|are) bad"):
        kept.extend(encoding.encode_parts(hasher, split, start, skip_bad=False, **given))
    assert all(part.stop <= 3 or start > 4 for part in kept)  # nothing after the first bad one
    assert not any(part.bad for part in kept)


def test_parts_end_at_the_first_gap(tmp_path):
    parts = Parts(tmp_path, "weights", 8)
    code = PackedCodes.from_signs([[1] * 8])
    for start, stop in ((0, 2), (2, 4), (6, 8)):
        parts.write(start, Part(stop, code, np.array([start]), (f"{stop}.png: cut off",)))
    assert [part.stop for part in parts.read()] == [2, 4]
    assert [part.bad for part in parts.read()][1] == ("4.png: cut off",)
    assert list(Parts(tmp_path, "others", 8).read()) == []
    (tmp_path / "mine.txt").write_text("kept")
    parts.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
