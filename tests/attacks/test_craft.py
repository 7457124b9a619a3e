import dataclasses
import errno
import json
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hashprobe.optim.encoding import encode
from PIL import Image

from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks._noise import NoiseOptions
from hashprobe.attacks.registry import ATTACKS
from hashprobe.attacks.targets import TargetCodes
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import Attacked, read_query, without_pixels
from hashprobe.crafting.runner import craft
from hashprobe.errors import HashprobeError
from hashprobe.storage import files
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher


IDS = [31, 4, 7, 100, 12]
BUDGET = Budget(8 / 255)
OPTIONS = DhtaOptions(steps=5, step_size=0.3)
ARRAYS = (
    "query_ids",
    "target_labels",
    "target_codes",
    "images",
    "images8",
    "codes_float",
    "codes",
    "clean_codes",
    "forwards",
    "backwards",
)


class Killed(Exception):
    """Stands for a process that dies."""


@pytest.fixture
def work(conv):
    """A hasher, five clean queries and where to steer them."""
    rng = np.random.default_rng(0)
    images8 = torch.from_numpy(rng.integers(0, 256, (5, 3, 8, 6), dtype=np.uint8))
    images8[0, :, 0] = 0
    images8[1, :, 1] = 255
    codes = rng.choice(np.array([-1, 1], np.int8), (5, 16))
    codes[2, 3] = 0
    targets = TargetCodes(np.eye(5, 4, dtype=bool), codes, np.zeros((5, 1), np.int64))
    return {
        "hasher": conv(dtype=torch.float32),
        "images8": images8,
        "query_ids": IDS,
        "targets": targets,
    }


def attack(work, **more):
    settings = {"attack": "dhta", "budget": BUDGET, "options": OPTIONS, "batch_size": 2, **more}
    known = ATTACKS.get(settings["attack"]) if isinstance(settings["attack"], str) else None
    if known and known.wants_images:
        settings = {"target_images8": work["images8"].flip(-1), **settings}
    return craft(**work, **settings)


def assert_same(one, other, names=ARRAYS):
    for name in names:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, PackedCodes):
            a, b = a.data, b.data
        if name in ("images", "images8"):
            a, b = a[:], b[:]  # in memory or in files
        assert np.array_equal(np.asarray(a), np.asarray(b)), name


