"""Attacks over many queries: chunks, what is kept, kills, resuming, refusals."""

import dataclasses
import functools
import json
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks._dhta import dhta
from hashprobe.attacks._noise import NoiseOptions
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.kept import Kept
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import Normalising
from hashprobe.victims.wrap import Victim

from .work import BUDGET, OPTIONS, Killed, Told, assert_same, attack, contents, quick


NOISE = {"name": "noise", "options": NoiseOptions()}


def test_batch_size_and_order_of_queries_play_no_part(work):
    turned = work.but(
        pixels=work.queries.pixels.flip(0),
        ids=work.queries.ids[::-1],
        labels=work.goal.labels[::-1].copy(),
        codes=work.goal.codes[::-1].copy(),
    )
    one = attack(work, batch_size=1)
    for other in (attack(work, batch_size=5), attack(turned, batch_size=3)):
        here = other.query_ids.tolist() == list(work.queries.ids)
        images = other.images if here else other.images.flip(0)
        torch.testing.assert_close(one.images, images, rtol=0, atol=1e-5)
    first = attack(work, batch_size=1, **NOISE)
    assert_same(first, attack(work, batch_size=5, **NOISE), ["images", "images8"])
    assert torch.equal(first.images, attack(turned, batch_size=5, **NOISE).images.flip(0))


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_chunks_play_no_part(name, work, monkeypatch):
    given = {"name": name, "options": quick(name), "batch_size": 2}
    told = Told()
    whole = attack(work, **given, progress=told)
    monkeypatch.setattr("hashprobe.crafting.runner.CHUNK_BYTES", 1)
    parts_told = Told()
    parts = attack(work, **given, progress=parts_told)
    torch.testing.assert_close(whole.images, parts.images, rtol=0, atol=1e-6)
    assert (whole.codes.data == parts.codes.data).all()
    assert (whole.forwards == parts.forwards).all()
    for ticks in (told.ticks, parts_told.ticks):
        done = [step for step, _ in ticks]
        assert done == sorted(done) and ticks[-1][0] == ticks[-1][1]
        assert len({most for _, most in ticks}) == 1


def test_the_seed_reaches_the_attack(work):
    first, second = attack(work, seed=1, **NOISE), attack(work, seed=2, **NOISE)
    assert not torch.equal(first.images, second.images)


