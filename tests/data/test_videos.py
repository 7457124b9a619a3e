"""Decoding of video files, all of them written here."""

import gc
import os
import re
import signal
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hashprobe.data.cache import ClipCache
from hashprobe.data.clip_sources import VideoFileSource
from hashprobe.data.loader import decode, worker_init
from hashprobe.data.sources import BadImage, Split
from hashprobe.data.videos import read_video
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract, Runtime


av = pytest.importorskip("av")

LOSSY = {
    "avi": {"codec": "mpeg4", "form": "yuv420p"},
    "mp4": {"codec": "libx264", "form": "yuv420p", "container": {"movflags": "faststart"}},
    "mkv": {"codec": "libx264", "form": "yuv420p"},
    "webm": {"codec": "libvpx", "form": "yuv420p"},
}


@pytest.fixture
def noise():
    """Thirty frames of noise, which every codec needs many bytes for."""
    return np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)


def pixels(clip):
    return clip.permute(0, 2, 3, 1).numpy()


def shown(clip):
    """The grey level of each frame, to the nearest of those that `levels` makes."""
    middle = clip[:, :, 2:6, 2:6].float().mean((1, 2, 3))
    return [round((value - 20) / 10) for value in middle.tolist()]


@pytest.mark.parametrize(("stride", "limit"), [(1, 40), (3, 40), (1, 7), (3, 4), (29, 2), (99, 9)])
def test_lossless_files_give_their_frames_by_the_rule(write_video, picture, stride, limit):
    frames = np.stack([picture(i, 12, 18) for i in range(30)])
    clip = read_video(write_video("a.avi", frames), stride, limit)
    np.testing.assert_array_equal(pixels(clip), frames[::stride][:limit])
    assert clip.is_contiguous()


@pytest.mark.parametrize("kind", LOSSY)
def test_common_formats_give_all_frames_in_order(write_video, levels, kind):
    clip = read_video(write_video(f"a.{kind}", levels(20), **LOSSY[kind]))
    assert clip.shape == (20, 3, 16, 16)
    assert shown(clip) == list(range(20))


@pytest.mark.parametrize("kind", LOSSY)
def test_one_frame_is_a_clip(write_video, levels, kind):
    clip = read_video(write_video(f"a.{kind}", levels(1), **LOSSY[kind]))
    assert shown(clip) == [0]


@pytest.mark.parametrize("kind", LOSSY)
def test_frames_of_variable_rate_are_neither_repeated_nor_dropped(write_video, levels, kind):
    times = [0, 1, 2, 5, 6, 20, 21, 22, 23, 60]
    reorder = LOSSY[kind]["codec"] == "libx264"
    options = {"x264-params": "bframes=2:b-adapt=0:scenecut=0"} if reorder else {}
    path = write_video(f"a.{kind}", levels(10), times=times, options=options, **LOSSY[kind])
    if reorder:
        with av.open(str(path)) as container:
            order = [packet.pts for packet in container.demux() if packet.pts is not None]
        assert order != sorted(order), "nothing to put in order"
    assert shown(read_video(path)) == list(range(10))
    assert shown(read_video(path, stride=3)) == [0, 3, 6, 9]


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def whole_packets(path, size):
    """How many packets end within the first bytes of a file."""
    with av.open(str(path)) as container:
        return sum(p.size > 0 and p.pos + p.size <= size for p in container.demux(video=0))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("kind", LOSSY)
def test_truncated_files_are_refused_with_what_could_be_read(write_video, noise, kind, share):
    path = write_video(f"a.{kind}", noise, **LOSSY[kind])
    there = whole_packets(path, int(share * path.stat().st_size))
    with pytest.raises(BadImage) as caught:
        read_video(cut(path, share))
    assert caught.value.name == str(path)
    reason = caught.value.reason
    if reason.startswith("no video that can be read: "):
        assert there == 0
        return
    of = " of 30" if kind in ("avi", "mp4") else ""
    found = re.fullmatch(rf"cut off or damaged: (\d+){of} frames could be read", reason)
    # A decoder holds some frames back, which are lost where the cut goes through a packet.
    assert there - 3 <= int(found[1]) <= there
    assert there < 30


def test_lossless_frames_cut_in_the_middle_are_damage(write_video, noise):
    path = cut(write_video("a.avi", noise), 0.5)
    with pytest.raises(
        BadImage, match=r"a\.avi: cut off or damaged: 14 of 30 frames could be read"
    ):
        read_video(path)


