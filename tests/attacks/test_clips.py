"""Every attack on clips of different lengths: budget, padding, batches, runner, resume."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from hashprobe.attacks.objectives import bit_margin_loss
from hashprobe.optim.encoding import encode, encode_both
from hashprobe.optim.session import Session
from PIL import Image
from torch.nn.utils.rnn import pack_padded_sequence

from hashprobe.attacks._bit_margin import SOFT, BitMarginOptions
from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.attacks.registry import ATTACKS
from hashprobe.attacks.targets import TargetCodes
from hashprobe.crafting.attack_result import Attacked
from hashprobe.crafting.runner import craft
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import minimise
from hashprobe.optim.box import Box
from hashprobe.optim.descend import MARGIN, judge
from hashprobe.optim.problem import SomeFrames
from hashprobe.optim.rule import Descent
from hashprobe.types import Budget, InputContract
from hashprobe.victims.base import Hasher
from hashprobe.victims.clip import FramewiseHasher, VideoHasher
from hashprobe.victims.image import ImageHasher


BUDGET = Budget(64 / 255)
LENGTHS = torch.tensor([6, 2, 4, 1, 5])
IDS = [3, 14, 15, 92, 65]


def coloured(n, seed):
    """Clips whose frames have a colour each: noise alone looks all the same to a network."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (n, 6, 3, 2, 2)).repeat(4, 3).repeat(4, 4)
    noise = rng.integers(-40, 41, (n, 6, 3, 8, 8))
    return torch.from_numpy((colours + noise).clip(0, 255).astype(np.uint8))


def hasher_of(dtype=torch.float32):
    torch.manual_seed(0)
    hasher = VideoHasher("small", 16, size=8, frames=6, hidden=16).eval()
    with torch.no_grad():  # as after a training: features and bits are balanced, frames matter
        seen = coloured(60, 5).float() / 255
        features = hasher.features(seen.flatten(0, 1))
        hasher.lstm.weight_ih_l0.mul_(1.0 / features.std())
        hasher.lstm.bias_ih_l0.sub_(hasher.lstm.weight_ih_l0 @ features.mean(0))
        logits = hasher(seen, torch.randint(1, 7, (60,)))
        norm = hasher.head[1]
        norm.running_mean.copy_(logits.mean(0))
        norm.running_var.copy_(logits.var(0))
    return hasher.to(dtype)


@pytest.fixture
def clips8():
    clips = coloured(5, 0)
    for row, length in enumerate(LENGTHS.tolist()):
        clips[row, length:] = 0
    return clips


@pytest.fixture(params=sorted(ATTACKS))
def attack(request):
    return request.param


def quick(name, steps=6):
    options = ATTACKS[name].options()
    if "steps" in {field.name for field in dataclasses.fields(options)}:
        options = dataclasses.replace(options, steps=steps)
    return options


def aims(name, clips, lengths):
    """Target clips for attacks that steer to some: others of other lengths, padded with noise."""
    if not ATTACKS[name].wants_images:
        return {}
    return {"target_images": clips.flip(-2), "target_lengths": lengths}


def run(name, hasher, clips, targets, lengths, ids=None, **more):
    given = aims(name, clips, lengths)
    return ATTACKS[name].run(
        hasher, clips, targets, budget=BUDGET, options=quick(name), seed=2, query_ids=ids,
        session=Session(lengths=lengths, **more), **given,
    )  # fmt: skip


def test_a_batch_of_any_lengths_is_each_clip_alone(attack, clips8, random_signs):
    """Without its padding: neither other clips nor what comes after the last frame matter."""
    hasher, clips, targets = hasher_of(torch.float64), clips8.double() / 255, random_signs(5, 16)
    together = run(attack, hasher, clips, targets, LENGTHS, IDS)
    pooled = run(attack, hasher, clips, targets, LENGTHS, IDS, batch_size=2)
    torch.testing.assert_close(pooled, together, rtol=0, atol=1e-9)
    assert together.shape == clips.shape
    assert ((together - clips).abs() <= BUDGET.eps + 1e-9).all()
    if attack == "noise":
        return  # a draw for every value: a shorter array takes other ones
    for row, length in enumerate(LENGTHS.tolist()):
        alone = run(
            attack, hasher, clips[row : row + 1, :length], targets[row : row + 1],
            LENGTHS[row : row + 1], IDS[row : row + 1],
        )  # fmt: skip
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-9)
        changed = (alone[0] - clips[row, :length]).abs().amax((1, 2, 3))
        assert (changed > 0).all()  # every frame is used


