"""Queries in files of many: kills at any moment, damage, few files, the same bytes."""

import errno
import json
import os

import numpy as np
import pytest
import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.crafting import kept as module
from hashprobe.crafting import query_shards
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.kept import KeptInShards
from hashprobe.crafting.query_files import clear
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.storage import files

from .work import Killed, Told, assert_same, attack, contents, quick


NOISE = {"name": "noise", "options": None}


def names(folder):
    return sorted(path.name for path in folder.glob("queries/*"))


def test_the_result_is_that_of_a_file_each(work, clip_work, tmp_path):
    for name, one in (("images", work), ("clips", clip_work)):
        given = {"options": quick("dhta", 2)}
        single = attack(one, out=tmp_path / name / "single", **given)
        many = attack(one, out=tmp_path / name / "many", shard=2, **given)
        assert names(tmp_path / name / "many") == [f"shard-{i:010d}.npz" for i in (0, 2, 4)]
        assert not (tmp_path / name / "many" / "png").exists()
        for other in (many, AttackResult.load(tmp_path / name / "many")):
            assert_same(single, other)
            assert abs(other.seconds - many.seconds) < 1e-9
            for rows in (3, -1, slice(1, 4), slice(None, None, 2), np.int64(2)):
                assert torch.equal(single.images8[rows], other.images8[rows])
        assert_same(many, attack(one, out=tmp_path / name / "many", shard=3, **given))


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("written", [True, False])
def test_a_kill_at_any_moment_gives_the_same_bytes(
    written, deterministic, work, tmp_path, monkeypatch
):
    """An exception writes what waits in memory; a signal that cannot be caught does not."""
    given = {"options": quick("dhta", 1), "shard": 3, "deterministic": deterministic}
    given["batch_size"] = 2 if deterministic else 1
    whole = attack(work, out=tmp_path / "whole", **given)
    told = Told()
    attack(work, progress=told, **given)
    for moment in range(1, len(told.ticks) + 1):
        out = tmp_path / str(moment)
        seen = Told()

        def die(*_, seen=seen, moment=moment):
            if len(seen.ticks) == moment:
                raise Killed

        seen.at_tick = die
        with monkeypatch.context() as patch, pytest.raises(Killed):
            if not written:
                patch.setattr(KeptInShards, "close", lambda self: None)
            attack(work, out=out, progress=seen, **given)
        again = attack(work, out=out, **given)
        assert_same(whole, again)
        assert contents(tmp_path / "whole") == contents(out)


def test_queries_that_wait_too_long_get_a_file_each_until_their_shard_is_whole(
    work, tmp_path, monkeypatch
):
    attack(work, out=tmp_path / "whole", shard=4, batch_size=1)
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    seen = []
    told = Told(lambda *_: seen.append(names(tmp_path / "slow")))
    attack(work, out=tmp_path / "slow", shard=4, batch_size=1, progress=told)
    assert any(name[0].isdigit() for some in seen for name in some)
    assert contents(tmp_path / "whole") == contents(tmp_path / "slow")


def test_a_damaged_shard_is_attacked_again_and_no_other(work, tmp_path):
    whole = attack(work, out=tmp_path, shard=2, **NOISE)
    before = contents(tmp_path)
    first, second, third = sorted(tmp_path.glob("queries/*"))
    kept = first.stat().st_mtime_ns
    second.write_bytes(second.read_bytes()[:-9])
    third.unlink()
    with pytest.raises(HashprobeError, match=r"has finished 4 of 5 queries: run it again"):
        AttackResult.load(tmp_path)
    told = Told()
    again = attack(work, out=tmp_path, shard=2, progress=told, **NOISE)
    assert told.lines == ["2 of 5 queries are finished already"]
    assert_same(whole, again)
    assert contents(tmp_path) == before
    assert first.stat().st_mtime_ns == kept


