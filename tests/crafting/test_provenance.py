"""What a folder of an attack belongs to: the recipe, and the victim that gave its clean codes."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks._noise import NoiseOptions
from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.attacks.search import Search
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.provenance import recipe_of, same_attack, what_differs
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.storage import files
from hashprobe.types import Budget
from hashprobe.victims.digest import sha256_weights

from .work import OPTIONS, assert_same, attack, quick


def test_another_attack_is_refused_or_overwritten(work, tmp_path, conv):
    attack(work, out=tmp_path)
    for changed, named in (
        ({"options": dataclasses.replace(OPTIONS, steps=6)}, r"options\.steps: 5 there, 6 here"),
        ({"budget": Budget(0.5)}, r"budget\.eps: 0\.0313\d* there, 0\.5 here"),
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"name": "noise", "options": NoiseOptions()}, 'attack: "dhta" there, "noise" here'),
    ):
        with pytest.raises(HashprobeError, match=named) as caught:
            attack(work, out=tmp_path, **changed)
        assert str(caught.value).endswith("): use another folder or overwrite")
        assert "\n" not in str(caught.value)
    pixels = work.queries.pixels.clone()
    pixels[0, 0, 0, 0] += 1
    contract = conv(dtype=torch.float32)
    contract.contract = dataclasses.replace(contract.contract, filter="nearest")
    for other, named in (
        (work.but(victim=conv(seed=1, dtype=torch.float32)), "the victim's weights differ"),
        (work.but(codes=-work.goal.codes), "target codes differ"),
        (work.but(pixels=pixels), "clean queries differ"),
        (work.but(labels=work.goal.labels[::-1].copy()), "target labels differ"),
        (work.but(victim=contract), "the victim's input contract differ"),
        (work.but(ids=(1, 2, 3, 4, 5)), "query ids differ"),
    ):
        with pytest.raises(HashprobeError, match=named):
            attack(other, out=tmp_path)

    (tmp_path / "png" / "mine.png").write_bytes(b"kept")
    fresh = attack(work.but(ids=(1, 2, 3, 4, 5)), out=tmp_path, overwrite=True, seed=3)
    assert {path.name for path in tmp_path.glob("queries/*")} == {f"{i}.npz" for i in range(1, 6)}
    assert (tmp_path / "png" / "mine.png").exists()
    assert_same(fresh, AttackResult.load(tmp_path))


def test_another_search_is_another_attack(work, tmp_path):
    database = PackedCodes.from_signs(work.goal.codes <= 0)
    search = Search(database, np.arange(5)[:, None], 12)
    given = {"name": "square", "options": quick("square", 6), "out": tmp_path}

    def towards(search):
        return dataclasses.replace(work, goal=dataclasses.replace(work.goal, search=search))

    out = attack(towards(search), **given)
    assert (out.forwards <= 6).all() and (out.backwards == 0).all()
    assert_same(out, attack(towards(search), **given))  # resumed
    other = dataclasses.replace(search, database=database[::-1])
    for changed, named in (
        (dataclasses.replace(search, radius=11), r"search\.radius: 12 there, 11 here"),
        (other, "the database that is searched differ"),
        (dataclasses.replace(search, items=search.items[::-1].copy()), "queries are to leave"),
    ):
        with pytest.raises(HashprobeError, match=named):
            attack(towards(changed), **given)


def test_bfloat16_is_another_attack(work, tmp_path):
    given = {"name": "bit-margin", "options": BitMarginOptions(steps=5), "out": tmp_path}
    out = attack(work, precision="bfloat16", **given)
    assert out.recipe["precision"] == "bfloat16" and out.recipe["attack"] == "bit-margin"
    assert (out.forwards >= out.backwards).all() and (out.backwards > 0).all()
    with pytest.raises(HashprobeError, match='precision: "bfloat16" there, "float32" here'):
        attack(work, **given)


def test_lengths_are_part_of_it(clip_work, tmp_path):
    given = {"options": quick("dhta"), "out": tmp_path}
    attack(clip_work, **given)
    shorter = clip_work.but(lengths=clip_work.queries.lengths.clamp(max=3))
    with pytest.raises(HashprobeError, match=r"another attack \(lengths of the clips differ\)"):
        attack(shorter, **given)
    attack(shorter, **given, overwrite=True)
    first = tmp_path / "png" / str(clip_work.queries.ids[0])
    assert len(list(first.glob("*.png"))) == 3


def test_a_budget_without_a_rule_is_one_from_before_there_were_rules(clip_work, tmp_path):
    given = {"options": quick("dhta"), "out": tmp_path}
    attack(clip_work, **given)
    recipe = json.loads((tmp_path / "attack.json").read_text())["recipe"]
    assert recipe["budget"] == {"eps": 8 / 255, "space": "pixel"}
    with pytest.raises(HashprobeError, match=r"attack \(budget.frames: nothing there, 2 here"):
        attack(clip_work, budget=Budget(8 / 255, frames=2), **given)


def test_target_images_are_part_of_it(work, tmp_path, as_for_users):
    given = {"name": "feature", "options": None, "out": tmp_path}
    first = attack(work, **given)
    assert_same(first, attack(work, **given, batch_size=3))
    for query_id in (4, 100):
        (tmp_path / "queries" / f"{query_id}.npz").unlink()
    assert_same(first, attack(work, **given))  # each query's own image, in other chunks, too
    turned = Queries(work.queries.pixels.flip(-1).flip(0))
    other = dataclasses.replace(work, goal=dataclasses.replace(work.goal, images=turned))
    with pytest.raises(HashprobeError, match=r"another attack \(target images differ"):
        attack(other, **given)


def old_folder(folder):
    """Makes of a folder one of format 1: with the version that wrote it, without new parts."""
    index = folder / "attack.json"
    content = json.loads(index.read_text())
    recipe = content["recipe"]
    del recipe["attack_version"], recipe["bits"]
    content = {
        "format": 1,
        "recipe": recipe | {"version": "0.1.0"},
        "query_ids": content["query_ids"],
    }
    index.write_text(json.dumps(content))
    for path in folder.glob("queries/*.npz"):
        arrays = files.read_npz(path)
        arrays["recipe"] = np.array(files.fingerprint(content["recipe"]))
        files.write_npz(path, arrays)


def test_a_recipe_of_format_1_is_accepted_and_goes_on(work, tmp_path):
    whole = attack(work, batch_size=1)
    attack(work, out=tmp_path, batch_size=1)
    old_folder(tmp_path)
    assert_same(whole, AttackResult.load(tmp_path))
    (tmp_path / "queries" / "7.npz").unlink()
    attacked = []

    def hook(module, given, logits):
        if torch.is_grad_enabled():
            attacked.append(len(logits))

    handle = work.victim.register_forward_hook(hook)
    again = attack(work, out=tmp_path, batch_size=1)
    handle.remove()
    # Seven pictures that the victim is probed on, and five steps of the one query that is missing.
    assert sum(attacked) == 7 + 5
    assert_same(whole, again)
    assert AttackResult.load(tmp_path).recipe["version"] == "0.1.0"
    with pytest.raises(HashprobeError, match="seed: 0 there, 1 here"):
        attack(work, out=tmp_path, seed=1)


def test_results_of_another_version_of_an_attack_are_refused(work, tmp_path, monkeypatch):
    attack(work, out=tmp_path)
    newer = {**ATTACKS, "dhta": dataclasses.replace(ATTACKS["dhta"], version=2)}
    monkeypatch.setattr("hashprobe.attacks.registry.ATTACKS", newer)
    with pytest.raises(HashprobeError, match="attack_version: 1 there, 2 here"):
        attack(work, out=tmp_path)
    old_folder(tmp_path)  # of format 1 all attacks are of version 1
    with pytest.raises(HashprobeError, match="attack_version: 1 there, 2 here"):
        attack(work, out=tmp_path)
    assert attack(work, out=tmp_path, overwrite=True).recipe["attack_version"] == 2


def test_a_recipe_says_all_that_decides(work):
    spec = AttackSpec("dhta", OPTIONS)
    recipe = recipe_of(work.victim, work.queries, work.goal, spec, "float32")
    assert same_attack(recipe, json.loads(json.dumps(recipe)))
    assert set(recipe) == {
        "attack", "attack_version", "options", "budget", "seed", "precision", "query_ids",
        "queries", "target_labels", "target_codes", "bits", "hasher", "contract",
    }  # fmt: skip
    other = {**recipe, "seed": 1}
    assert [str(one) for one in what_differs(recipe, other)] == ["seed: 0 there, 1 here"]
    before = sha256_weights(work.victim)
    with torch.no_grad():
        work.victim.hash.bias[3] += 1e-6
    assert sha256_weights(work.victim) != before
