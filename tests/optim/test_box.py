import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.optim.box import Box, project, reach_of, round_to_bytes
from hashprobe.types import Budget, InputContract


def test_box_clamps_in_either_order():
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    wild = images + torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    ours = Box.around(images, Budget(0.2), InputContract()).clip(wild.clone())
    pixels_first = images + (wild.clamp(0, 1) - images).clamp(-0.2, 0.2)
    ball_first = (images + (wild - images).clamp(-0.2, 0.2)).clamp(0, 1)
    torch.testing.assert_close(ours, pixels_first)
    torch.testing.assert_close(ours, ball_first)


def test_clipping_is_in_place_and_shows_the_same_pixels():
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    box, wild = Box.around(images, Budget(0.2), InputContract()), images + 0.5
    clipped = box.clip(wild)
    assert clipped is wild
    shown = torch.empty_like(images)
    assert box.show(wild, shown) is shown and torch.equal(shown, wild)


def test_rows_of_a_box_are_the_boxes_of_these_rows():
    images = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    for eight_bit in (False, True):
        budget, contract = Budget(2.5 / 255), InputContract()
        box = Box.around(images, budget, contract, eight_bit=eight_bit)
        for rows in (torch.tensor([2, 0]), slice(1, 3)):
            part = box.rows(rows)
            alone = Box.around(images[rows], budget, contract, eight_bit=eight_bit)
            assert torch.equal(part.low, alone.low) and torch.equal(part.high, alone.high)
            assert (part.whole is None) == (alone.whole is None) == (not eight_bit)
            for one, other in zip(part.whole or (), alone.whole or (), strict=True):
                assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("budget", "reach"),
    [
        (Budget(8 / 255), (8, 8, 8)),
        (Budget(0.032), (8, 8, 8)),
        (Budget(7.99 / 255), (7, 7, 7)),
        (Budget(0.5 / 255), (0, 0, 0)),
        (Budget(0.032, "normalised"), (1, 1, 1)),
        (Budget(0.1, "normalised"), (5, 5, 5)),
        (Budget(1.0), (255, 255, 255)),
    ],
)
def test_rounding_keeps_the_budget_for_every_byte(budget, reach):
    """Every clean byte with every wish, against the nearest of the allowed integers."""
    clean = torch.arange(256, dtype=torch.uint8).repeat_interleave(103)
    wish = torch.linspace(0, 1, 103).repeat(256)
    shape = (1, 3, 1, len(wish))
    out = round_to_bytes(wish.expand(shape), clean.expand(shape), budget, InputContract())
    assert tuple(reach_of(budget, InputContract())) == reach
    for channel, r in enumerate(reach):
        moved = out[0, channel, 0].long() - clean.long()
        assert moved.abs().max() == r
        nearest = (wish.double() * 255).round().long()
        low, high = clean.long() - r, clean.long() + r
        allowed = torch.maximum(torch.minimum(nearest, high), low)
        assert torch.equal(out[0, channel, 0].long(), allowed.clamp(0, 255))


def test_every_n_over_255_reaches_n():
    clean = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    for n in range(1, 256):
        out = round_to_bytes(torch.ones(1, 3, 1, 1), clean, Budget(n / 255), InputContract())
        assert (out == n).all()


def test_normalised_budget_of_n_over_255_reaches_n():
    clean = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    contract = InputContract()
    for n, std in [(n, std) for n in range(1, 60) for std in contract.std]:
        budget = Budget(n / 255 / std, "normalised")
        out = round_to_bytes(torch.ones(1, 3, 1, 1), clean, budget, contract)
        assert out[0, contract.std.index(std)] == n


def test_rounding_refuses_nan():
    clean = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    with pytest.raises(HashprobeError, match="pixels that are not numbers"):
        round_to_bytes(torch.full((1, 3, 1, 1), torch.nan), clean, Budget(), InputContract())