def test_a_changed_pixel_is_found_when_it_is_read_or_resumed(work, tmp_path):
    whole = attack(work, out=tmp_path, shard=5, **NOISE)
    (path,) = tmp_path.glob("queries/*")
    content = bytearray(path.read_bytes())
    place = content.find(whole.images8[2].numpy().tobytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(HashprobeError, match=r"shard-0000000000\.npz is damaged"):
        AttackResult.load(tmp_path).images8[0]
    assert_same(whole, attack(work, out=tmp_path, shard=5, **NOISE))


def test_malformed_shards_are_one_line(work, tmp_path, as_for_users):
    attack(work, out=tmp_path, shard=5, **NOISE)
    (path,) = tmp_path.glob("queries/*")
    good = files.read_npz(path)
    for part, value, words in (
        ("recipe", np.array("another"), "belongs to another attack than attack.json beside it"),
        ("ids", good["ids"] + 1, "holds other queries than attack.json names"),
        ("forwards", -good["forwards"] - 1, "forwards is negative or no number"),
        ("seconds", good["seconds"] * np.nan, "seconds is negative or no number"),
        ("length", good["length"] + 1, "a length is not from 0 to 0"),
        ("code", good["code"][:3], "code has 3 rows, "),
        ("shape", good["shape"][:2], "its pixels have another shape than it says"),
        ("clean_code", good["clean_code"].astype(np.int8), r"clean_code must be uint8 \(n, b\)"),
    ):
        files.write_npz(path, {**good, part: value})
        with pytest.raises(HashprobeError, match=words) as caught:
            AttackResult.load(tmp_path).images[0]
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    files.write_npz(path, {name: part for name, part in good.items() if name != "seconds"})
    with pytest.raises(HashprobeError, match=r"it needs ids, shape, .* and length; it holds"):
        AttackResult.load(tmp_path)
    files.write_npz(path, good)
    index = tmp_path / "attack.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps({**content, "shard": 0}))
    with pytest.raises(HashprobeError, match=r"attack\.json is damaged: shard must be"):
        AttackResult.load(tmp_path)


def test_many_queries_are_few_files_and_no_pictures(conv, tmp_path, monkeypatch):
    monkeypatch.setattr(query_shards, "FEW", 50)
    monkeypatch.setattr(query_shards, "MOST", 40)
    flushes = []
    real = files.flush_to_disk
    monkeypatch.setattr(files, "flush_to_disk", lambda path: (flushes.append(path), real(path)))
    pixels = torch.randint(0, 256, (130, 3, 8, 6), dtype=torch.uint8)
    words = (conv(dtype=torch.float32), Queries(pixels), Goal.untargeted(), AttackSpec("noise"))
    out = craft(*words, out=tmp_path / "a")
    assert names(tmp_path / "a") == [f"shard-{i:010d}.npz" for i in (0, 40, 80, 120)]
    assert len(flushes) == 2 * (4 + 1)  # a file and its folder: four shards and attack.json
    held = craft(*words)
    assert contents(held.save(tmp_path / "b")) == contents(tmp_path / "a")
    (picture,) = out.save_pictures(tmp_path / "c", [81])
    assert picture.name == "81.png"
    with pytest.raises(HashprobeError, match="rows must be 0 to 129; got 130"):
        out.save_pictures(tmp_path / "c", [130])
    (tmp_path / "a" / "queries" / "mine.npz").write_bytes(b"kept")
    clear(tmp_path / "a")
    assert names(tmp_path / "a") == ["mine.npz"]


def test_a_full_disk_keeps_whole_shards(work, tmp_path, monkeypatch):
    replace, written = os.replace, []

    def third(part, final):
        if str(final).endswith(".npz"):
            written.append(final)
            if len(written) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(part, final)

    whole = attack(work, shard=2, out=tmp_path / "whole", **NOISE)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", third)
        with pytest.raises(HashprobeError, match=r"no space left on the disk for .*shard-"):
            attack(work, shard=2, out=tmp_path / "full", **NOISE)
    assert names(tmp_path / "full") == ["shard-0000000000.npz"]
    assert_same(whole, attack(work, shard=2, out=tmp_path / "full", **NOISE))
    assert contents(tmp_path / "whole") == contents(tmp_path / "full")