def test_frames_beyond_a_clip_are_left_alone(attack, clips8, random_signs):
    hasher, clips = hasher_of(torch.float64), clips8.double() / 255
    moved = run(attack, hasher, clips, random_signs(5, 16), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(moved[row, length:], clips[row, length:])


def test_the_default_attack_reaches_codes(clips8, random_signs):
    hasher, clips = hasher_of(), clips8.float() / 255
    targets = random_signs(5, 16, dtype=torch.float32)
    moved = run("bit-margin", hasher, clips, targets, LENGTHS)
    with torch.no_grad():
        before, after = (
            (torch.where(hasher(x, LENGTHS) >= 0, 1.0, -1.0) != targets).sum().item()
            for x in (clips, moved)
        )
    assert after < before / 2


@pytest.fixture
def work(clips8):
    rng = np.random.default_rng(1)
    codes = rng.choice(np.array([-1, 1], np.int8), (5, 16))
    targets = TargetCodes(np.eye(5, 4, dtype=bool), codes, np.zeros((5, 1), np.int64))
    return {
        "hasher": hasher_of(),
        "images8": clips8,
        "query_ids": IDS,
        "targets": targets,
        "lengths": LENGTHS,
        "budget": BUDGET,
    }


def aims8(name, work):
    if not ATTACKS[name].wants_images:
        return {}
    return {"target_images8": work["images8"].flip(-1), "target_lengths": work["lengths"]}


def test_the_runner_judges_and_keeps_clips(attack, work, tmp_path):
    more = aims8(attack, work)
    out = craft(**work, **more, attack=attack, options=quick(attack), out=tmp_path)
    images8 = out.images8[:]
    assert images8.shape == work["images8"].shape
    codes = encode(work["hasher"], images8.float() / 255, LENGTHS)
    assert (codes.data == out.codes.data).all()
    clean = encode(work["hasher"], work["images8"].float() / 255, LENGTHS)
    assert (clean.data == out.clean_codes.data).all()
    for row, (query_id, length) in enumerate(zip(IDS, LENGTHS.tolist(), strict=True)):
        frames = sorted((tmp_path / "png" / str(query_id)).glob("*.png"))
        assert [path.name for path in frames] == [f"{i:03d}.png" for i in range(length)]
        for i, path in enumerate(frames):
            with Image.open(path) as picture:
                found = np.array(picture).transpose(2, 0, 1)
            assert (found == images8[row, i].numpy()).all()
    again = Attacked.load(tmp_path)
    assert torch.equal(again.images8[:], images8) and torch.equal(again.images[:], out.images[:])


def test_target_clips_have_lengths_of_their_own(work):
    """What comes after a target's last frame plays no part, and it may be longer than a query."""
    aim = torch.cat([work["images8"].flip(-1), work["images8"].flip(-2)[:, :2]], 1)
    lengths = torch.tensor([3, 8, 1, 4, 6])
    work |= {"attack": "feature", "options": quick("feature"), "target_lengths": lengths}
    work["hasher"].contract = dataclasses.replace(work["hasher"].contract, frames=8)
    plain = craft(**work, target_images8=aim)
    noisy = aim.clone()
    for row, length in enumerate(lengths.tolist()):
        noisy[row, length:] = torch.randint(0, 256, noisy[row, length:].shape, dtype=torch.uint8)
    same = craft(**work, target_images8=noisy)
    assert torch.equal(same.images[:], plain.images[:])
    other = craft(**{**work, "target_lengths": lengths.clamp(max=2)}, target_images8=aim)
    changed = (other.images[:] != plain.images[:]).flatten(1).any(1)
    assert changed.tolist() == [True, True, False, True, True]
    with pytest.raises(HashprobeError, match="target clips need their lengths"):
        craft(**{**work, "target_lengths": None}, target_images8=aim)


def test_clips_resume_and_mend(work, tmp_path):
    settings = {"attack": "dhta", "options": quick("dhta"), "out": tmp_path, "batch_size": 2}
    whole = craft(**work, **settings)
    (tmp_path / "queries" / f"{IDS[2]}.npz").unlink()
    (tmp_path / "png" / str(IDS[0]) / "001.png").write_bytes(b"torn")
    (tmp_path / "png" / str(IDS[0]) / "000.png").unlink()
    again = craft(**work, **settings)
    assert torch.equal(whole.images8[:], again.images8[:])
    with Image.open(tmp_path / "png" / str(IDS[0]) / "001.png") as picture:
        assert picture.size == (8, 8)
    assert (tmp_path / "png" / str(IDS[0]) / "000.png").is_file()
    with pytest.raises(HashprobeError, match=r"another attack \(lengths of the clips differ\)"):
        craft(**{**work, "lengths": LENGTHS.clamp(max=3)}, **settings)
    craft(**{**work, "lengths": LENGTHS.clamp(max=3)}, **settings, overwrite=True)
    assert len(list((tmp_path / "png" / str(IDS[0])).glob("*.png"))) == 3


def test_bfloat16_takes_clips(work):
    out = craft(**work, precision="bfloat16", options=quick("bit-margin"))
    full = craft(**work, options=quick("bit-margin"))
    for done in (out, full):
        wrong = (done.codes.signs() != work["targets"].codes).sum()
        clean = (done.clean_codes.signs() != work["targets"].codes).sum()
        assert wrong < clean / 2


def test_lengths_that_do_not_fit_are_refused(work, as_for_users):
    for change, message in (
        ({"lengths": None}, "clips need their lengths"),
        ({"lengths": LENGTHS[:4]}, "one for each of 5 clips, from 1 to 6"),
        ({"lengths": LENGTHS - 1}, "from 1 to 6"),
        ({"images8": work["images8"][:, 0]}, "images have no lengths: only clips"),
    ):
        with pytest.raises(HashprobeError, match=message):
            craft(**{**work, **change})


def rule_budget(**rule):
    return Budget(BUDGET.eps, **rule)


def changed_frames(moved, clean):
    return (moved != clean).flatten(2).any(2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", [{"frames": 2}, {"shared": True}, {"frames": 2, "shared": True}])
def test_every_attack_keeps_to_the_frames_of_its_budget(
    attack, rule, precision, clips8, random_signs
):
    hasher, clips = hasher_of(), clips8.float() / 255
    given = aims(attack, clips, LENGTHS)
    moved = ATTACKS[attack].run(
        hasher, clips, random_signs(5, 16, dtype=torch.float32), budget=rule_budget(**rule),
        options=quick(attack), seed=2, query_ids=IDS,
        session=Session(lengths=LENGTHS, precision=precision), **given,
    )  # fmt: skip
    assert moved.min() >= 0 and moved.max() <= 1
    assert ((moved - clips).abs() <= BUDGET.eps + 1e-6).all()
    seen = changed_frames(moved, clips)
    for row, length in enumerate(LENGTHS.tolist()):
        assert not seen[row, length:].any()
        wanted = min(rule.get("frames", length), length)
        assert seen[row].sum() == wanted
        if "shared" in rule:
            assert_alike(moved[row][seen[row]], clips[row][seen[row]], 1e-6)


def assert_alike(moved, clean, slack):
    """The same change in every frame, but for what black and white cut off."""
    change = moved - clean
    common = change.gather(0, change.abs().argmax(0, keepdim=True))
    assert torch.allclose((clean + common).clamp(0, 1), moved, rtol=0, atol=slack)


@pytest.mark.parametrize("rule", [{"frames": 2}, {"shared": True}, {"frames": 3, "shared": True}])
def test_the_runner_judges_within_the_frames_of_the_budget(attack, rule, work):
    more = aims8(attack, work)
    work["budget"] = rule_budget(**rule)
    out = craft(**work, **more, attack=attack, options=quick(attack))
    clean8, moved8 = work["images8"], out.images8[:]
    seen = changed_frames(moved8, clean8)
    assert (seen.sum(1) <= torch.tensor(rule.get("frames", 6))).all() and seen.any()
    assert (changed_frames(out.images[:], clean8.float() / 255) >= seen).all()
    if "shared" in rule:
        for row in range(5):
            change = (moved8[row].int() - clean8[row].int())[seen[row]]
            if len(change):
                common = change.gather(0, change.abs().argmax(0, keepdim=True))
                wanted = (clean8[row].int()[seen[row]] + common).clamp(0, 255)
                assert torch.equal(wanted, moved8[row].int()[seen[row]])


def greedy(hasher, images, targets, *, budget, **_):
    """An attack that minds no rule: it moves every value of every frame, each its own way."""
    rng = torch.Generator().manual_seed(0)
    return (images + budget.eps * torch.randn(images.shape, generator=rng)).clamp(0, 1)


@pytest.mark.parametrize("rule", [{"frames": 2}, {"shared": True}, {"frames": 1, "shared": True}])
def test_what_an_attack_does_beyond_its_frames_is_taken_back(rule, work):
    work["budget"] = rule_budget(**rule)
    out = craft(**work, attack=greedy)
    for row, length in enumerate(LENGTHS.tolist()):
        seen = changed_frames(out.images8[:], work["images8"])[row]
        assert not seen[length:].any() and seen.sum() == min(rule.get("frames", length), length)
        if "shared" in rule:
            clean = work["images8"][row][seen].float() / 255
            assert_alike(out.images[row][seen], clean, 1e-6)


def test_frames_are_chosen_by_the_first_gradient_of_what_is_seen_of_them(clips8, random_signs):
    """Those whose features have the gradient with the largest l1 norm, among the clip's own."""
    hasher, clips = hasher_of(), clips8.float() / 255
    targets = random_signs(5, 16, dtype=torch.float32)
    features = hasher.features(clips.flatten(0, 1)).unflatten(0, (5, 6)).detach().requires_grad_()
    loss = bit_margin_loss(hasher.code(features, LENGTHS), targets, SOFT)
    (gradient,) = torch.autograd.grad(loss.sum(), features)
    assert_chosen(hasher, clips, targets, gradient.abs().sum(2))


def test_where_frames_are_not_seen_by_themselves_their_pixels_decide(clips8, random_signs):
    hasher, clips = hasher_of(), clips8.float() / 255
    hasher = Together(hasher)
    targets = random_signs(5, 16, dtype=torch.float32)
    pixels = clips.clone().requires_grad_()
    loss = bit_margin_loss(hasher(pixels, LENGTHS), targets, SOFT)
    (gradient,) = torch.autograd.grad(loss.sum(), pixels)
    assert_chosen(hasher, clips, targets, gradient.abs().sum((2, 3, 4)))


class Together(Hasher):
    """A network that does not say that it looks at every frame by itself."""

    def __init__(self, inner):
        super().__init__(inner.bits, inner.contract)
        self.inner = inner

    def forward(self, clips, lengths=None):
        return self.inner(clips, lengths)


def assert_chosen(hasher, clips, targets, norms):
    moved = ATTACKS["bit-margin"].run(
        hasher, clips, targets, budget=rule_budget(frames=2), options=quick("bit-margin"),
        session=Session(lengths=LENGTHS),
    )  # fmt: skip
    for row, length in enumerate(LENGTHS.tolist()):
        wanted = set(norms[row, :length].topk(min(2, length)).indices.tolist())
        assert set(changed_frames(moved, clips)[row].nonzero().flatten().tolist()) == wanted


def test_a_pass_through_some_frames_is_a_pass_through_all(clips8, random_signs):
    """The same logits and the same gradient, from the frames that move and the others' features."""
    hasher, clips = hasher_of(torch.float64), clips8.double() / 255
    open = torch.tensor(
        [
            [0, 1, 1, 0, 0, 1],
            [1, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0],
            [1, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 0],
        ]
    ).bool()
    rows, others = torch.tensor([3, 0, 2, 4]), torch.rand(4, 4, 3, 8, 8, dtype=torch.float64)
    features = hasher.features(clips.flatten(0, 1)).unflatten(0, (5, 6)).detach()
    by_itself = SomeFrames(clips, LENGTHS, open, features)
    in_place = SomeFrames(clips, LENGTHS, open, None)
    found = []
    for moving in (by_itself, in_place):
        pixels = others.clone().requires_grad_()
        logits = hasher(*moving.inputs(rows, pixels))
        (gradient,) = torch.autograd.grad((logits * random_signs(4, 16)).sum(), pixels)
        found.append((logits.detach(), gradient))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-12)
    assert torch.equal(found[0][1].abs().sum((2, 3, 4)) > 0, by_itself.given[rows])
    whole = by_itself.whole(rows, others)
    assert torch.equal((whole != clips[rows]).flatten(2).any(2), open[rows])
    torch.testing.assert_close(hasher(whole, LENGTHS[rows]), found[0][0], rtol=0, atol=1e-12)


class Weighted(Hasher):
    """Logits that are a weighted sum of all values, a weight a frame."""

    def forward(self, clips, lengths=None):
        weight = torch.tensor([1.0, 1.0, -1.5]).view(1, 3, 1, 1, 1)
        return -(clips * weight).sum((1, 2, 3, 4)).unsqueeze(1).expand(-1, 8)


def test_a_shared_change_is_not_led_by_frames_that_cannot_show_it():
    """Two black frames ask for darker values, which they cannot show; a grey one for lighter."""
    clean = torch.tensor([0.0, 0.0, 0.5]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 1, 1)
    hasher = Weighted(8, InputContract(size=1, frames=3))
    moved = ATTACKS["dhta"].run(
        hasher, clean, torch.ones(1, 8), budget=rule_budget(shared=True),
        options=DhtaOptions(steps=40, alpha=0.1, step_size=0.03),
    )  # fmt: skip
    before, after = (hasher(x).mean().item() for x in (clean, moved))
    assert after > before - 0.1  # led by them, it would end 1.1 below


def test_restarts_stay_in_the_chosen_frames(clips8, random_signs):
    hasher, clips = hasher_of(), clips8.float() / 255
    options = dataclasses.replace(quick("bit-margin", 2), restarts=2)
    for rule in ({"frames": 2}, {"frames": 2, "shared": True}):
        moved = ATTACKS["bit-margin"].run(
            hasher, clips, random_signs(5, 16, dtype=torch.float32), budget=rule_budget(**rule),
            options=options, session=Session(lengths=LENGTHS),
        )  # fmt: skip
        seen = changed_frames(moved, clips)
        assert (seen.sum(1) <= 2).all()
        if "shared" in rule:
            for row in range(5):
                assert_alike(moved[row][seen[row]], clips[row][seen[row]], 1e-6)


def test_more_frames_than_a_clip_has_are_all_of_them(clips8, random_signs):
    targets = random_signs(5, 16, dtype=torch.float32)
    given = (hasher_of(), clips8.float() / 255, targets)
    one, other = (
        ATTACKS["dhta"].run(
            *given, budget=rule_budget(frames=frames), options=quick("dhta"),
            session=Session(lengths=LENGTHS),
        )
        for frames in (None, 40)
    )  # fmt: skip
    assert torch.equal(one, other)


def test_fewer_frames_achieve_less_and_all_most(clips8, random_signs):
    hasher, clips = hasher_of(), clips8.float() / 255
    targets = random_signs(5, 16, dtype=torch.float32)
    wrong = []
    for rule in ({"frames": 1}, {"shared": True}, {}):
        moved = ATTACKS["bit-margin"].run(
            hasher, clips, targets, budget=rule_budget(**rule), options=quick("bit-margin", 30),
            session=Session(lengths=LENGTHS),
        )  # fmt: skip
        with torch.no_grad():
            signs = torch.where(hasher(moved, LENGTHS) >= 0, 1.0, -1.0)
        wrong.append((signs != targets).sum().item())
    assert wrong[2] < wrong[1] and wrong[2] < wrong[0]


def test_images_have_no_frames(attack, random_signs):
    images = torch.rand(2, 3, 8, 8)
    given = {"target_images": images.flip(-2)} if ATTACKS[attack].wants_images else {}
    for rule in ({"frames": 2}, {"shared": True}):
        with pytest.raises(HashprobeError, match="frames and shared are for clips; got images"):
            ATTACKS[attack].run(
                ImageHasher("small", 16, size=8), images, random_signs(2, 16, dtype=torch.float32),
                budget=rule_budget(**rule), options=quick(attack), **given,
            )  # fmt: skip


def test_an_attack_without_a_rule_resumes_one_from_before_there_were_rules(work, tmp_path):
    settings = {"attack": "dhta", "options": quick("dhta"), "out": tmp_path}
    craft(**work, **settings)
    recipe = json.loads((tmp_path / "attack.json").read_text())["recipe"]
    assert recipe["budget"] == {"eps": BUDGET.eps, "space": "pixel"}
    with pytest.raises(HashprobeError, match=r"another attack \(budget.frames None there, 2 here"):
        craft(**{**work, "budget": rule_budget(frames=2)}, **settings)


class Counting(VideoHasher):
    """A network for clips that notes how many frames go through its backbone."""

    def features(self, frames):
        self.seen.append(len(frames))
        return super().features(frames)


def long_work(steps, precision="float32", **rule):
    """Clips of up to 24 frames, to a code that the clip's last frame alone can hardly reach."""
    hasher = hasher_of()
    hasher.__class__, hasher.seen = Counting, []
    hasher.contract = dataclasses.replace(hasher.contract, frames=24)
    clips = torch.cat([coloured(6, seed) for seed in range(4)], 1).float() / 255
    lengths = torch.tensor([24, 11, 20, 7, 24, 10])
    rng = torch.Generator().manual_seed(3)
    targets = torch.where(torch.rand(6, 16, generator=rng) < 0.5, -1.0, 1.0)
    session = Session(lengths=lengths, batch_size=4, precision=precision)
    told, done = [], []
    session.on_step = lambda spent, most: told.append((spent, most))
    session.on_done = lambda rows, images: done.extend(rows)
    with session.counting(hasher, 6):
        moved = ATTACKS["bit-margin"].run(
            hasher, clips, targets, budget=rule_budget(**rule),
            options=BitMarginOptions(steps=steps), session=session,
        )  # fmt: skip
    signs = torch.where(hasher(moved, lengths) >= 0, 1.0, -1.0)
    wrong = (signs != targets).sum(1)
    return hasher, clips, lengths, moved, wrong, session, told, done


def test_clips_are_tried_on_a_tenth_of_their_frames_first():
    hasher, clips, lengths, moved, wrong, session, told, done = long_work(30)
    tenth = (lengths + 9) // 10
    seen = changed_frames(moved, clips).sum(1)
    quickly = torch.from_numpy(session.backwards) <= 11
    assert quickly.any() and not quickly.all()
    assert (wrong[quickly] == 0).all() and (seen[quickly] <= tenth[quickly]).all()
    assert (seen[~quickly] > tenth[~quickly]).all()
    # First all frames of each clip by itself, to choose; then the chosen ones of four at once.
    assert hasher.seen[:6] == lengths.tolist() and hasher.seen[6] == tenth[:4].sum()
    assert sorted(done) == list(range(6))
    assert told[-1] == (6 * 50, 6 * 50)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_attempts_before_never_hurt(precision, monkeypatch):
    """Whose code they do not reach with a margin is attacked as if there had been none."""
    hasher, clips = hasher_of(), coloured(24, 7).float() / 255
    rng = torch.Generator().manual_seed(5)
    targets = torch.where(torch.rand(24, 16, generator=rng) < 0.5, -1.0, 1.0)
    found = []
    for quick_steps in (10, 1000):
        monkeypatch.setattr(
            sys.modules["hashprobe.attacks._bit_margin"], "QUICK_STEPS", quick_steps
        )
        session = Session(precision=precision)
        with session.counting(hasher, 24):
            moved = ATTACKS["bit-margin"].run(
                hasher, clips, targets, budget=Budget(32 / 255),
                options=BitMarginOptions(steps=30), session=session,
            )  # fmt: skip
        with torch.no_grad():
            found.append((*judge(hasher(moved), targets), session.backwards))
    (wrong, margin, quick), (plain_wrong, plain_margin, plain) = found
    assert (wrong <= plain_wrong).all()
    assert (margin > MARGIN)[plain_margin > MARGIN].all()
    assert (quick < plain).any() and quick.max() > 30 >= plain.max()


def test_few_steps_and_chosen_frames_have_no_tenth_before_them():
    assert long_work(10)[0].seen[0] == 24 + 11 + 20 + 7
    _, clips, lengths, moved, *_ = long_work(11, frames=2)
    assert (changed_frames(moved, clips).sum(1) <= 2).all()
    _, clips, lengths, moved, *_ = long_work(11, shared=True)
    for row, length in enumerate(lengths.tolist()):
        assert_alike(moved[row, :length], clips[row, :length], 1e-6)


def test_attempts_of_a_batch_are_those_of_each_clip_alone(clips8, random_signs):
    hasher, clips, targets = hasher_of(torch.float64), clips8.double() / 255, random_signs(5, 16)
    options = BitMarginOptions(steps=14, restarts=1)

    def attacked(rows, frames=6, **more):
        return ATTACKS["bit-margin"].run(
            hasher, clips[rows, :frames], targets[rows], budget=BUDGET, options=options,
            query_ids=[IDS[row] for row in rows], session=Session(lengths=LENGTHS[rows], **more),
        )  # fmt: skip

    together = attacked(list(range(5)))
    torch.testing.assert_close(attacked(list(range(5)), batch_size=2), together, rtol=0, atol=1e-9)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = attacked([row], length)
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-9)