@pytest.mark.parametrize("space", ["pixel", "normalised"])
@pytest.mark.parametrize("n", range(1, 40, 3))
def test_iterates_in_grey_levels_go_as_far_as_rounding_does(space, n):
    """Every clean byte: what a network is shown at both ends is what may be written into a file."""
    contract = InputContract()
    eps = n / 255 if space == "pixel" else n / 255 / contract.std[1]
    clean8 = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    box = Box.around(clean8.float() / 255, Budget(eps, space), contract, eight_bit=True)
    for end in (0.0, 1.0):
        levels = box.clip(torch.full((1, 3, 1, 256), 255 * end))
        shown = box.show(levels, torch.empty_like(levels))
        wanted = round_to_bytes(
            torch.full((1, 3, 1, 256), end), clean8, Budget(eps, space), contract
        )
        assert torch.equal(shown, wanted.float() / 255)


def shown(box, images):
    """What a network is shown of pixels in [0, 1] after a clip, in [0, 1] again."""
    levels = box.clip(box.scale * images)
    return box.show(levels, torch.empty_like(levels))


def test_box_of_grey_levels():
    images = torch.tensor([0.0, 1.0, 100 / 255, 0.5]).view(1, 1, 1, 4).repeat(1, 3, 1, 1)
    box = Box.around(images, Budget(8 / 255), InputContract(), eight_bit=True)
    low, high = shown(box, torch.zeros_like(images)), shown(box, torch.ones_like(images))
    assert (255 * low[0, 0]).round().flatten().tolist() == [0, 247, 92, 120]
    assert (255 * high[0, 0]).round().flatten().tolist() == [8, 255, 108, 135]


def test_where_no_grey_level_lies_within_the_budget_the_clean_pixel_is_shown():
    """One channel may change by a level, the others by none: 127.5 lies between two levels."""
    contract = InputContract(std=(0.2, 0.25, 0.4))
    images = torch.tensor([0.0, 1.0, 100 / 255, 0.5]).view(1, 1, 1, 4).repeat(1, 3, 1, 1)
    budget = Budget(1.01 / 255 / 0.4, "normalised")
    box = Box.around(images, Budget(0.1 / 0.4, "normalised"), contract, eight_bit=True)
    assert (shown(box, torch.ones_like(images)) != images)[..., 0].all()
    tight = Box.around(images, budget, contract, eight_bit=True)
    bright = shown(tight, torch.ones_like(images))
    assert torch.equal(bright[:, :2, :, :3], images[:, :2, :, :3])
    assert (255 * bright[0, 2, 0]).round().tolist() == [1, 255, 101, 128]
    half = Box.around(images, Budget(1.01 / 255 / 0.4 * 0.999, "normalised"), contract)
    assert half.whole is None


def test_a_budget_below_one_grey_level_is_refused_for_grey_levels_alone():
    images = torch.full((1, 3, 1, 1), 0.5)
    assert Box.around(images, Budget(0.003), InputContract()).scale == 1
    with pytest.raises(HashprobeError, match=r"no 8-bit pixel can change within .*0\.003"):
        Box.around(images, Budget(0.003), InputContract(), eight_bit=True)