class Counting:
    """DHTA that keeps the ids of the queries it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, victim, queries, goal, **settings):
        self.seen.extend(queries.ids)
        return dhta(victim, queries, goal, **settings)


@pytest.mark.parametrize("killed_after", [0, 2, 4])
def test_resumes_after_a_kill_with_the_same_bytes(killed_after, work, tmp_path):
    ids = list(work.queries.ids)
    whole = attack(work, Counting(), out=tmp_path / "whole")

    def die(done, most):
        if len(list((tmp_path / "killed" / "queries").glob("*.npz"))) == killed_after:
            raise Killed

    first, second = Counting(), Counting()
    with pytest.raises(Killed):
        attack(work, first, out=tmp_path / "killed", progress=Told(die))
    told = Told()
    again = attack(work, second, out=tmp_path / "killed", progress=told)
    assert first.seen == ids and second.seen == ids[killed_after:]
    lines = [f"{killed_after} of 5 queries are finished already"]
    assert told.lines == (lines if killed_after else [])
    assert told.ticks[-1] == (5 * (5 - killed_after),) * 2
    assert_same(whole, again)
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")


def test_kill_within_a_batch_loses_that_batch_alone(work, tmp_path):
    told = Told()

    def die(done, most):
        if len(told.ticks) == 8:
            raise KeyboardInterrupt

    told.at_tick = die
    with pytest.raises(KeyboardInterrupt):
        attack(work, out=tmp_path, progress=told)
    assert {path.stem for path in tmp_path.glob("queries/*")} == {"31", "4"}
    with pytest.raises(HashprobeError, match=r"has finished 2 of 5 queries: run it again to go on"):
        AttackResult.load(tmp_path)
    again = attack(work, out=tmp_path, batch_size=3)
    assert again.images8.shape == (5, 3, 8, 6)


def test_damage_is_repaired(work, tmp_path):
    whole = attack(work, Counting(), out=tmp_path)
    before = contents(tmp_path)
    cut = tmp_path / "queries" / "7.npz"
    cut.write_bytes(cut.read_bytes()[:-400])
    (tmp_path / "queries" / "100.npz").write_bytes(b"")
    (tmp_path / "png" / "4.png").unlink()
    picture = tmp_path / "png" / "12.png"
    picture.write_bytes(picture.read_bytes()[:30])
    with pytest.raises(HashprobeError, match=r"7\.npz"):
        AttackResult.load(tmp_path)
    counting = Counting()
    again = attack(work, counting, out=tmp_path)
    assert counting.seen == [7, 100]
    assert_same(whole, again)
    assert contents(tmp_path) == before


def test_clips_resume_and_mend(clip_work, tmp_path):
    given, ids = {"options": quick("dhta"), "out": tmp_path}, clip_work.queries.ids
    whole = attack(clip_work, **given)
    before = contents(tmp_path)
    frames = tmp_path / "png" / str(ids[0])
    (tmp_path / "queries" / f"{ids[2]}.npz").unlink()
    (frames / "001.png").write_bytes(b"torn")
    (frames / "000.png").unlink()
    again = attack(clip_work, **given)
    assert torch.equal(whole.images8[:], again.images8[:])
    after = contents(tmp_path)
    # The query that is attacked again is alone in the network, which may round otherwise.
    alone = f"{ids[2]}.npz"
    assert {**after, alone: None} == {**before, alone: None}


def test_out_of_memory_says_what_to_do(work):
    def hungry(victim, queries, goal, **_):
        raise torch.OutOfMemoryError

    with pytest.raises(HashprobeError, match="cpu is out of memory: choose a smaller batch size"):
        attack(work, hungry)


def test_input_that_does_not_fit(work, conv, as_for_users):
    clean, ids = work.queries.pixels, work.queries.ids
    for changed, message in (
        ({"pixels": clean / 255}, "queries must be uint8 pixels in 0..255; got float32"),
        (
            {"pixels": clean[:, :1]},
            r"\(N, ..., 3, H, W\); got a Tensor of uint8, shape \(5, 1, 8, 6\)$",
        ),
        ({"pixels": clean[:0], "ids": ()}, "there are no images to attack"),
        ({"ids": (1, 2, 1, 3, 4)}, "query id 1 appears more than once"),
        ({"ids": (1, 2)}, "2 query ids for 5 queries"),
        ({"pixels": clean[:4], "ids": ids[:4]}, "5 target codes for 4 images"),
        ({"victim": conv(bits=24, dtype=torch.float32)}, "have 16 bits but the victim gives 24"),
        ({"victim": conv(dtype=torch.float64)}, r"weights are float64 .* call victim.float\(\)"),
    ):
        with pytest.raises(HashprobeError, match=message):
            attack(work.but(**changed))
    for changed, message in (
        ({"batch_size": 0}, "batch size must be at least 1; got 0"),
        (
            {"name": "dtha"},
            "unknown attack 'dtha': choose from bit-margin, cgat, dhta, feature, hag",
        ),
        ({"options": NoiseOptions()}, "attack dhta takes DhtaOptions; got NoiseOptions"),
    ):
        with pytest.raises(HashprobeError, match=message):
            attack(work, **changed)
    for own, seen in (((5, 24), "5 of 24"), ((6, 16), "6 of 16"), ((3, 16), "3 of 16")):
        goal = Goal(own_codes=PackedCodes.from_signs(np.ones(own)))
        with pytest.raises(HashprobeError, match=f"clean queries, 5 of 16 bits; got {seen}$"):
            attack(dataclasses.replace(work, goal=goal), **NOISE)
    with pytest.raises(HashprobeError, match="attack dhta needs target codes: make a goal"):
        attack(dataclasses.replace(work, goal=Goal.untargeted()))


def test_lengths_that_do_not_fit_are_refused(clip_work, as_for_users):
    clips, lengths = clip_work.queries.pixels, clip_work.queries.lengths
    for pixels, some, message in (
        (clips, None, "clips need their lengths"),
        (clips, lengths[:4], "one for each of 5 clips, from 1 to 6"),
        (clips, lengths - 1, "from 1 to 6"),
        (clips[:, 0], lengths, "images have no lengths: only clips"),
    ):
        with pytest.raises(HashprobeError, match=message):
            Queries(pixels, lengths=some)


def test_an_untargeted_attack_is_handed_no_goal_and_scored_with_the_one_given(work):
    handed = []
    known = ATTACKS["hag"]

    def noting(victim, queries, goal, **more):
        handed.append(goal)
        return known.run(victim, queries, goal, **more)

    with pytest.MonkeyPatch.context() as patch:
        replaced = {**ATTACKS, "hag": dataclasses.replace(known, run=noting)}
        patch.setattr("hashprobe.attacks.registry.ATTACKS", replaced)
        out = attack(work, "hag", quick("hag"))
    assert not handed[0].is_targeted and (out.target_codes == work.goal.codes).all()
    plain = attack(dataclasses.replace(work, goal=Goal.untargeted()), "hag", quick("hag"))
    assert plain.target_codes is None and plain.target_labels is None
    assert torch.equal(plain.images, out.images)


def test_default_options_are_those_of_the_name(work):
    out = attack(work, "noise", None)
    assert out.recipe["attack"] == "noise" and out.recipe["options"] == {}


def test_target_images_that_do_not_fit(work, as_for_users):
    mirrored = work.queries.pixels.flip(-1)

    def with_images(images):
        goal = dataclasses.replace(work.goal, images=images)
        return dataclasses.replace(work, goal=goal)

    with pytest.raises(HashprobeError, match="attack feature steers to images: give target images"):
        craft(work.victim, work.queries, work.goal, AttackSpec("feature"))
    with pytest.raises(HashprobeError, match="5 codes, 5 members, 4 target images"):
        with_images(Queries(mirrored[1:]))
    with pytest.raises(HashprobeError, match="queries must be uint8"):
        attack(with_images(Queries(mirrored.float())), "feature", None)
    with pytest.raises(HashprobeError, match=r"target images have shape \(5, 3, 8, 5\)"):
        attack(with_images(Queries(mirrored[..., :5])), "feature", None)
    with pytest.raises(HashprobeError, match="attack dhta takes no target images"):
        attack(with_images(Queries(mirrored)))


def test_memory_does_not_grow_with_the_queries(conv, tmp_path, monkeypatch):
    """Pixels of finished queries leave the memory; what stays is a few hundred bytes a query."""
    monkeypatch.setattr("hashprobe.crafting.runner.CHUNK_BYTES", 10 * 4 * 3 * 64 * 64)
    monkeypatch.setattr("hashprobe.crafting.kept.HELD_BYTES", 10 * 5 * 3 * 64 * 64)
    rng = np.random.default_rng(0)
    peaks = []
    for count in (20, 70):
        images8 = torch.from_numpy(rng.integers(0, 256, (count, 3, 64, 64), dtype=np.uint8))
        goal = Goal.targeted(rng.choice(np.array([-1, 1], np.int8), (count, 16)))
        tracemalloc.start()
        try:
            out = craft(
                conv(dtype=torch.float32),
                Queries(images8),
                goal,
                AttackSpec("noise", budget=BUDGET),
                runtime=Runtime(batch_size=10),
                out=tmp_path / str(count),
            )
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert out.images.shape == out.images8.shape == (count, 3, 64, 64)
    assert peaks[1] - peaks[0] < 50 * 3 * 64 * 64  # not even one byte a pixel


def test_a_query_that_is_finished_twice_is_refused(work):
    def twice(victim, queries, goal, *, options, seed, budget, runtime):
        given = {"budget": budget, "options": OPTIONS, "runtime": runtime}
        once = dhta(victim, queries, goal, **given)
        return dhta(victim, Queries(once, queries.ids), goal, **given)

    with pytest.raises(HashprobeError, match="finished a query twice"):
        attack(work, twice)


def test_an_attack_may_call_another_and_watch_nobody(work):
    def twice(victim, queries, goal, *, options, seed, budget, runtime):
        given = {"budget": budget, "options": OPTIONS}
        once = dhta(victim, queries, goal, **given)
        return dhta(victim, Queries(once, queries.ids), goal, **given, runtime=runtime)

    out = attack(work, twice)
    assert out.backwards.tolist() == [10] * 5


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_query_is_judged_and_kept_once(name, work, tmp_path, monkeypatch):
    module, kept = sys.modules[Kept.__module__], []
    real = module.write_queries

    def count(out, recipe, queries):
        kept.extend(queries)
        real(out, recipe, queries)

    monkeypatch.setattr(module, "write_queries", count)
    attack(work, name, quick(name, 3), out=tmp_path)
    assert sorted(kept) == sorted(work.queries.ids)


def test_bfloat16_takes_clips(clip_work):
    given = {"name": "bit-margin", "options": quick("bit-margin", 6), "budget": Budget(64 / 255)}
    for done in (attack(clip_work, **given, precision="bfloat16"), attack(clip_work, **given)):
        wrong = (done.codes.signs() != clip_work.goal.codes).sum()
        clean = (done.clean_codes.signs() != clip_work.goal.codes).sum()
        assert wrong < clean / 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", [{}, {"frames": 2}])
def test_networks_of_ones_own_are_crafted_for(rule, precision, own_clip_hasher, clip_work):
    clip_work = clip_work.but(victim=own_clip_hasher())
    out = attack(
        clip_work,
        "bit-margin",
        BitMarginOptions(steps=12),
        budget=Budget(64 / 255, **rule),
        precision=precision,
    )
    wrong, clean = ((c.signs() != clip_work.goal.codes).sum() for c in (out.codes, out.clean_codes))
    assert wrong < clean / 2


class Plain(Normalising):
    """A victim whose normalisation is no weight: its checksum does not know of it."""

    def __init__(self, shift):
        super().__init__(16, dataclasses.replace(self.CONTRACT))
        self.shift = shift
        rng = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(144, 16, generator=rng))

    def forward(self, images):
        return (images - self.shift).flatten(1) @ self.weight


class Scaled(Plain):
    """Its outputs are scaled, which changes gradients and no code."""

    def __init__(self, scale):
        super().__init__(0.5)
        self.scale = scale

    def forward(self, images):
        return self.scale * super().forward(images)


def test_the_same_codes_by_other_outputs_are_those_of_another_victim(work, tmp_path):
    Plain.CONTRACT = work.victim.contract
    first = attack(work.but(victim=Scaled(0.1)), out=tmp_path)
    other = attack(work.but(victim=Scaled(3.0)))
    assert first.clean_codes == other.clean_codes and not torch.equal(first.images[:], other.images)
    with pytest.raises(HashprobeError, match=r"another victim: its outputs for clean queries"):
        attack(work.but(victim=Scaled(3.0)), out=tmp_path)
    assert_same(first, attack(work.but(victim=Scaled(0.1 + 1e-6)), out=tmp_path))
    again = attack(work.but(victim=Scaled(3.0)), out=tmp_path, overwrite=True)
    assert_same(again, other)
    # A record from before outputs were kept says nothing of them.
    index = tmp_path / "attack.json"
    content = json.loads(index.read_text())
    del content["recipe"]["behaviour"]
    index.write_text(json.dumps(content))
    attack(work.but(victim=Scaled(3.0)), out=tmp_path)


def test_a_folder_without_a_finished_query_is_that_of_the_victim_that_comes(work, tmp_path):
    Plain.CONTRACT = work.victim.contract
    attack(work.but(victim=Scaled(0.1)), out=tmp_path)
    for path in tmp_path.glob("queries/*.npz"):
        path.unlink()
    other = attack(work.but(victim=Scaled(3.0)), out=tmp_path)
    assert_same(other, attack(work.but(victim=Scaled(3.0)), out=tmp_path))
    with pytest.raises(HashprobeError, match="another victim"):
        attack(work.but(victim=Scaled(0.1)), out=tmp_path)


def test_outputs_that_are_read_in_another_way_are_another_victim(work, tmp_path):
    def squashed(images):
        logits = (images - 0.5).flatten(1)[:, :16]
        return logits.tanh(), 0.9 * logits

    def victim(**reading):
        return Victim(squashed, bits=16, size=8, **reading)

    wide = work.but(pixels=torch.cat([work.queries.pixels] * 2, 3)[..., :8])
    attack(wide.but(victim=victim(output=0)), out=tmp_path)
    with pytest.raises(HashprobeError, match=r"reading\.output: 0 there, 1 here"):
        attack(wide.but(victim=victim(output=1)), out=tmp_path)
    with pytest.raises(HashprobeError, match=r"reading\.activation: nothing there, .tanh. here"):
        attack(wide.but(victim=victim(output=0, activation="tanh")), out=tmp_path)


@dataclasses.dataclass
class Lighter:
    """A function of one's own with something to choose."""

    by: float

    def __call__(self, victim, queries, goal, *, budget, **_):
        return (queries.pixels + self.by * budget.eps).clamp(0, 1)