def test_attempts_before_need_grey_levels(clips8, random_signs):
    plain = Descent(lambda *_: 0, lambda *_: 0, steps=1)
    with pytest.raises(HashprobeError, match="quick needs eight_bit"):
        minimise(
            hasher_of(), clips8.float() / 255, random_signs(5, 16).float(), plain,
            budget=BUDGET, quick=plain,
        )  # fmt: skip


def test_random_starts_leave_padding_alone(clips8, random_signs):
    hasher, clips = hasher_of(), clips8.float() / 255
    options = BitMarginOptions(steps=2, restarts=2)
    for rule in ({}, {"shared": True}, {"frames": 6}, {"frames": 2}):
        moved = ATTACKS["bit-margin"].run(
            hasher, clips, random_signs(5, 16).float(), budget=rule_budget(**rule),
            options=options, session=Session(lengths=LENGTHS),
        )  # fmt: skip
        for row, length in enumerate(LENGTHS.tolist()):
            assert torch.equal(moved[row, length:], clips[row, length:]), rule


class SeesPadding(Hasher):
    """Logits by all frames, padding too: nothing forbids it to a network that ignores lengths."""

    def forward(self, clips, lengths=None):
        return (
            (clips * torch.tensor([1.0, -9.0]).view(1, 2, 1, 1, 1))
            .mean((1, 2, 3, 4))
            .repeat(8, 1)
            .T
        )


