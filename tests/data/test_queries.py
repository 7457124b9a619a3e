import dataclasses

import numpy as np
import pytest
import torch

from hashprobe.data.queries import START_STREAM, Queries, checked_ids, own_frames, seed_of
from hashprobe.errors import HashprobeError


@pytest.fixture
def clips():
    """Four clips of up to three frames, each filled with its own number."""
    pixels = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 3, 3, 2, 2) / 4
    labels = np.eye(4, dtype=bool)
    return Queries(pixels, (8, 6, 7, 5), torch.tensor([3, 1, 2, 3]), labels)


@pytest.mark.parametrize(
    "rows",
    [[2, 0], np.array([2, 0]), torch.tensor([2, 0]), slice(2, None, -2), torch.tensor([2])],
    ids=["list", "array", "tensor", "slice", "one"],
)
def test_some_are_some_of_everything(rows, clips):
    if isinstance(rows, slice):
        rows, places = slice(0, 3, 2), [0, 2]  # torch takes no steps backwards
    else:
        places = [int(row) for row in rows]
    some = clips.take(rows)
    assert some.pixels[:, 0, 0, 0, 0].tolist() == [place / 4 for place in places]
    assert some.ids == tuple(clips.ids[place] for place in places)
    assert some.lengths.tolist() == [int(clips.lengths[place]) for place in places]
    assert some.labels.argmax(1).tolist() == places


def test_some_images_have_no_lengths():
    images = Queries(torch.zeros(3, 3, 2, 2))
    assert images.ids == (0, 1, 2) and not images.clips
    one = images.take([1])
    assert one.ids == (1,) and one.lengths is None and one.labels is None
    assert len(one.given) == 1 and one.given[0].shape == (1, 3, 2, 2)


def test_a_clip_s_own_frames(clips):
    assert clips.own.int().tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert clips.clips and [len(part) for part in clips.given] == [4, 4]
    assert own_frames(clips.pixels, None).all()


def test_on_a_device_pixels_are_floats_in_0_to_1():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    there = Queries(pixels, (4,)).on("cpu")
    assert there.pixels.dtype == torch.float32 and there.ids == (4,)
    torch.testing.assert_close(there.pixels.flatten(), torch.tensor([0.0, 0.2, 1.0]))
    double = Queries(pixels.double() / 255).on("cpu")
    assert double.pixels.dtype == torch.float64
    clips = Queries(pixels.view(1, 1, 3, 1, 1), lengths=torch.tensor([1])).on("cpu")
    assert clips.pixels.dtype == torch.float32 and clips.lengths.tolist() == [1]


def test_laid_out_pixels_are_a_copy():
    images = Queries(torch.rand(2, 3, 4, 4), (3, 1))
    copied = images.laid_out(torch.channels_last)
    assert copied.pixels.is_contiguous(memory_format=torch.channels_last)
    copied.pixels.zero_()
    assert images.pixels.any() and copied.ids == (3, 1)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"lengths": None}, "clips need their lengths"),
        ({"lengths": torch.tensor([3, 1, 2])}, "one for each of 4 clips, from 1 to 3"),
        ({"lengths": torch.tensor([3, 0, 2, 3])}, "from 1 to 3"),
        ({"lengths": torch.tensor([3, 4, 2, 3])}, "from 1 to 3"),
        ({"pixels": torch.zeros(4, 3, 2, 2)}, "images have no lengths: only clips"),
        ({"pixels": torch.zeros(4, 2, 2)}, r"pixels must be .*3, H, W\).*got"),
        ({"ids": (1, 2)}, "2 query ids for 4 queries"),
        ({"ids": (1, 2, 3, -4)}, "query ids must be 0 or above; got -4"),
        ({"labels": np.eye(3, dtype=bool)}, "3 labels for 4 queries"),
    ],
)
def test_what_does_not_fit_is_refused(part, message, clips, as_for_users):
    with pytest.raises(HashprobeError, match=message):
        dataclasses.replace(clips, **part)


def test_chance_is_of_a_seed_a_query_and_a_purpose():
    def draw(*given):
        return np.random.default_rng(seed_of(*given)).integers(1 << 62)

    assert draw(1, 2, START_STREAM) == draw(1, 2, START_STREAM)
    assert len({draw(s, i, p) for s in range(3) for i in range(3) for p in range(6)}) == 54
    with pytest.raises(HashprobeError, match=r"seed must be a whole number from 0 to .*; got -1"):
        seed_of(-1, 0, 0)
    assert checked_ids(np.array([4, 2]), 2) == (4, 2) and checked_ids(None, 3) == (0, 1, 2)
