"""Random draws of a training: held-out items, batches, crops."""

import numpy as np
import pytest
import torch

from hashprobe.training.options import TrainOptions
from hashprobe.training.sampling import augment, draw_batch, hold_out, step_seed


@pytest.mark.parametrize(("items", "wanted", "held"), [(100, 500, 10), (100, 4, 4), (9, 500, 0)])
def test_the_held_out_part_is_apart(items, wanted, held):
    kept, out = hold_out(items, TrainOptions(held_out=wanted))
    assert len(out) == held
    assert sorted([*kept.tolist(), *out.tolist()]) == list(range(items))
    other = hold_out(items, TrainOptions(held_out=wanted, seed=1))[1]
    assert held == 0 or not np.array_equal(out, other)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(("items", "batch"), [(21, 10), (24, 8), (13, 4), (7, 1)])
def test_batches_cover_every_item_and_repeat_none(items, batch, processes):
    chosen = TrainOptions(batch_size=batch)
    per_epoch = -(-items // batch)
    seen = []
    for step in range(per_epoch):
        shares = [draw_batch(items, chosen, 3, step, r, processes) for r in range(processes)]
        assert len({len(share) for share in shares}) == 1
        assert len(shares[0]) >= 2
        together = np.concatenate(shares)
        assert len(set(together.tolist())) == len(together)
        seen.append(together)
    dropped = items - len(set(np.concatenate(seen).tolist()))
    assert dropped <= per_epoch * (processes - 1)
    again = draw_batch(items, chosen, 4, 0, 0, processes)
    assert not np.array_equal(again, draw_batch(items, chosen, 3, 0, 0, processes))


def test_draws_differ_by_epoch_step_and_process():
    numbers = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    assert len({step_seed(*n) for n in numbers}) == 5


def test_crops_are_pictures_moved_by_at_most_an_eighth(pictures):
    images = pictures(50, size=16)[0]
    padded = torch.nn.functional.pad(images.float(), (2,) * 4, mode="reflect").to(torch.uint8)
    draws = torch.Generator().manual_seed(0)
    for kind, mirrored in (("crop", False), ("crop-flip", True)):
        moved = augment(images, kind, draws)
        assert (moved.dtype, moved.shape) == (images.dtype, images.shape)
        places = []
        for i, image in enumerate(moved):
            for flip in (False, True):
                shown = image.flip(-1) if flip else image
                places += [
                    (top, left, flip)
                    for top in range(5)
                    for left in range(5)
                    if torch.equal(padded[i, :, top : top + 16, left : left + 16], shown)
                ]
        assert len(places) == 50
        assert {flip for _, _, flip in places} == ({False, True} if mirrored else {False})
        assert {top for top, _, _ in places} == {left for _, left, _ in places} == set(range(5))
    assert torch.equal(augment(images, "none", draws), images)
