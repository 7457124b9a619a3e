"""Adversarial clips as videos: which files are kept, what is judged, and what is said."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.progress import Silent
from hashprobe.workflow import after_codec
from hashprobe.workflow.after_codec import Film, film, keep


pytestmark = pytest.mark.usefixtures("as_for_users")


class Listener(Silent):
    """Keeps the lines."""

    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


@pytest.fixture
def clips():
    """Two clips of three and two frames, and the same after an attack."""
    clean = torch.randint(0, 200, (2, 3, 3, 8, 8), dtype=torch.uint8)
    attacked = SimpleNamespace(images8=clean + 9, query_ids=np.array([4, 7]))
    return attacked, Queries(clean, lengths=torch.tensor([3, 2]))


@pytest.fixture
def codec(monkeypatch):
    """A codec whose files are the pixels themselves, and a victim that sees the first pixel."""
    monkeypatch.setattr(after_codec, "check_h264", lambda: None)
    monkeypatch.setattr(after_codec, "encode_h264", lambda clip, crf: bytes(clip.flatten()))

    def code_of(hasher, data, like):
        assert len(data) == like.numel()
        return PackedCodes.from_signs([[data[0] >> i & 1 for i in range(8)]])

    monkeypatch.setattr(after_codec, "code_of", code_of)


def test_a_file_of_each_clip_without_its_padding(clips, codec, tmp_path):
    assert film(*clips, None, tmp_path, Film(), Silent()) is None
    files = {path.name: path.read_bytes() for path in (tmp_path / "mp4").iterdir()}
    images8 = clips[0].images8
    assert files == {"4.mp4": bytes(images8[0].flatten()), "7.mp4": bytes(images8[1, :2].flatten())}


def test_both_sides_are_judged_where_it_is_asked(clips, codec, tmp_path):
    after = film(*clips, None, tmp_path, Film(crf=30, judged=True), Silent())
    assert after.name == "h264-crf30"
    for codes, pixels in ((after.attacked, clips[0].images8), (after.query, clips[1].pixels)):
        firsts = [[int(clip.flatten()[0]) >> i & 1 for i in range(8)] for clip in pixels]
        assert codes == PackedCodes.from_signs(firsts)


def test_without_the_codec_one_line_says_so_unless_it_is_needed(clips, monkeypatch, tmp_path):
    def missing():
        raise HashprobeError("no PyAV")

    monkeypatch.setattr(after_codec, "check_h264", missing)
    listener = Listener()
    assert film(*clips, None, tmp_path, Film(), listener) is None
    assert len(listener.lines) == 1 and "no PyAV" in listener.lines[0]
    with pytest.raises(HashprobeError, match="no PyAV"):
        film(*clips, None, tmp_path, Film(judged=True), listener)


def test_a_clip_that_the_codec_refuses_is_named_and_the_others_go_on(
    clips, codec, monkeypatch, tmp_path
):
    def refuse(clip, crf):
        if len(clip) == 3:
            raise HashprobeError("odd sides")
        return b"video"

    monkeypatch.setattr(after_codec, "encode_h264", refuse)
    listener = Listener()
    film(*clips, None, tmp_path, Film(), listener)
    assert [path.name for path in (tmp_path / "mp4").iterdir()] == ["7.mp4"]
    assert len(listener.lines) == 1 and "query 4" in listener.lines[0]


def test_numbers_do_not_outlive_the_files_they_belong_to(tmp_path):
    result = tmp_path / "evaluation.json"
    result.write_text("{}")
    keep(tmp_path, 4, b"one")
    assert not result.exists()
    result.write_text("{}")
    keep(tmp_path, 4, b"one")
    assert result.exists(), "a file that is right already changes nothing"
    keep(tmp_path, 4, b"two")
    assert not result.exists()