def test_a_cut_between_two_frames_is_seen(write_video, noise):
    """Nothing but the header's number of frames tells of it."""
    path = write_video("a.avi", noise, **LOSSY["avi"])
    data = path.read_bytes()
    place = data.index(b"movi")
    for _ in range(12):
        place = data.index(b"00dc", place + 4)
    path.write_bytes(data[:place])
    with pytest.raises(BadImage, match="cut off or damaged: 11 of 30 frames could be read"):
        read_video(path)


def test_no_more_is_decoded_than_is_needed(write_video, noise):
    path = cut(write_video("a.avi", noise), 0.6)
    assert len(read_video(path, limit=10)) == 10
    assert len(read_video(path, stride=4, limit=4)) == 4
    with pytest.raises(BadImage):
        read_video(path, stride=4, limit=8)


def test_an_index_at_the_end_that_is_gone_leaves_nothing(write_video, noise):
    path = cut(write_video("a.mp4", noise, codec="libx264", form="yuv420p"), 0.9)
    with pytest.raises(BadImage, match=r"a\.mp4: no video that can be read: Invalid data"):
        read_video(path)


# What a player does with (x, y) to the right and down: (a x + c y, b x + d y), as in the file.
MATRICES = {
    "upright": ((1, 0, 0, 1), 0),
    "a quarter clockwise": ((0, 1, -1, 0), -1),
    "half": ((-1, 0, 0, -1), 2),
    "a quarter anticlockwise": ((0, -1, 1, 0), 1),
}


