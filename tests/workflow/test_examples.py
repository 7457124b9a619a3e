"""Which queries and frames a report shows."""

import pytest
import torch

from hashprobe.types import InputContract
from hashprobe.workflow.examples import choice, query_frames, result_frames, shown_frames


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        (range(1, 17), (3, 6, 9, 12, 15)),
        ((), (3, 6, 9, 12, 15)),
        ((3, 6, 9, 12, 15), (3, 6, 9, 12, 15)),
        ((1, 14), (1, 14)),
        (range(2, 17, 2), (2, 4, 6, 8, 10, 12, 14)),
    ],
)
def test_unchanged_frames_are_not_shown_where_others_changed(changed, shown):
    clip = torch.randint(0, 200, (16, 3, 8, 8), dtype=torch.uint8)
    moved = clip.clone()
    moved[[n - 1 for n in changed]] += 1
    padded = torch.cat([moved, moved[:4]])
    assert shown_frames(clip, padded, InputContract(size=8, frames=20)) == shown


def test_images_have_no_frames():
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    assert shown_frames(image, image, InputContract(size=8)) == ()


@pytest.mark.parametrize(
    ("length", "query", "result"),
    [
        (1, (1,), (1,)),
        (2, (1, 2), (1, 2)),
        (8, tuple(range(1, 9)), (1, 4, 8)),
        (9, (3, 6, 9), (1, 5, 9)),
        (40, (3, 6, 9, 12, 15, 18, 21), (1, 20, 40)),
    ],
)
def test_frames_that_stand_for_a_clip(length, query, result):
    assert (query_frames(length), result_frames(length)) == (query, result)


def test_only_clips_have_their_frames_explained():
    assert choice(3, 16).startswith(choice(3, 0)) and len(choice(3, 16)) > len(choice(3, 0))
