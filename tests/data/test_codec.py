"""Clips through H.264 and back."""

from io import BytesIO

import numpy as np
import pytest
import torch

from hashprobe.data.codec import check_h264, decode_h264, encode_h264
from hashprobe.data.videos import read_video
from hashprobe.errors import HashprobeError


av = pytest.importorskip("av")


def smooth(frames=5, height=32, width=48):
    """Slow waves of colour; every frame is brighter than the one before it."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin(x / 9), np.cos(y / 11), np.sin((x + y) / 13)]
    pixels = np.stack([90 + 40 * wave + 12 * t for wave in waves], axis=1)
    return torch.from_numpy(pixels.round().astype(np.uint8))


def back(clip, crf=0):
    frames, _, height, width = clip.shape
    return decode_h264(encode_h264(clip, crf), frames, height, width)


def largest(clip, crf=0):
    return int((back(clip, crf).int() - clip.int()).abs().max())


def test_smooth_clips_come_back_within_a_few_levels():
    assert largest(smooth()) <= 6
    error = (back(smooth()).float() - smooth().float()).mean((0, 2, 3))
    assert error.abs().max() < 1.5


@pytest.mark.parametrize(
    "colour",
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255), (200, 60, 90)],
)
def test_colours_are_what_they_were(colour):
    """A wrong matrix or a wrong range is off by ten levels and more."""
    clip = torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].expand(3, 3, 16, 16)
    assert largest(clip.contiguous()) <= 3


def test_the_file_says_its_colours():
    """Elsewhere the colours of small videos would be a guess."""
    data = encode_h264(smooth())
    with av.open(BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 25
        assert stream.frames == 5


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_every_frame_comes_back_in_order(frames):
    rng = np.random.default_rng(0)
    levels = torch.from_numpy(rng.permutation(frames) * (250 // frames))
    clip = levels[:, None, None, None].expand(frames, 3, 16, 16).to(torch.uint8)
    found = back(clip.contiguous(), 10).float().mean((1, 2, 3))
    assert found.argsort().tolist() == levels.argsort().tolist()


@pytest.mark.parametrize("height", [1, 2, 15, 16])
@pytest.mark.parametrize("width", [1, 17])
def test_odd_sides_come_back_as_they_were(height, width):
    clip = smooth(3, height, width)
    assert back(clip).shape == clip.shape
    # An edge of another colour would bleed into the frame.
    assert largest(clip) <= 8


def test_a_larger_crf_loses_more_and_takes_less():
    rng = np.random.default_rng(0)
    noisy = smooth().int() + torch.from_numpy(rng.integers(-20, 21, (5, 3, 32, 48)))
    clip = noisy.clamp(0, 255).to(torch.uint8)
    sizes = [len(encode_h264(clip, crf)) for crf in (0, 23, 51)]
    losses = [float((back(clip, crf).float() - clip.float()).abs().mean()) for crf in (0, 23, 51)]
    assert sizes == sorted(sizes, reverse=True) and losses == sorted(losses)
    assert losses[0] < losses[1] < losses[2]


def test_the_same_clip_gives_the_same_bytes():
    rng, junk = np.random.default_rng(0), []
    noisy = smooth(12, 320, 64).int() + torch.from_numpy(rng.integers(-8, 9, (12, 3, 320, 64)))
    tall = noisy.clamp(0, 255).to(torch.uint8)
    data = encode_h264(tall, 23)
    for size in range(20):
        # What the encoder finds in the memory that it is given plays no part.
        junk.append(rng.integers(0, 255, (size % 7 + 1) * 100_000, dtype=np.uint8))
        junk = junk[-3:]
        assert data == encode_h264(tall, 23)
    # As many threads as there are cores would give other bytes elsewhere.
    assert b" threads=1 " in data


def test_the_file_is_read_like_any_video_and_its_index_comes_first(tmp_path):
    data = encode_h264(smooth(), 23)
    (tmp_path / "clip.mp4").write_bytes(data)
    assert torch.equal(read_video(tmp_path / "clip.mp4"), back(smooth(), 23))
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("crf", [-1, 52])
def test_a_crf_out_of_range_is_refused(crf):
    with pytest.raises(HashprobeError, match=rf"crf must be from 0 .* to 51 .*; got {crf}"):
        encode_h264(smooth(), crf)


def test_a_clip_without_frames_is_refused():
    with pytest.raises(HashprobeError, match=r"without pixels makes no video; got \(0, 3, 8, 8\)"):
        encode_h264(torch.zeros(0, 3, 8, 8, dtype=torch.uint8))


def test_bytes_of_another_clip_are_refused():
    data = encode_h264(smooth(), 23)
    with pytest.raises(HashprobeError, match=r"holds 5 frames of \(32, 48\); expected are 4 of"):
        decode_h264(data, 4, 32, 48)
    with pytest.raises(HashprobeError, match=r"expected are 5 of \(32, 46\)"):
        decode_h264(data, 5, 32, 46)
    with pytest.raises(HashprobeError, match=r"holds 0 frames of nothing|can be read"):
        decode_h264(data[: len(data) // 2], 5, 32, 48)


def test_without_pyav_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(f"{encode_h264.__module__}.find_spec", lambda name: None)
    for call in (lambda: encode_h264(smooth()), lambda: decode_h264(b"", 1, 2, 2)):
        with pytest.raises(HashprobeError, match=r"H.264 needs av: pip install 'hashprobe\[video"):
            call()


def test_a_pyav_without_libx264_is_said(monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"h264"})
    with pytest.raises(HashprobeError, match="built without libx264"):
        check_h264()
