"""Scanned digits that move: clips that need no download."""

import numpy as np
import torch
from jaxtyping import Float, Int64

from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.datasets.folder import per_class
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import Split
from hashprobe.types import generator_of


MOTIONS = ("right", "left", "down", "up", "clockwise", "anticlockwise", "growing", "shrinking")
"""The second of each pair is the first one played backwards."""
CLIPS, CLIP_QUERIES, CLIP_TRAINING = 100, 15, 30
"""Clips of each motion: all of them, the queries and the training clips."""
SIDE, SHORTEST, LONGEST = 16, 12, 16
"""Pixels of a frame's side, and frames of a clip."""
JITTER, REACH, NOISE = 2.5, 0.3, 32.0
"""Largest offset of a path in pixels, shortest path as a share of the longest, and standard
deviation of the noise in 1/255."""


def load_moving_digits(seed: int = 0) -> RetrievalData:
    """800 clips of moving digits, 16x16 pixels: 120 queries, 240 training, 440 database items.

    A digit moves along a path, grows or shrinks in 12 to 16 frames. The label is the kind of
    motion; the digit plays no part in it. Motions come in pairs: one is the other played backwards,
    so only the order of the frames tells them apart.

    Source: scikit-learn's scanned digits (`load_digits`); the motions are made here.

    Args:
        seed: seed of the digits, starts, lengths and noise, and of the random split.

    Example:
        >>> data = load_moving_digits()
        >>> data.video, data.label_names[:2], data.query.source.read(0).shape[1:]
        (True, ('right', 'left'), torch.Size([3, 16, 16]))
    """
    from sklearn import datasets

    rng = generator_of(seed)
    motion = np.repeat(np.arange(len(MOTIONS)), CLIPS)
    lengths = rng.integers(SHORTEST, LONGEST + 1, size=len(motion))
    scans = datasets.load_digits().images * (255 / 16)
    digits = scans[rng.integers(len(scans), size=len(motion))]
    start = rng.uniform(-JITTER, JITTER, size=(2, len(motion), 1))
    reach = rng.uniform(REACH, 1, size=(len(motion), 1))
    across, down, scale = path_of(motion, lengths, reach)
    columns = placing(start[0] + across, scale)
    rows = placing(start[1] + down, scale)
    grey = np.einsum("ntij,njk,ntlk->ntil", rows, digits, columns, optimize=True)
    grey += rng.normal(0, NOISE, size=grey.shape)
    pixels = torch.from_numpy(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    clips = tuple(
        clip[:length, None].expand(-1, 3, -1, -1).contiguous()
        for clip, length in zip(pixels, lengths.tolist(), strict=True)
    )
    names = tuple(f"moving-digits/{i:04d}" for i in range(len(clips)))
    labels = one_hot(motion, len(MOTIONS))
    whole = Split(names, ClipArraySource(clips), labels)
    parts = per_class(labels, [CLIP_QUERIES, CLIP_TRAINING], rng, MOTIONS, "clips")
    query, train, database = (whole.take(part) for part in parts)
    return RetrievalData("moving-digits", query, train, database, MOTIONS)


def path_of(
    motion: Int64[np.ndarray, " n"],
    lengths: Int64[np.ndarray, " n"],
    reach: Float[np.ndarray, "n 1"],
) -> tuple[Float[np.ndarray, "n t"], Float[np.ndarray, "n t"], Float[np.ndarray, "n t"]]:
    """The offset of each digit from the middle of the frame, and its scale, frame by frame."""
    way = np.minimum(np.arange(LONGEST) / (lengths[:, None] - 1), 1)
    way = np.where(motion[:, None] % 2, 1 - way, way)
    turn = 2 * np.pi * way
    nothing = np.zeros_like(way)
    paths = [
        (reach * (8 * way - 4), nothing, nothing + 1),
        (nothing, reach * (8 * way - 4), nothing + 1),
        (reach * 3.5 * np.sin(turn), -reach * 3.5 * np.cos(turn), nothing + 1),
        (nothing, nothing, 1.4 + reach * (1.2 * way - 0.6)),
    ]
    pair = (motion // 2)[:, None]
    across, down, scale = (np.choose(pair, [path[i] for path in paths]) for i in range(3))
    return across, down, scale


def placing(
    middle: Float[np.ndarray, "n t"], scale: Float[np.ndarray, "n t"]
) -> Float[np.ndarray, "n t s 8"]:
    """Linear interpolation weights of a digit's 8 pixels for each pixel of a frame's side."""
    pixel = np.arange(SIDE) - (SIDE - 1) / 2
    place = (pixel - middle[..., None]) / scale[..., None] + 3.5
    weights: np.ndarray = np.maximum(0, 1 - np.abs(place[..., None] - np.arange(8)))
    return weights
