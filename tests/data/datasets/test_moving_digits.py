"""The offline clips: without their order, frames do not tell a motion from its twin."""

import numpy as np
import pytest
import torch

from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.datasets.moving_digits import load_moving_digits
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.types import InputContract


CONTRACT = InputContract(size=16, frames=16)


@pytest.fixture(scope="module")
def data():
    return load_moving_digits()


def test_clips_are_split_120_240_440_with_every_motion_alike(data):
    assert data.name == "moving-digits"
    assert data.video
    counts = [split.labels.sum(0).tolist() for split in data.splits().values()]
    assert counts == [[15] * 8, [30] * 8, [55] * 8]
    ids = {name for split in data.splits().values() for name in split.ids}
    assert len(ids) == 800
    assert data.findings == ()


def test_clips_are_grey_8_bit_frames_of_several_lengths(data):
    lengths = set()
    for position in range(len(data.database)):
        clip = data.database.source.read(position)
        assert (clip.dtype, clip.shape[1:]) == (torch.uint8, (3, 16, 16))
        assert torch.equal(clip[:, 0], clip[:, 1]) and torch.equal(clip[:, 0], clip[:, 2])
        assert clip.amax((1, 2, 3)).min() > 150, "a frame without its digit"
        lengths.add(len(clip))
    assert lengths == {12, 13, 14, 15, 16}


def test_the_seed_decides_everything(data):
    assert load_moving_digits().checksum == data.checksum
    other = DataOptions("moving-digits", split_seed=1).load()
    assert other.checksum == load_moving_digits(1).checksum != data.checksum
    assert other.query.ids != data.query.ids


def middles(frames):
    """Where the bright pixels of each frame are, down and across, in pixels from the middle."""
    grey = (frames[:, 0].double() - 90).clamp(min=0)
    place = torch.arange(16, dtype=torch.double) - 7.5
    mass = grey.sum((1, 2))
    return ((grey.sum(2) @ place) / mass).numpy(), ((grey.sum(1) @ place) / mass).numpy()


def seen_motion(frames, pair):
    """0 or 1: which of a pair of motions the frames show, by the middle and size of the digit."""
    down, across = middles(frames)
    if pair == 0:
        return int(across[-4:].mean() < across[:4].mean())
    if pair == 1:
        return int(down[-4:].mean() < down[:4].mean())
    if pair == 2:
        angle = np.unwrap(np.arctan2(down - down.mean(), across - across.mean()))
        # Down counts downwards, so a growing angle is a turn as the hands of a clock go.
        return int(angle[-1] < angle[0])
    lit = (frames[:, 0] > 90).double().mean((1, 2))
    return int(lit[-4:].mean() < lit[:4].mean())


def test_motions_are_what_their_names_say(data):
    names = ("right", "left", "down", "up", "clockwise", "anticlockwise", "growing", "shrinking")
    assert data.label_names == names
    right = []
    for position, label in enumerate(data.database.labels.argmax(1)):
        seen = seen_motion(data.database.source.read(position), label // 2)
        right.append(seen == label % 2)
    assert len(right) == 440
    for pair in range(4):
        of_pair = data.database.labels.argmax(1) // 2 == pair
        assert np.mean(np.array(right)[of_pair]) > 0.9, names[2 * pair]


def resampled(split):
    """(N, 12, 256): each clip at twelve moments of its whole way."""
    pixels = decode(split, CONTRACT)
    rows = []
    for clip, length in zip(pixels.images, pixels.lengths, strict=True):
        when = np.rint(np.linspace(0, length - 1, 12)).astype(int)
        rows.append(clip[when, 0].flatten(1))
    return torch.stack(rows).double()


def nearest_class(queries, database, labels):
    return labels[torch.cdist(queries, database).argmin(1).numpy()]


def test_order_of_frames_is_needed_to_tell_a_motion_from_its_twin(data):
    truth, known = (split.labels.argmax(1) for split in (data.query, data.database))
    queries, database = resampled(data.query), resampled(data.database)
    ordered = nearest_class(queries.flatten(1), database.flatten(1), known)
    assert (ordered == truth).mean() > 0.9
    # Played backwards, a clip is taken for its twin.
    backwards = nearest_class(queries.flip(1).flatten(1), database.flatten(1), known)
    assert (backwards == truth).mean() < 0.1
    assert (backwards == (truth ^ 1)).mean() > 0.85
    # Without order the pair is found, and which of the two it is stays a guess.
    mean = nearest_class(queries.mean(1), database.mean(1), known)
    pair_found = mean // 2 == truth // 2
    assert pair_found.mean() > 0.6
    assert 0.35 < (mean == truth)[pair_found].mean() < 0.65
    # So it is when the frames of every clip are shuffled.
    rng = np.random.default_rng(0)
    shuffled = torch.stack([clip[rng.permutation(12)] for clip in queries])
    guessed = nearest_class(shuffled.flatten(1), database.flatten(1), known)
    assert (guessed == truth).mean() < 0.45


def test_the_digit_says_nothing_of_the_motion_and_clips_are_in_memory(data):
    assert isinstance(data.query.source, ClipArraySource)
    pixels = decode(data.train, CONTRACT)
    assert pixels.images.shape == (240, 16, 3, 16, 16)
    for clip, length in zip(pixels.images, pixels.lengths, strict=True):
        assert (clip[length:] == 0).all()
        assert (clip[:length].flatten(1) > 0).any(1).all()
