"""Small trees of pictures and clips and the arrays behind them, shared by the tests of the data."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import ArraySource, Split


@pytest.fixture
def picture():
    """Builds seeded (h, w, 3) pixels in 0..255."""

    def build(seed=0, height=8, width=8):
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return build


@pytest.fixture
def write_tree(tmp_path, picture):
    """Writes root/<class>/NNNN.png with pictures that are all different, and gives the root."""

    def write(counts, root=tmp_path / "tree", seed=0, suffix=".png"):
        for number, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = picture(seed + 10_000 * number + i)
                Image.fromarray(pixels).save(root / name / f"{i:04d}{suffix}")
        return root

    return write


@pytest.fixture
def make_split():
    """Builds a split in memory; item i shows contents[i] in every pixel."""

    def build(contents, labels, prefix=""):
        pixels = torch.tensor(contents, dtype=torch.uint8)[:, None, None, None]
        pixels = pixels.expand(-1, 3, 4, 4).contiguous()
        ids = tuple(f"{prefix}{i}" for i in range(len(contents)))
        return Split(ids, ArraySource(pixels), np.asarray(labels, dtype=bool))

    return build


@pytest.fixture
def make_clips():
    """Builds a split of clips in memory; frame t of clip i shows 10 i + t + 1 in every pixel."""

    def build(lengths, size=4):
        clips = []
        for i, length in enumerate(lengths):
            levels = torch.arange(1, length + 1, dtype=torch.uint8) + 10 * i
            clips.append(levels[:, None, None, None].expand(-1, 3, size, size).contiguous())
        ids = tuple(f"clip{i}" for i in range(len(clips)))
        return Split(ids, ClipArraySource(tuple(clips)), np.ones((len(clips), 1), dtype=bool))

    return build


@pytest.fixture
def write_video(tmp_path):
    """Writes a video of (t, h, w, 3) frames, without loss by default, and gives its path."""
    av = pytest.importorskip("av")

    def write(name, frames, *, codec="png", form="rgb24", times=None, options=(), container=()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", options=dict(container)) as output:
            stream = output.add_stream(codec, rate=25, options=dict(options))
            stream.height, stream.width = frames.shape[1:3] if len(frames) else (16, 16)
            stream.pix_fmt = form
            if not len(frames):
                output.start_encoding()
            for number, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame.pts = number if times is None else times[number]
                frame.time_base = Fraction(1, 25)
                output.mux(stream.encode(frame.reformat(format=form)))
            if len(frames):
                output.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def levels():
    """Builds (t, 16, 16, 3) frames, each of one grey level, 10 apart."""

    def build(count):
        grey = np.arange(20, 20 + 10 * count, 10, dtype=np.uint8)
        return np.broadcast_to(grey[:, None, None, None], (count, 16, 16, 3)).copy()

    return build


@pytest.fixture
def write_files(tmp_path):
    """Writes files whose content is their own path, and gives the root; enough for splits."""

    def write(paths, root=tmp_path / "clips"):
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(path)
        return root

    return write


@pytest.fixture
def alternating():
    """Builds labels of two classes that take turns."""
    return lambda count: one_hot(np.arange(count) % 2, 2)


@pytest.fixture
def build(make_split, alternating):
    """Builds a data set from what its items show and their labels."""

    def build(query, train, database, labels=alternating):
        splits = [
            make_split(contents, labels(len(contents)), prefix=f"{role}/")
            for role, contents in (("q", query), ("t", train), ("d", database))
        ]
        return RetrievalData("test", *splits, ("a", "b"))

    return build
