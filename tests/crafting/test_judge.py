"""Whatever an attack returns is judged outside of it: in its budget, in 8 bits, in float32."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks._noise import NoiseOptions
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.judge import judge
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import encode

from .work import BUDGET, OPTIONS, Work, assert_same, attack, quick


IDS = [31, 4, 7, 100, 12]
EPS = 64 / 255


@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.parametrize("budget", [BUDGET, Budget(0.1, "normalised")], ids=lambda b: b.space)
def test_what_comes_out(name, budget, work, tmp_path):
    options = OPTIONS if name == "dhta" else quick(name)
    out = attack(work, name, options, budget=budget, out=tmp_path)
    victim, clean = work.victim, work.queries.pixels
    assert out.query_ids.tolist() == IDS and len(out) == 5
    assert (out.target_codes == work.goal.codes).all()
    if "database" not in ATTACKS[name].needs:  # those are given labels that all have some
        assert (out.target_labels == work.goal.labels).all()

    images, images8 = out.images[:], out.images8[:]
    std = victim.contract.std if budget.space == "normalised" else (1.0, 1.0, 1.0)
    radius = torch.tensor([budget.eps * s for s in std]).view(3, 1, 1)
    assert ((images - clean / 255).abs() <= radius + 1e-6).all()
    assert ((images8.int() - clean.int()).abs() <= (255 * radius + 1e-4).floor()).all()
    assert (images8 / 255 - images).abs().max() < 1 / 255
    assert (images8 != clean).any(dim=(1, 2, 3)).all()

    def signs(images):
        with torch.no_grad():
            return np.where(victim(images).numpy() >= 0, 1, -1)

    assert (out.clean_codes.signs() == signs(clean.float() / 255)).all()
    assert (out.codes_float.signs() == signs(images)).all()
    pictures = []
    for query_id in IDS:
        with Image.open(tmp_path / "png" / f"{query_id}.png") as picture:
            assert picture.mode == "RGB" and picture.size == (6, 8)
            pictures.append(np.array(picture).transpose(2, 0, 1))
    read_back = torch.from_numpy(np.stack(pictures))
    assert torch.equal(read_back, images8)
    assert (out.codes.signs() == signs(read_back.float() / 255)).all()

    if name == "bit-margin":
        assert (out.backwards <= 5).all() and (out.backwards > 0).all()
        assert (out.forwards - out.backwards <= 1).all()  # the last iterate is looked at once more
    elif ATTACKS[name].access == "query":
        assert (out.backwards == 0).all() and (out.forwards <= 5).all()
    else:
        passes = {"noise": 0, "prosgan": 0, "nag": 4}.get(name, 5)  # nag takes two an iteration
        # Some look at something else before they start, others at the last iterate once more.
        more = name in ("feature", "hag", "reach", "worst-code")
        assert out.backwards.tolist() == [passes] * 5
        assert out.forwards.tolist() == [passes + more] * 5
    assert out.seconds > 0
    assert not victim._forward_hooks


def test_a_victim_in_training_mode_is_judged_in_evaluation_mode(work):
    calm = attack(work)
    work.victim.train()
    wild = attack(work)
    assert work.victim.training
    assert_same(calm, wild)


class OffGrid(Hasher):
    """+1 where a pixel lies between two bytes, -1 where it is one."""

    def forward(self, images):
        pixels = 255 * images.flatten(1)[:, : self.bits]
        return (pixels - pixels.round()).abs() - 0.01


def test_codes_are_those_of_the_rounded_images_and_floats_stay_beside(work):
    work = work.but(victim=OffGrid(16, work.victim.contract))
    out = attack(work, "noise", NoiseOptions())
    assert (out.clean_codes.signs() == -1).all() and (out.codes.signs() == -1).all()
    assert (out.codes_float.signs() == 1).mean() > 0.7


def test_whatever_an_attack_returns_is_judged(work):
    def reckless(victim, queries, goal, **_):
        return queries.pixels + torch.linspace(-3, 3, queries.pixels.shape[-1])

    out = attack(work, reckless, None)
    change = out.images8.int() - work.queries.pixels.int()
    assert change.min() == -8 and change.max() == 8
    assert out.images.min() >= 0 and out.images.max() <= 1
    moved = (out.images - work.queries.pixels / 255).abs().max()
    assert 0.99 * BUDGET.eps < moved <= BUDGET.eps + 1e-6

    def broken(victim, queries, goal, **_):
        return queries.pixels * torch.nan

    with pytest.raises(HashprobeError, match="returned pixels that are not numbers"):
        attack(work, broken)

    def short(victim, queries, goal, **_):
        return queries.pixels[:1]

    with pytest.raises(HashprobeError, match=r"returned shape \(1, 3, 8, 6\) for \(5, 3, 8, 6\)"):
        attack(work, short)


def test_judging_alone(work):
    """Without an attack and a runner: clean pixels moved by hand."""
    clean = work.queries.on("cpu").pixels
    records = judge(work.victim, work.queries, 1 - clean, work.goal, BUDGET)
    for row, one in enumerate(records):
        moved8 = torch.from_numpy(one.image8)
        assert (moved8.int() - work.queries.pixels[row].int()).abs().max() == 8
        codes = encode(work.victim, Queries(moved8[None].float() / 255)).data
        assert (one.code == codes[0]).all() and (one.target_code == work.goal.codes[row]).all()
        assert (one.forwards, one.backwards, one.length) == (0, 0, 0)
    untargeted = judge(work.victim, work.queries, clean, Goal.untargeted(), BUDGET)
    assert all(one.target_code.size == one.target_label.size == 0 for one in untargeted)
    assert all((one.code == one.clean_code).all() for one in untargeted)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_clips_are_judged_and_kept(name, clip_work, tmp_path):
    out = attack(clip_work, name, quick(name, 6), budget=Budget(EPS), out=tmp_path)
    images8, queries = out.images8[:], clip_work.queries
    assert images8.shape == queries.pixels.shape
    moved = Queries(images8.float() / 255, lengths=queries.lengths)
    assert (encode(clip_work.victim, moved).data == out.codes.data).all()
    assert (encode(clip_work.victim, queries.on("cpu")).data == out.clean_codes.data).all()
    for row, length in enumerate(queries.lengths.tolist()):
        query_id = queries.ids[row]
        frames = sorted((tmp_path / "png" / str(query_id)).glob("*.png"))
        assert [path.name for path in frames] == [f"{i:03d}.png" for i in range(length)]
        for i, path in enumerate(frames):
            with Image.open(path) as picture:
                found = np.array(picture).transpose(2, 0, 1)
            assert (found == images8[row, i].numpy()).all()


@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.parametrize("rule", [{"frames": 2}, {"shared": True}, {"frames": 3, "shared": True}])
def test_clips_are_judged_within_the_frames_of_the_budget(name, rule, clip_work):
    out = attack(clip_work, name, quick(name, 6), budget=Budget(EPS, **rule))
    clean8, moved8 = clip_work.queries.pixels, out.images8[:]
    seen = (moved8 != clean8).flatten(2).any(2)
    assert (seen.sum(1) <= torch.tensor(rule.get("frames", 6))).all() and seen.any()
    assert ((out.images[:] != clean8.float() / 255).flatten(2).any(2) >= seen).all()
    if "shared" in rule:
        for row in range(5):
            change = (moved8[row].int() - clean8[row].int())[seen[row]]
            if len(change):
                common = change.gather(0, change.abs().argmax(0, keepdim=True))
                wanted = (clean8[row].int()[seen[row]] + common).clamp(0, 255)
                assert torch.equal(wanted, moved8[row].int()[seen[row]])


def greedy(victim, queries, goal, *, budget, **_):
    """An attack that minds no rule: it moves every value of every frame, each its own way."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(queries.pixels.shape, generator=rng)
    return (queries.pixels + budget.eps * noise).clamp(0, 1)