def set_matrix(path, matrix):
    """Overwrites the display matrix in the header of the only track."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = (int(value * 65536).to_bytes(4, "big", signed=True) for value in matrix)
    nothing = bytes(4)
    new = a + b + nothing + c + d + nothing + nothing + nothing + (1 << 30).to_bytes(4, "big")
    assert data[at : at + 4] == (65536).to_bytes(4, "big"), "no matrix here"
    data[at : at + 36] = new
    path.write_bytes(data)


@pytest.mark.parametrize("turn", MATRICES)
def test_frames_are_turned_upright(write_video, turn):
    frames = np.zeros((3, 16, 32, 3), dtype=np.uint8)
    frames[:, :8, :8] = 250
    path = write_video("a.mp4", frames, **LOSSY["mp4"])
    matrix, quarters = MATRICES[turn]
    set_matrix(path, matrix)
    found = pixels(read_video(path)).astype(int)
    expected = np.rot90(frames, quarters, axes=(1, 2)).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 6


def test_sound_alone_is_no_video(tmp_path):
    for name, codec in (("a.wav", "pcm_s16le"), ("a.mp4", "aac")):
        path = tmp_path / name
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=8000, layout="mono")
            silence = np.zeros((1, 4096), dtype=np.int16)
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        path = path.rename(tmp_path / f"{name}.avi")
        with pytest.raises(BadImage, match=r"\.avi: holds no video stream \(sound alone\)$"):
            read_video(path)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("avi", "holds a video stream without frames"), ("mp4", "holds no video stream")],
)
def test_files_without_frames_are_refused(write_video, levels, kind, reason):
    path = write_video(f"a.{kind}", levels(0), **LOSSY[kind])
    with pytest.raises(BadImage, match=rf"a\.{kind}: {reason}$"):
        read_video(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 5000, b"hello\n" * 200, b"RIFF\xff\0\0\0AVI LIST", bytes(range(256)) * 40],
    ids=["empty", "zeros", "text", "a head alone", "bytes"],
)
def test_files_that_are_no_videos_are_refused(tmp_path, content):
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(BadImage, match=r"/a\.avi: .*[a-z]") as caught:
        read_video(tmp_path / "a.avi")
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "gone.avi", tmp_path):
        with pytest.raises(BadImage, match="no such file"):
            read_video(path)


def test_playlists_in_disguise_open_nothing(write_video, levels, tmp_path):
    other = write_video("other.mp4", levels(5), **LOSSY["mp4"])
    lists = {
        "concat": f"ffconcat version 1.0\nfile {other.name}\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:{other}\n#EXT-X-ENDLIST\n",
    }
    for name, text in lists.items():
        (tmp_path / f"{name}.avi").write_text(text)
        with pytest.raises(BadImage, match=rf"/{name}\.avi: no video that can be read: "):
            read_video(tmp_path / f"{name}.avi")


def test_a_codec_that_nobody_knows_is_named(write_video, levels):
    """Its stream has no decoder at all: the attribute is None."""
    path = write_video("a.mkv", levels(3), codec="libx264", form="yuv420p")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_QQQQQ/ISO/AVC"))
    with pytest.raises(BadImage, match="holds a video stream of an unknown codec"):
        read_video(path)


def test_claims_of_very_large_frames_are_refused_before_decoding(write_video, levels, monkeypatch):
    monkeypatch.setattr("hashprobe.data.videos.MAX_PIXELS", 255)
    with pytest.raises(BadImage, match="claims frames of 16 x 16 pixels; at most 255 are decod"):
        read_video(write_video("a.avi", levels(3)))


@pytest.mark.parametrize("kind", sorted(LOSSY))
def test_random_damage_is_an_error_of_one_line_or_none(write_video, levels, kind, tmp_path):
    data = write_video(f"a.{kind}", levels(8), **LOSSY[kind]).read_bytes()
    rng, path = np.random.default_rng(1), tmp_path / f"b.{kind}"
    for round_ in range(40):
        wrong = bytearray(data)
        for place in rng.integers(len(data) if round_ % 2 else min(900, len(data)), size=6):
            wrong[place] = rng.integers(256)
        path.write_bytes(wrong)
        try:
            assert len(read_video(path)) >= 1
        except BadImage as bad:
            assert "\n" not in str(bad)


def test_names_that_look_like_addresses_are_files(write_video, levels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:x.avi", "100%d [a] #1, 'b'.avi", "-.avi"):
        write_video(name, levels(2))
        assert len(read_video(Path(name))) == 2


def test_nothing_is_printed_about_damage(write_video, noise, capfd):
    with pytest.raises(BadImage):
        read_video(cut(write_video("a.mp4", noise, **LOSSY["mp4"]), 0.5))
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def mixed(write_video, levels, noise, tmp_path):
    """Five files: good, cut, good, no video, missing."""
    write_video("a.avi", levels(4))
    cut(write_video("b.avi", noise), 0.5)
    write_video("c.mp4", levels(9), **LOSSY["mp4"])
    (tmp_path / "d.avi").write_text("hello")
    paths = ("a.avi", "b.avi", "c.mp4", "d.avi", "e.avi")
    return Split(paths, VideoFileSource(tmp_path, paths), np.ones((5, 1), dtype=bool))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_worker_does_not_clear_away_what_its_parent_left():
    """A scaler in a reference cycle waits for threads that a forked process does not have."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        frame = av.VideoFrame.from_ndarray(np.zeros((720, 1280, 3), np.uint8), format="rgb24")
        cycle = [frame, frame.reformat(320, 240, "yuv420p")]
        cycle.append(cycle)
        del frame, cycle
        child = os.fork()
        if not child:
            worker_init(0)
            gc.collect()
            os._exit(0)
        for _ in range(200):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                assert status == 0
                break
            time.sleep(0.05)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the worker waits for ever")
    finally:
        gc.collect()
        if was_on:
            gc.enable()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_split_of_files_is_decoded_without_those_that_are_bad(mixed, workers, tmp_path):
    contract = InputContract(size=8, frames=6)
    with pytest.raises(
        HashprobeError, match=r"/b\.avi: cut off .*; 2 other clips are bad too \(--"
    ):
        decode(mixed, contract, Runtime(workers=workers))
    for _ in range(2):
        cache = ClipCache(tmp_path / "cache")
        found = decode(mixed, contract, Runtime(workers=workers, skip_bad=True, cache=cache))
        assert found.positions.tolist() == [0, 2]
        assert found.lengths.tolist() == [4, 6]
        assert shown(found.images[0, :4]) == [0, 1, 2, 3]
        assert [text.split(": ")[0].rsplit("/")[-1] for text in found.bad] == [
            "b.avi",
            "d.avi",
            "e.avi",
        ]
    assert len(list((tmp_path / "cache").glob("*.clip"))) == 2


def test_fingerprints_are_of_content(write_video, levels, noise, tmp_path):
    write_video("a.avi", levels(4))
    (tmp_path / "b.avi").write_bytes((tmp_path / "a.avi").read_bytes())
    data = write_video("c.avi", noise).read_bytes()
    assert len(data) > 3 * 65536
    (tmp_path / "d.avi").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    source = VideoFileSource(tmp_path, ("a.avi", "b.avi", "c.avi", "d.avi", "gone.avi", "no.avi"))
    prints = [source.fingerprint(i) for i in range(6)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 5


def test_without_pyav_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(f"{read_video.__module__}.find_spec", lambda name: None)
    for run in (
        lambda: read_video(tmp_path / "a.avi"),
        lambda: VideoFileSource(tmp_path, ("a.avi",)),
    ):
        with pytest.raises(HashprobeError, match=r"needs av: pip install 'hashprobe\[video\]'"):
            run()