def contents(folder):
    """Every file but for the time that an attack took."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".npz":
            arrays = files.read_npz(path)
            del arrays["seconds"]
            seen[path.name] = {name: array.tobytes() for name, array in arrays.items()}
        elif path.is_file():
            seen[path.name] = path.read_bytes()
    return seen


@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.parametrize("budget", [BUDGET, Budget(0.1, "normalised")], ids=lambda b: b.space)
def test_what_comes_out(name, budget, work, tmp_path):
    options = OPTIONS if name == "dhta" else ATTACKS[name].options()
    if name not in ("dhta", "noise"):
        options = dataclasses.replace(options, steps=5)
    out = attack(work, attack=name, options=options, budget=budget, out=tmp_path)
    hasher, clean = work["hasher"], work["images8"]
    assert out.query_ids.tolist() == IDS and len(out) == 5
    assert (out.target_codes == work["targets"].codes).all()
    assert (out.target_labels == work["targets"].labels).all()

    images, images8 = out.images[:], out.images8[:]
    std = hasher.contract.std if budget.space == "normalised" else (1.0, 1.0, 1.0)
    radius = torch.tensor([budget.eps * s for s in std]).view(3, 1, 1)
    assert ((images - clean / 255).abs() <= radius + 1e-6).all()
    assert ((images8.int() - clean.int()).abs() <= (255 * radius + 1e-4).floor()).all()
    assert (images8 / 255 - images).abs().max() < 1 / 255
    assert (images8 != clean).any(dim=(1, 2, 3)).all()

    def signs(images):
        with torch.no_grad():
            return np.where(hasher(images).numpy() >= 0, 1, -1)

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
    else:
        passes = 0 if name == "noise" else 5
        first = name in ("feature", "hag")  # they look at something else before they start
        assert out.backwards.tolist() == [passes] * 5
        assert out.forwards.tolist() == [passes + first] * 5
    assert out.seconds > 0
    assert not hasher._forward_hooks


def test_hasher_in_training_mode_is_judged_in_evaluation_mode(work):
    calm = attack(work)
    work["hasher"].train()
    wild = attack(work)
    assert work["hasher"].training
    assert_same(calm, wild)


def test_batch_size_and_order_of_queries_play_no_part(work, conv):
    work["hasher"] = conv(dtype=torch.float32)
    turned = dict(
        work,
        images8=work["images8"].flip(0),
        query_ids=IDS[::-1],
        targets=dataclasses.replace(
            work["targets"],
            labels=work["targets"].labels[::-1].copy(),
            codes=work["targets"].codes[::-1].copy(),
        ),
    )
    one = attack(work, batch_size=1)
    for other in (attack(work, batch_size=5), attack(turned, batch_size=3)):
        images = other.images if other.query_ids.tolist() == IDS else other.images.flip(0)
        torch.testing.assert_close(one.images, images, rtol=0, atol=1e-5)
    noise = {"attack": "noise", "options": NoiseOptions()}
    first = attack(work, batch_size=1, **noise)
    assert_same(first, attack(work, batch_size=5, **noise), ["images", "images8"])
    assert torch.equal(first.images, attack(turned, batch_size=5, **noise).images.flip(0))


def test_the_seed_reaches_the_attack(work):
    noise = {"attack": "noise", "options": NoiseOptions()}
    first, second = attack(work, seed=1, **noise), attack(work, seed=2, **noise)
    assert not torch.equal(first.images, second.images)


class OffGrid(Hasher):
    """+1 where a pixel lies between two bytes, -1 where it is one."""

    def forward(self, images):
        pixels = 255 * images.flatten(1)[:, : self.bits]
        return (pixels - pixels.round()).abs() - 0.01


def test_codes_are_those_of_the_rounded_images_and_floats_stay_beside(work):
    work["hasher"] = OffGrid(16, work["hasher"].contract)
    out = attack(work, attack="noise", options=NoiseOptions())
    assert (out.clean_codes.signs() == -1).all() and (out.codes.signs() == -1).all()
    assert (out.codes_float.signs() == 1).mean() > 0.7


def test_runner_judges_whatever_the_attack_returns(work):
    def reckless(hasher, images, targets, **_):
        return images + torch.linspace(-3, 3, images.shape[-1])

    out = attack(work, attack=reckless, options=None)
    change = out.images8.int() - work["images8"].int()
    assert change.min() == -8 and change.max() == 8
    assert out.images.min() >= 0 and out.images.max() <= 1
    moved = (out.images - work["images8"] / 255).abs().max()
    assert 0.99 * BUDGET.eps < moved <= BUDGET.eps + 1e-6

    def broken(hasher, images, targets, **_):
        return images * torch.nan

    with pytest.raises(HashprobeError, match="returned pixels that are not numbers"):
        attack(work, attack=broken)

    def short(hasher, images, targets, **_):
        return images[:1]

    with pytest.raises(HashprobeError, match=r"returned shape \(1, 3, 8, 6\) for \(5, 3, 8, 6\)"):
        attack(work, attack=short)


def test_judged_in_float32_whatever_is_on_around(work):
    kinds = []

    class Noting(type(work["hasher"])):
        def forward(self, images):
            logits = super().forward(images)
            kinds.append((logits.dtype, torch.backends.cudnn.allow_tf32))
            return logits

    before = torch.backends.cudnn.allow_tf32
    with torch.autocast("cpu", torch.bfloat16):
        codes = encode(Noting(dtype=torch.float32), work["images8"] / 255)
    assert kinds == [(torch.float32, False)]
    assert torch.backends.cudnn.allow_tf32 == before
    assert codes == encode(work["hasher"], work["images8"] / 255)


class Counting:
    """DHTA that keeps the ids of the queries it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, hasher, images, targets, *, query_ids=None, **settings):
        self.seen.extend(query_ids)
        return dhta(hasher, images, targets, query_ids=query_ids, **settings)


@pytest.mark.parametrize("killed_after", [0, 2, 4])
def test_resumes_after_a_kill_with_the_same_bytes(killed_after, work, tmp_path):
    whole = attack(work, attack=Counting(), out=tmp_path / "whole")

    def die(done, total):
        assert total == 5
        if done == killed_after:
            raise Killed

    first, second = Counting(), Counting()
    with pytest.raises(Killed):
        attack(work, attack=first, out=tmp_path / "killed", on_progress=die)
    progress = []
    again = attack(
        work,
        attack=second,
        out=tmp_path / "killed",
        on_progress=lambda done, total: progress.append(done),
    )
    assert first.seen == (IDS if killed_after else []) and second.seen == IDS[killed_after:]
    assert progress[0] == killed_after and progress[-1] == 5
    assert_same(whole, again)
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")