def test_padding_has_no_say_in_a_shared_change():
    hasher, clips = (
        SeesPadding(8, InputContract(size=4, frames=2)),
        torch.full((1, 2, 3, 4, 4), 0.5),
    )
    moved = ATTACKS["dhta"].run(
        hasher, clips, torch.ones(1, 8), budget=rule_budget(shared=True),
        options=DhtaOptions(steps=3, alpha=1.0), session=Session(lengths=torch.tensor([1])),
    )  # fmt: skip
    assert (moved[:, 0] > clips[:, 0]).all() and torch.equal(moved[:, 1], clips[:, 1])


@pytest.mark.parametrize("rule", [{}, {"frames": 1}, {"frames": 2}, {"shared": True}])
def test_a_frame_that_is_no_number_is_refused(rule, work):
    def broken(hasher, images, targets, **_):
        moved = images.clone()
        moved[0, 1, 0, 0, 0] = torch.nan
        moved[0, 2] = 1 - moved[0, 2]
        return moved

    work["budget"] = rule_budget(**rule)
    with pytest.raises(HashprobeError, match="pixels that are not numbers"):
        craft(**work, attack=broken)


class Own(FramewiseHasher):
    """A network of one's own, with weights of its own, that writes into what it is given."""

    def __init__(self):
        super().__init__(16, InputContract(size=8, frames=6))
        rng = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(48, 16, generator=rng))

    def features(self, frames):
        pooled = torch.nn.functional.adaptive_avg_pool2d(frames - 0.5, 4).flatten(1)
        return pooled @ self.weight

    def code(self, features, lengths):
        features[torch.arange(features.shape[1]) >= lengths.unsqueeze(1)] = 0
        return features.sum(1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", [{}, {"frames": 2}])
def test_networks_of_ones_own_are_tried_by_few_frames_too(rule, precision, work):
    work |= {"hasher": Own(), "budget": rule_budget(**rule), "options": BitMarginOptions(steps=12)}
    out = craft(**work, precision=precision)
    wrong, clean = (
        (c.signs() != work["targets"].codes).sum() for c in (out.codes, out.clean_codes)
    )
    assert wrong < clean / 2
    assert (
        out.codes.data == encode(work["hasher"], out.images8[:].float() / 255, LENGTHS).data
    ).all()


def test_a_network_that_is_told_no_lengths_takes_a_rule(clips8, random_signs):
    class Plain(Hasher):
        def forward(self, clips):
            return clips.mean((1, 3, 4)).repeat(1, 3)[:, :8] - 0.5

    hasher, clips = Plain(8, InputContract(size=8, frames=6)), clips8.float() / 255
    moved = ATTACKS["bit-margin"].run(
        hasher, clips, random_signs(5, 8).float(), budget=rule_budget(frames=2),
        options=BitMarginOptions(steps=12),
    )  # fmt: skip
    assert changed_frames(moved, clips).sum(1).max() == 2


def test_a_clip_of_one_frame_has_no_tenth(clips8, random_signs):
    hasher, clips = hasher_of(), clips8[:, :1].float() / 255
    session = Session(lengths=torch.ones(5, dtype=torch.int64))
    with session.counting(hasher, 5):
        ATTACKS["bit-margin"].run(
            hasher, clips, random_signs(5, 16).float(), budget=Budget(1 / 255),
            options=BitMarginOptions(steps=12), session=session,
        )  # fmt: skip
    assert session.backwards.max() == 10 + 12


def test_a_clip_of_one_frame_among_others_has_no_tenth_either(clips8, random_signs):
    hasher, clips = hasher_of(), clips8.float() / 255
    targets = random_signs(5, 16).float()
    told, passes = [], []
    for rows in (list(range(5)), [3]):
        session = Session(lengths=LENGTHS[rows])
        session.on_step = lambda *steps: told.append(steps)
        with session.counting(hasher, len(rows)):
            ATTACKS["bit-margin"].run(
                hasher, clips[rows], targets[rows], budget=Budget(1 / 255),
                options=BitMarginOptions(steps=12), session=session,
            )  # fmt: skip
        passes.append((session.forwards[rows.index(3)], session.backwards[rows.index(3)]))
        assert told[-1] == (told[-1][1],) * 2 and told == sorted(told, key=lambda x: x[0])
        told.clear()
    assert passes[0] == passes[1] and passes[0][1] == 10 + 12


def test_a_code_that_the_last_quick_step_reaches_is_done(clips8):
    """The pass that sees it takes no gradient, and no attempt follows."""
    hasher, clips = hasher_of(), clips8.float() / 255
    with torch.no_grad():
        logits = hasher(clips, LENGTHS)
    weakest = logits.abs().argsort(1)[:, :4]
    targets = torch.where(logits >= 0, 1.0, -1.0)
    targets.scatter_(1, weakest, -targets.gather(1, weakest))

    def backwards(quick_steps):
        session = Session(lengths=LENGTHS)
        descent = Descent(
            lambda z, b, _: (1 - b * z / z.abs().mean(1, keepdim=True)).relu().sum(1),
            lambda gradient, _: -0.005 * gradient.sign(), steps=40, eight_bit=True,
        )  # fmt: skip
        with session.counting(hasher, 5):
            minimise(
                hasher, clips, targets, descent, budget=rule_budget(frames=6), session=session,
                quick=dataclasses.replace(descent, steps=quick_steps),
            )  # fmt: skip
        return session.backwards

    usual = backwards(40)
    reached = set(usual[usual < 41].tolist())
    assert len(reached) > 1
    for passes in reached:
        assert (backwards(passes - 1)[usual == passes] == passes - 1).all()


def test_a_narrow_code_is_not_worth_another_start():
    """A clip that may not move far enough for a margin, whose code is right as it is."""
    hasher, clips = hasher_of(), coloured(40, 3).float() / 255
    with torch.no_grad():
        logits = hasher(clips)
    targets = torch.where(logits >= 0, 1.0, -1.0)
    _, margin = judge(logits, targets)
    narrow = margin < 0.01
    session = Session()
    clips, targets = clips[narrow], targets[narrow]
    with session.counting(hasher, len(clips)):
        moved = ATTACKS["bit-margin"].run(
            hasher, clips, targets, budget=Budget(1 / 255),
            options=BitMarginOptions(steps=3, restarts=2), session=session,
        )  # fmt: skip
    with torch.no_grad():
        wrong, margin = judge(hasher(moved), targets)
    thin = (wrong == 0) & (margin <= MARGIN)
    assert thin.any() and (session.backwards[thin.numpy()] == 3).all()


@pytest.mark.parametrize(("levels", "steps"), [(1, 11), (5, 11), (5, 20), (15, 20)])
def test_a_shared_change_is_rounded_once_for_all_frames(levels, steps, work):
    """Where steps end halfway between grey levels, too."""
    budget = Budget(levels / 255, shared=True)
    work |= {"budget": budget, "options": BitMarginOptions(steps=steps)}
    out = craft(**work)
    assert torch.equal(out.images[:], out.images8[:].float() / 255)
    clips = work["images8"].float() / 255
    targets = torch.from_numpy(work["targets"].codes).float()
    moved = ATTACKS["bit-margin"].run(
        work["hasher"], clips, targets, budget=budget, options=work["options"],
        session=Session(lengths=LENGTHS),
    )  # fmt: skip
    assert torch.equal(moved, out.images[:]) and (moved != clips).any()


def test_a_shared_change_of_pixels_between_grey_levels_stays_in_the_budget():
    clips = torch.rand(3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    box = Box.around(clips, Budget(2.5 / 255, shared=True), InputContract(size=8, frames=4))
    moved = box.eight_bit(clips + 0.3)
    assert torch.allclose(moved, (clips + 2 / 255).clamp(0, 1), atol=1e-6)


class Tanh(Own):
    """Its features are needed for the way back, and `code` writes into them."""

    def features(self, frames):
        return super().features(frames).tanh()


@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((5,), 6)])
def test_a_network_may_write_into_its_features(lengths, work):
    work |= {"hasher": Tanh(), "lengths": lengths, "options": BitMarginOptions(steps=12)}
    assert craft(**work).backwards.min() > 0


