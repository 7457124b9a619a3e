import dataclasses
import json

import numpy as np
import pytest
import torch

from hashprobe.crafting.attack_result import AttackResult, LazyPixels
from hashprobe.errors import HashprobeError

from .work import assert_same, attack, contents, quick


def test_what_was_kept_comes_back(work, tmp_path):
    out = attack(work, out=tmp_path)
    back = AttackResult.load(tmp_path)
    assert_same(out, back)
    assert back.recipe == out.recipe
    assert back.recipe["budget"] == {"eps": 8 / 255, "space": "pixel"}
    assert abs(back.seconds - out.seconds) < 1e-9
    assert back.images[:].dtype == torch.float32 and back.images8[:].dtype == torch.uint8
    assert back.images.shape == back.images8[:].shape == (5, 3, 8, 6)
    assert torch.equal(back.images8[3], out.images8[:][3]) and len(back.images[5:]) == 0


@pytest.fixture
def in_files(monkeypatch):
    """Pixels of finished queries are kept in their files alone."""
    monkeypatch.setattr("hashprobe.crafting.kept.HELD_BYTES", 0)


def test_pixels_stay_in_memory_until_they_are_many(work, tmp_path, monkeypatch):
    few = attack(work, out=tmp_path / "few")
    assert isinstance(few.images, torch.Tensor)
    most = few.images.nbytes + few.images8.nbytes
    for room, held in ((most, torch.Tensor), (most - 1, LazyPixels)):
        monkeypatch.setattr("hashprobe.crafting.kept.HELD_BYTES", room)
        out = attack(work, out=tmp_path / str(room))
        assert isinstance(out.images, held) and isinstance(out.images8, held)
        assert_same(few, out)
        assert isinstance(attack(work, out=tmp_path / str(room)).images, held)  # resumed


def test_what_is_in_memory_is_saved_as_crafting_would_have(work, clip_work, tmp_path, in_files):
    for name, one in (("images", work), ("clips", clip_work)):
        kept = attack(one, options=quick("dhta"), out=tmp_path / name / "kept")
        held = attack(one, options=quick("dhta"))
        assert isinstance(kept.images, LazyPixels) and isinstance(held.images, torch.Tensor)
        folder = held.save(tmp_path / name / "saved")
        assert_same(held, AttackResult.load(folder))
        assert contents(folder) == contents(tmp_path / name / "kept")
        with pytest.raises(HashprobeError, match="is not an empty folder: choose a new one"):
            held.save(folder)


def test_clips_come_back(clip_work, tmp_path):
    out = attack(clip_work, options=quick("dhta"), out=tmp_path)
    again = AttackResult.load(tmp_path)
    assert_same(out, again)
    assert again.images8.shape == (5, 6, 3, 8, 8)


def test_load_refuses(work, tmp_path):
    attack(work, out=tmp_path)
    index = tmp_path / "attack.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps(content | {"format": 9}))
    with pytest.raises(HashprobeError, match="has format 9; this hashprobe reads 1"):
        AttackResult.load(tmp_path)
    with pytest.raises(HashprobeError, match="has format 9; this hashprobe reads 1"):
        attack(work, out=tmp_path)
    index.write_text(json.dumps({"format": 1}))
    with pytest.raises(HashprobeError, match="is damaged: recipe is missing"):
        AttackResult.load(tmp_path)
    index.write_text("[]")
    with pytest.raises(HashprobeError, match="does not describe an attack"):
        AttackResult.load(tmp_path)
    index.write_text('{"format": 1, "rec')
    with pytest.raises(HashprobeError, match=r"attack\.json is no JSON or was cut off"):
        AttackResult.load(tmp_path)


def test_parts_of_different_length_are_refused(work, as_for_users):
    out = attack(work)
    with pytest.raises(HashprobeError, match="must be one per query; got query_ids 5"):
        dataclasses.replace(out, forwards=out.forwards[:2])


def test_pixels_of_an_attack_that_was_replaced_are_not_taken_for_its_own(work, tmp_path, in_files):
    first = attack(work, out=tmp_path)
    attack(work, out=tmp_path, seed=9, overwrite=True)
    with pytest.raises(HashprobeError, match="belongs to another attack"):
        first.images8[:]


def test_as_json(work):
    out = attack(work)
    record = json.loads(json.dumps(out.to_json()))
    assert record["bits"] == 16 and record["recipe"] == json.loads(json.dumps(out.recipe))
    for row, one in enumerate(record["queries"]):
        assert one["id"] == out.query_ids[row]
        assert bytes.fromhex(one["code"]) == out.codes.data[row].tobytes()
        assert bytes.fromhex(one["clean_code"]) == out.clean_codes.data[row].tobytes()
        assert (one["forwards"], one["backwards"]) == (5, 5)


def test_labels_and_queries_stay_with_the_result(work):
    own = np.eye(5, 4, k=1, dtype=bool)
    queries = dataclasses.replace(work.queries, labels=own)
    out = attack(dataclasses.replace(work, queries=queries))
    assert out.clean is queries and (out.own_labels == own).all()
    assert out.spec.name == "dhta" and out.spec.to_json()["seed"] == 0