def test_kill_within_a_batch_loses_that_batch_alone(work, tmp_path):
    steps = []

    def die(step, total):
        steps.append(step)
        if len(steps) == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack(work, out=tmp_path, on_step=die)
    assert {path.stem for path in tmp_path.glob("queries/*")} == {"31", "4"}
    with pytest.raises(HashprobeError, match=r"has finished 2 of 5 queries: run it again to go on"):
        Attacked.load(tmp_path)
    again = attack(work, out=tmp_path, batch_size=3)
    assert again.images8.shape == (5, 3, 8, 6)


def test_damage_is_repaired(work, tmp_path):
    whole = attack(work, attack=Counting(), out=tmp_path)
    before = contents(tmp_path)
    cut = tmp_path / "queries" / "7.npz"
    cut.write_bytes(cut.read_bytes()[:-400])
    (tmp_path / "queries" / "100.npz").write_bytes(b"")
    (tmp_path / "png" / "4.png").unlink()
    picture = tmp_path / "png" / "12.png"
    picture.write_bytes(picture.read_bytes()[:30])
    with pytest.raises(HashprobeError, match=r"7\.npz"):
        Attacked.load(tmp_path)
    counting = Counting()
    again = attack(work, attack=counting, out=tmp_path)
    assert counting.seen == [7, 100]
    assert_same(whole, again)
    assert contents(tmp_path) == before