class Recurrent(Own):
    """Modules that are given sequences, states and arguments by name."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.lstm = torch.nn.LSTM(16, 16, batch_first=True)
            self.look = torch.nn.MultiheadAttention(16, 2, batch_first=True)

    def code(self, features, lengths):
        features = features.float()
        if self.kind == "packed":
            features = pack_padded_sequence(
                features, lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            return self.lstm(features)[1][0][-1]
        if self.kind == "state":
            nothing = features.new_zeros(1, len(features), 16)
            states, _ = self.lstm(features, (nothing, nothing))
        else:
            states, _ = self.look(query=features, key=features, value=features)
        return states[torch.arange(len(states)), lengths - 1]


@pytest.mark.parametrize("kind", ["packed", "state", "named"])
@pytest.mark.parametrize("rule", [{}, {"frames": 2}])
def test_modules_of_all_kinds_of_arguments_go_in_bfloat16(kind, rule, work):
    work |= {"hasher": Recurrent(kind), "budget": rule_budget(**rule)}
    out = craft(**work, options=BitMarginOptions(steps=12), precision="bfloat16")
    wrong, clean = (
        (c.signs() != work["targets"].codes).sum() for c in (out.codes, out.clean_codes)
    )
    assert wrong < clean


@pytest.mark.parametrize("rule", [{}, {"frames": 2}])
def test_features_before_the_hash_layer_take_one_among_all_frames(rule, work):
    class PerFrame(FramewiseHasher):
        def __init__(self):
            super().__init__(16, InputContract(size=8, frames=6))
            self.hash = torch.nn.Linear(192, 16)

        def features(self, frames):
            return self.hash(frames.flatten(1))

        def code(self, features, lengths):
            return features.sum(1)

    work |= {"hasher": PerFrame(), "budget": rule_budget(**rule)}
    aimed = aims8("feature", work)
    with pytest.raises(HashprobeError, match="one row a query; it was given"):
        craft(**work, **aimed, attack="feature", options=quick("feature"))


@pytest.mark.parametrize(
    ("attack", "rule"), [("bit-margin", {}), ("hag", {}), ("dhta", {"frames": 2})]
)
def test_a_longest_clip_says_how_many_fit(attack, rule, clips8, random_signs, monkeypatch):
    measured = []

    def bytes_of(hasher, clips, lengths):
        measured.append(int(lengths.max()))
        return 1 << 20

    class Plain(Hasher):
        def __init__(self, inner):
            super().__init__(inner.bits, inner.contract)
            self.inner = inner

        def forward(self, clips, lengths):
            return self.inner(clips, lengths)

    monkeypatch.setattr(sys.modules["hashprobe.optim.session"], "saved_bytes", bytes_of)
    order = [3, 0, 1, 2, 4]
    session = Session(lengths=LENGTHS[order])
    ATTACKS[attack].run(
        Plain(hasher_of()), clips8[order].float() / 255, random_signs(5, 16).float(),
        budget=rule_budget(**rule), options=quick(attack), session=session,
    )  # fmt: skip
    assert measured[0] == 6


@pytest.mark.parametrize("changed", [[], [2], range(6)])
def test_codes_of_both_are_those_of_each(changed, clips8):
    """Frames that did not change are looked at once; the codes are the same."""
    hasher, clips = hasher_of(), clips8.float() / 255
    moved = clips.clone()
    for frame in changed:
        moved[:, frame] = 1 - moved[:, frame]
    hasher.__class__, hasher.seen = Counting, []
    clean, after = encode_both(hasher, clips, moved, LENGTHS)
    more = sum(min(length, 6) > frame for length in LENGTHS.tolist() for frame in changed)
    assert sum(hasher.seen) == LENGTHS.sum() + more
    assert (clean.data == encode(hasher, clips, LENGTHS).data).all()
    assert (after.data == encode(hasher, moved, LENGTHS).data).all()
    assert (clean.data != after.data).any() == bool(len(changed))


@pytest.mark.parametrize("off", [2e-7, 1e-4])
def test_grey_levels_are_judged_once_and_others_twice(off, work):
    def nearly(hasher, images, targets, **_):
        return (images * 255).round().clamp(1, 254) / 255 + off

    seen = []
    hook = work["hasher"].register_forward_hook(lambda *_: seen.append(1))
    out = craft(**work, attack=nearly)
    hook.remove()
    exact = torch.equal(out.images[:], out.images8[:].float() / 255)
    assert (exact, len(seen)) == ((True, 2) if off < 1e-6 else (False, 3))