def test_a_shared_change_of_pixels_between_grey_levels_stays_in_the_budget():
    clips = torch.rand(3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    contract = InputContract(size=8, frames=4)
    box = Box.around(clips, Budget(2.5 / 255, shared=True), contract, eight_bit=True)
    moved = shown(box, clips + 0.3)
    assert torch.allclose(moved, (clips + 2 / 255).clamp(0, 1), atol=1e-6)


def test_a_change_is_cut_only_beyond_black_and_white():
    clips = torch.tensor([0.0, 1.0, -1e-3, 1.001]).view(1, 1, 1, 1, 4).expand(1, 1, 3, 1, 4)
    box = Box.around(clips.clamp(0, 1), Budget(0.1, shared=True), InputContract(frames=1))
    darker, lighter = torch.ones_like(clips), -torch.ones_like(clips)
    assert box.cut(clips, darker)[0, 0, 0, 0].tolist() == [False, False, True, False]
    assert box.cut(clips, lighter)[0, 0, 0, 0].tolist() == [False, False, False, True]
    levels = Box.around(
        clips.clamp(0, 1), Budget(0.1, shared=True), InputContract(frames=1), eight_bit=True
    )
    hair = torch.tensor([-1e-5, 255 + 1e-5, -0.1, 255.1]).view(1, 1, 1, 1, 4).expand_as(clips)
    assert levels.cut(hair, darker)[0, 0, 0, 0].tolist() == [False, False, True, False]
    assert levels.cut(hair, lighter)[0, 0, 0, 0].tolist() == [False, False, False, True]


def test_frames_that_may_not_change_have_no_room():
    clips = torch.rand(1, 3, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    open = torch.tensor([[True, False, True]])
    for eight_bit in (False, True):
        box = Box.around(clips, Budget(0.1), InputContract(frames=3), eight_bit=eight_bit)
        closed = box.within(clips, open)
        assert box.within(clips, torch.ones_like(open)) is box
        moved = shown(closed, torch.ones_like(clips))
        # In grey levels the one path to [0, 1] and back may cost the last bit of a float.
        torch.testing.assert_close(moved[:, 1], clips[:, 1], rtol=0, atol=2e-7)
        assert (moved[:, ::2] > clips[:, ::2]).any()


def test_projection_takes_back_what_is_beyond_a_rule_and_leaves_padding_clean():
    clips = torch.full((2, 4, 3, 2, 2), 0.5)
    lengths = torch.tensor([4, 2])
    size = torch.tensor([0.05, 0.2, 0.1, 0.3]).view(1, 4, 1, 1, 1)
    moved = project(clips + size, clips, Budget(0.15, frames=2), InputContract(frames=4), lengths)
    change = (moved - clips)[:, :, 0, 0, 0]
    wanted = torch.tensor([[0, 0.15, 0, 0.15], [0.05, 0.15, 0, 0]])
    torch.testing.assert_close(change, wanted)


@pytest.mark.parametrize("level", [-7, -1, 1, 7])
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_shared_change_of_either_sign_passes_by_a_frame_that_is_closed(closed, level):
    """A closed frame changes by 0, which is more than a change towards black, but not in size."""
    clean = torch.tensor([100.0, 120, 140]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 2, 2) / 255
    budget, contract = Budget(8 / 255, shared=True), InputContract(frames=3)
    open = torch.arange(3)[None] != closed
    box = Box.around(clean, budget, contract, eight_bit=True).within(clean, open)
    moved = box.clip(255 * clean + level)
    out = (255 * (box.show(moved, torch.empty_like(clean)) - clean)).round()
    wanted = [0 if frame == closed else level for frame in range(3)]
    assert out[0, :, 0, 0, 0].tolist() == wanted
    # The same of what an attack returns, where a rule of two frames closes the third.
    change = torch.where(open[:, :, None, None, None], level / 255, 0.0).expand_as(clean)
    rule = Budget(8 / 255, frames=2, shared=True)
    back = (255 * (project(clean + change, clean, rule, contract) - clean)).round()
    assert back[0, :, 0, 0, 0].tolist() == wanted


def test_halves_are_rounded_alike_in_all_frames_of_a_shared_change():
    """Each by itself, 102.5 would become 102 and 103.5 become 104."""
    clean = torch.tensor([100, 101, 254], dtype=torch.uint8).view(1, 3, 1, 1, 1)
    clean = clean.expand(1, 3, 3, 1, 1)
    budget, contract = Budget(4 / 255, shared=True), InputContract(frames=3)
    out = round_to_bytes((clean.double() + 2.5) / 255, clean, budget, contract)
    assert out[0, :, 0, 0, 0].tolist() == [103, 104, 255]