def test_another_attack_is_refused_or_overwritten(work, tmp_path, conv, monkeypatch):
    attack(work, out=tmp_path)
    for changed, named in (
        ({"options": dataclasses.replace(OPTIONS, steps=6)}, r"options\.steps 5 there, 6 here"),
        ({"budget": Budget(0.5)}, r"budget\.eps 0\.0313\d* there, 0\.5 here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"attack": "noise", "options": NoiseOptions()}, "attack dhta there, noise here"),
    ):
        with pytest.raises(HashprobeError, match=named) as caught:
            attack(work, out=tmp_path, **changed)
        assert str(caught.value).endswith("): use another folder or overwrite")
        assert "\n" not in str(caught.value)
    other = dict(work, hasher=conv(seed=1, dtype=torch.float32))
    with pytest.raises(HashprobeError, match="the hasher's weights differ"):
        attack(other, out=tmp_path)
    codes = dataclasses.replace(work["targets"], codes=-work["targets"].codes)
    with pytest.raises(HashprobeError, match="target codes differ"):
        attack(dict(work, targets=codes), out=tmp_path)
    images8 = work["images8"].clone()
    images8[0, 0, 0, 0] += 1
    with pytest.raises(HashprobeError, match="clean queries differ"):
        attack(dict(work, images8=images8), out=tmp_path)
    labels = dataclasses.replace(work["targets"], labels=work["targets"].labels[::-1].copy())
    with pytest.raises(HashprobeError, match="target labels differ"):
        attack(dict(work, targets=labels), out=tmp_path)
    contract = conv(dtype=torch.float32)
    contract.contract = dataclasses.replace(contract.contract, filter="nearest")
    with pytest.raises(HashprobeError, match="the hasher's input contract differ"):
        attack(dict(work, hasher=contract), out=tmp_path)
    with monkeypatch.context() as later:
        later.setattr("hashprobe.crafting.provenance.version", lambda name: "9.0")
        with pytest.raises(HashprobeError, match=r"version 0\.1\.0 there, 9\.0 here"):
            attack(work, out=tmp_path)
    with pytest.raises(HashprobeError, match="query ids differ"):
        attack(dict(work, query_ids=[1, 2, 3, 4, 5]), out=tmp_path)

    (tmp_path / "png" / "mine.png").write_bytes(b"kept")
    fresh = attack(dict(work, query_ids=[1, 2, 3, 4, 5]), out=tmp_path, overwrite=True, seed=3)
    assert {path.name for path in tmp_path.glob("queries/*")} == {f"{i}.npz" for i in range(1, 6)}
    assert (tmp_path / "png" / "mine.png").exists()
    assert_same(fresh, Attacked.load(tmp_path))


def test_foreign_query_files_are_not_taken_over(work, tmp_path):
    """Files of another attack under a new index: the checksum inside each file tells."""
    attack(work, out=tmp_path / "a", seed=1)
    right = attack(work, out=tmp_path / "b", attack="noise", options=NoiseOptions())
    foreign = (tmp_path / "a" / "queries" / "7.npz").read_bytes()
    (tmp_path / "b" / "queries" / "7.npz").write_bytes(foreign)
    with pytest.raises(HashprobeError, match=r"7\.npz belongs to another attack"):
        Attacked.load(tmp_path / "b")
    again = attack(work, out=tmp_path / "b", attack="noise", options=NoiseOptions())
    assert_same(right, again)


def test_what_was_kept_comes_back(work, tmp_path):
    out = attack(work, out=tmp_path)
    back = Attacked.load(tmp_path)
    assert_same(out, back)
    assert back.recipe == out.recipe and back.recipe["budget"] == {
        "eps": 8 / 255,
        "space": "pixel",
    }
    assert abs(back.seconds - out.seconds) < 1e-9
    assert back.images[:].dtype == torch.float32 and back.images8[:].dtype == torch.uint8
    assert back.images.shape == back.images8[:].shape == (5, 3, 8, 6)
    assert torch.equal(back.images8[3], out.images8[:][3]) and len(back.images[5:]) == 0


def test_load_refuses(work, tmp_path):
    attack(work, out=tmp_path)
    index = tmp_path / "attack.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps(content | {"format": 9}))
    with pytest.raises(HashprobeError, match="has format 9; this hashprobe reads 1"):
        Attacked.load(tmp_path)
    with pytest.raises(HashprobeError, match="has format 9; this hashprobe reads 1"):
        attack(work, out=tmp_path)
    index.write_text(json.dumps({"format": 1}))
    with pytest.raises(HashprobeError, match="is damaged: it lacks a recipe or query ids"):
        Attacked.load(tmp_path)
    index.write_text("[]")
    with pytest.raises(HashprobeError, match="does not describe an attack"):
        Attacked.load(tmp_path)
    index.write_text('{"format": 1, "rec')
    with pytest.raises(HashprobeError, match=r"attack\.json is no JSON or was cut off"):
        Attacked.load(tmp_path)


def test_parts_of_different_length_are_refused(work, as_for_users):
    out = attack(work)
    with pytest.raises(HashprobeError, match="must be one per query; got query_ids 5"):
        dataclasses.replace(out, forwards=out.forwards[:2])


def test_full_disk_and_unwritable_folder(work, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(HashprobeError, match="file") as caught:
        attack(work, out=tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    attack_folder = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(files, "flush_to_disk", full)
        with pytest.raises(HashprobeError, match=r"no space left on the disk for .*out"):
            attack(work, out=attack_folder)
    assert not list(tmp_path.rglob("*.part"))


def test_out_of_memory_says_what_to_do(work):
    def hungry(hasher, images, targets, **_):
        raise torch.OutOfMemoryError

    with pytest.raises(HashprobeError, match="cpu is out of memory with 2 queries at once: choose"):
        attack(work, attack=hungry)


def test_input_that_does_not_fit(work, conv, as_for_users):
    clean, targets = work["images8"], work["targets"]
    for changed, message in (
        ({"images8": clean / 255}, "queries must be uint8 pixels in 0..255; got float32"),
        ({"images8": clean[:, :1]}, r"must have shape \(N, 3, H, W\); got \(5, 1, 8, 6\)"),
        ({"images8": clean[:0], "query_ids": []}, "there are no images to attack"),
        ({"query_ids": [1, 2, 1, 3, 4]}, "query id 1 appears more than once"),
        ({"query_ids": [1, 2]}, "2 query ids for 5 queries"),
        ({"images8": clean[:4], "query_ids": IDS[:4]}, "5 target codes for 4 images"),
        ({"hasher": conv(bits=24, dtype=torch.float32)}, "have 16 bits but the hasher gives 24"),
        ({"hasher": conv(dtype=torch.float64)}, r"weights are float64 .* call hasher.float\(\)"),
    ):
        with pytest.raises(HashprobeError, match=message):
            attack({**work, **changed})
    assert len(targets) == 5
    for changed, message in (
        ({"batch_size": 0}, "batch size must be at least 1; got 0"),
        (
            {"attack": "dtha"},
            "unknown attack 'dtha': choose from bit-margin, dhta, feature, hag, noise",
        ),
        ({"options": NoiseOptions()}, "attack dhta takes DhtaOptions; got NoiseOptions"),
    ):
        with pytest.raises(HashprobeError, match=message):
            attack(work, **changed)


def test_default_options_are_those_of_the_name(work):
    out = attack(work, attack="noise", options=None)
    assert out.recipe["attack"] == "noise" and out.recipe["options"] == {}


def test_target_images_reach_the_attack_and_are_part_of_its_recipe(work, tmp_path, as_for_users):
    given = {"attack": "feature", "options": None, "budget": BUDGET, "out": tmp_path}
    wanted = work["images8"].flip(-1)
    first = attack(work, **given)
    assert_same(first, attack(work, **given, batch_size=3))
    for query_id in (IDS[1], IDS[3]):
        (tmp_path / "queries" / f"{query_id}.npz").unlink()
    assert_same(first, attack(work, **given))  # each query's own image, in other chunks, too
    with pytest.raises(HashprobeError, match=r"another attack \(target images differ"):
        attack(work, **given, target_images8=wanted.flip(0))
    refused = {
        "attack feature steers to images: give target images": {"target_images8": None},
        r"target images have shape \(4, 3, 8, 6\)": {"target_images8": wanted[1:]},
        "queries must be uint8": {"target_images8": wanted.float()},
    }
    for message, wrong in refused.items():
        with pytest.raises(HashprobeError, match=message):
            attack(work, **{**given, "out": None, **wrong})
    with pytest.raises(HashprobeError, match="attack dhta takes no target images"):
        attack(work, target_images8=wanted)


def test_memory_does_not_grow_with_the_queries(conv, tmp_path):
    """Pixels of finished queries leave the memory; what stays is a few hundred bytes a query."""
    rng = np.random.default_rng(0)
    peaks = []
    for queries in (40, 160):
        images8 = torch.from_numpy(rng.integers(0, 256, (queries, 3, 64, 64), dtype=np.uint8))
        codes = rng.choice(np.array([-1, 1], np.int8), (queries, 16))
        targets = TargetCodes(np.ones((queries, 1), bool), codes, np.zeros((queries, 1), np.int64))
        settings = {"attack": "noise", "budget": BUDGET, "batch_size": 20}
        tracemalloc.start()
        try:
            out = craft(
                conv(dtype=torch.float32),
                images8,
                range(queries),
                targets,
                out=tmp_path / str(queries),
                **settings,
            )
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert out.images.shape == out.images8.shape == (queries, 3, 64, 64)
    assert peaks[1] - peaks[0] < 120 * 3 * 64 * 64  # not even one byte a pixel


def test_pixels_leave_the_memory_for_good(work, tmp_path):
    """A slice of nothing that held on to the whole would be a leak that no length shows."""
    attack(work, out=tmp_path)
    query = read_query(tmp_path, Attacked.load(tmp_path).recipe, IDS[0])
    rest = without_pixels(query)
    assert rest.image.base is None and rest.image8.base is None
    assert rest.image.shape == (0, 3, 8, 6) and rest.image8.dtype == np.uint8


def test_pixels_of_an_attack_that_was_replaced_are_not_taken_for_its_own(work, tmp_path):
    first = attack(work, out=tmp_path)
    attack(work, out=tmp_path, seed=9, overwrite=True)
    with pytest.raises(HashprobeError, match="belongs to another attack"):
        first.images8[:]


def test_a_query_that_is_finished_twice_is_refused(work):
    def twice(hasher, images, targets, *, options, seed, query_ids, session, budget):
        once = dhta(hasher, images, targets, budget=budget, options=OPTIONS, session=session)
        return dhta(hasher, once, targets, budget=budget, options=OPTIONS, session=session)

    with pytest.raises(HashprobeError, match="finished a query twice"):
        attack(work, attack=twice)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_query_is_judged_and_kept_once(name, work, tmp_path, monkeypatch):
    module, kept = sys.modules[craft.__module__], []
    real = module.write_query

    def count(out, recipe, query_id, one):
        kept.append(query_id)
        real(out, recipe, query_id, one)

    monkeypatch.setattr(module, "write_query", count)
    options = ATTACKS[name].options()
    if hasattr(options, "steps"):
        options = dataclasses.replace(options, steps=3)
    attack(work, attack=name, options=options, out=tmp_path)
    assert sorted(kept) == sorted(IDS)