def lighter(victim, queries, goal, *, by, budget, **_):
    return Lighter(by)(victim, queries, goal, budget=budget)


@pytest.mark.parametrize("build", [Lighter, lambda by: functools.partial(lighter, by=by)])
def test_functions_that_hold_other_values_are_other_attacks(build, work, tmp_path):
    first = attack(work, build(0.5), None, out=tmp_path)
    assert_same(first, attack(work, build(0.5), None, out=tmp_path))
    with pytest.raises(HashprobeError, match=r"bound.*by=0\.5.*by=1\.0"):
        attack(work, build(1.0), None, out=tmp_path)


def test_the_same_weights_with_another_normalisation_are_another_victim(work, tmp_path):
    Plain.CONTRACT = work.victim.contract
    here = work.but(victim=Plain(0.5))
    first = attack(here, out=tmp_path)
    with pytest.raises(
        HashprobeError, match=r"another victim.* Was its normalisation changed"
    ) as e:
        attack(work.but(victim=Plain(0.1)), out=tmp_path)
    assert str(tmp_path) in str(e.value) and "\n" not in str(e.value)
    assert "of 80 bits of 5 clean queries" in str(e.value)
    assert_same(first, attack(work.but(victim=Plain(0.5)), out=tmp_path))
    # What rounding on another machine may change is no other victim.
    assert_same(first, attack(work.but(victim=Plain(0.5 + 1e-6)), out=tmp_path))
    other = attack(work.but(victim=Plain(0.1)), out=tmp_path, overwrite=True)
    assert_same(other, AttackResult.load(tmp_path))