@pytest.mark.parametrize("rule", [{"frames": 2}, {"shared": True}, {"frames": 1, "shared": True}])
def test_what_an_attack_does_beyond_its_frames_is_taken_back(rule, clip_work):
    out = attack(clip_work, greedy, budget=Budget(EPS, **rule))
    clean8 = clip_work.queries.pixels
    for row, length in enumerate(clip_work.queries.lengths.tolist()):
        seen = (out.images8[row] != clean8[row]).flatten(1).any(1)
        assert not seen[length:].any() and seen.sum() == min(rule.get("frames", length), length)
        if "shared" in rule:
            clean, moved = clean8[row][seen].float() / 255, out.images[row][seen]
            change = moved - clean
            common = change.gather(0, change.abs().argmax(0, keepdim=True))
            assert torch.allclose((clean + common).clamp(0, 1), moved, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", [{}, {"frames": 1}, {"frames": 2}, {"shared": True}])
def test_a_frame_that_is_no_number_is_refused(rule, clip_work):
    def broken(victim, queries, goal, **_):
        moved = queries.pixels.clone()
        moved[0, 1, 0, 0, 0] = torch.nan
        moved[0, 2] = 1 - moved[0, 2]
        return moved

    with pytest.raises(HashprobeError, match="pixels that are not numbers"):
        attack(clip_work, broken, budget=Budget(EPS, **rule))


@pytest.mark.parametrize(("levels", "steps"), [(1, 11), (5, 11), (5, 20), (15, 20)])
def test_a_shared_change_is_rounded_once_for_all_frames(levels, steps, clip_work):
    """Where steps end halfway between grey levels, too."""
    budget, options = Budget(levels / 255, shared=True), BitMarginOptions(steps=steps)
    out = attack(clip_work, "bit-margin", options, budget=budget)
    assert torch.equal(out.images[:], out.images8[:].float() / 255)
    clean = clip_work.queries.on("cpu")
    moved = bit_margin(clip_work.victim, clean, clip_work.goal, budget=budget, options=options)
    assert torch.equal(moved, out.images[:]) and (moved != clean.pixels).any()


@pytest.mark.parametrize("off", [2e-7, 1e-4])
def test_grey_levels_are_judged_once_and_others_twice(off, clip_work):
    def nearly(victim, queries, goal, **_):
        # What was before is the probe of the victim.
        seen.clear()
        counted.clear()
        return (queries.pixels * 255).round().clamp(1, 254) / 255 + off

    seen = []
    hook = clip_work.victim.register_forward_hook(lambda *_: seen.append(1))
    counted = []
    real = type(clip_work.victim).code

    def code(self, features, lengths):
        counted.append(1)
        return real(self, features, lengths)

    clip_work.victim.code = code.__get__(clip_work.victim)
    out = attack(clip_work, nearly, budget=Budget(EPS))
    hook.remove()
    exact = torch.equal(out.images[:], out.images8[:].float() / 255)
    assert (exact, len(counted)) == ((True, 2) if off < 1e-6 else (False, 3))
    assert len(seen) == (0 if off < 1e-6 else 1)


def rows_through(victim, monkeypatch):
    """Rows that go through a victim itself, one list entry a pass; copies in bfloat16 do not."""
    seen, own = [], type(victim).forward

    def counted(self, images, *more):
        if self is victim:
            seen.append(len(images))
        return own(self, images, *more)

    monkeypatch.setattr(type(victim), "forward", counted)
    return seen


def easy(work):
    """The same with target codes that a step reaches: those of brighter pictures."""
    brighter = (work.queries.pixels.float() / 255 + 8 / 255).clamp(0, 1)
    return work.but(codes=encode(work.victim, Queries(brighter)).signs().astype(np.int8))


def test_a_picture_is_judged_once(work, monkeypatch):
    """What bfloat16 takes for reached is confirmed in float32, and that is its judgement."""
    work = easy(work)
    options, wide = BitMarginOptions(steps=40), Budget(64 / 255)
    with monkeypatch.context() as patch:  # as it was: nothing is remembered
        patch.setattr("hashprobe.optim.problem.remember", lambda *_: None)
        before = rows_through(work.victim, patch)
        plain = attack(work, "bit-margin", options, precision="bfloat16", budget=wide)
    known = work.but()
    known = Work(known.victim, known.queries, replace(known.goal, own_codes=plain.clean_codes))
    after = rows_through(work.victim, monkeypatch)
    judged = attack(known, "bit-margin", options, precision="bfloat16", budget=wide)
    reached = int((plain.codes.signs() == plain.target_codes).all(1).sum())
    assert reached == len(work.queries)
    # One pass less for the clean query, and one less for the confirmed picture.
    assert sum(before) - sum(after) == 2 * len(work.queries)
    assert_same(plain, judged)


def test_codes_that_are_no_signs_are_never_taken_from_logits(work):
    class Own(type(work.victim)):
        def codes(self, *given):
            return PackedCodes.from_logits(-self(*given))

    work.victim.__class__ = Own
    out = attack(easy(work), "bit-margin", BitMarginOptions(steps=40), precision="bfloat16")
    assert (out.codes.data == encode(work.victim, Queries(out.images8[:] / 255)).data).all()


def test_codes_of_another_network_are_never_taken_for_those_of_the_victim(work, conv):
    """A function may steer by a network of its own, which confirms its own codes."""
    other = conv(seed=1, dtype=torch.float32)
    easier = easy(work.but(victim=other))

    def by_another(victim, queries, goal, **more):
        return bit_margin(other, queries, goal, **more)

    options, wide = BitMarginOptions(steps=40), Budget(64 / 255)
    work = work.but(codes=easier.goal.codes)
    out = attack(work, by_another, options, precision="bfloat16", budget=wide)
    moved = Queries(out.images8[:].float() / 255)
    assert (encode(other, moved).signs() == out.target_codes).all(1).any()
    assert (out.codes.data == encode(work.victim, moved).data).all()
