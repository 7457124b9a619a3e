"""The deterministic mode: the same pixels again, stopped or not, on few threads or many."""

import json

import pytest
import torch

from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.deterministic import THREADS, fixed_batches, repeatable
from hashprobe.crafting.query_files import query_path
from hashprobe.errors import HashprobeError
from hashprobe.types import Runtime
from hashprobe.victims import memory

from .work import assert_same, attack


MODE = {"deterministic": True, "batch_size": None}


def test_it_gives_the_same_again_on_any_number_of_threads(work):
    before = torch.get_num_threads()
    one = attack(work, **MODE)
    try:
        torch.set_num_threads(1 if before > 1 else 2)
        two = attack(work, **MODE)
    finally:
        torch.set_num_threads(before)
    assert_same(one, two)


def test_a_stopped_attack_ends_as_one_that_was_not(work, tmp_path):
    """A batch that is not whole is attacked again, so that its queries go through together."""
    mode = {"deterministic": True, "batch_size": 3}
    whole = attack(work, out=tmp_path, **mode)
    gone = [int(whole.query_ids[0]), int(whole.query_ids[-1])]
    for query in gone:
        query_path(tmp_path, query).unlink()
    again = attack(work, out=tmp_path, **mode)
    assert_same(AttackResult.load(tmp_path), whole)
    assert_same(again, whole)


def test_the_provenance_says_so_and_keeps_it_apart(work, tmp_path):
    attack(work, out=tmp_path, deterministic=True, batch_size=2)
    recipe = json.loads((tmp_path / "attack.json").read_text())["recipe"]
    assert recipe["deterministic"] == {"batch_size": 2, "threads": THREADS}
    for other in ({"deterministic": False}, {"deterministic": True, "batch_size": 3}):
        with pytest.raises(HashprobeError, match=r"holds another attack .*deterministic"):
            attack(work, out=tmp_path, **other)


def test_without_it_a_record_is_as_before(work, tmp_path):
    attack(work, out=tmp_path)
    assert "deterministic" not in json.loads((tmp_path / "attack.json").read_text())["recipe"]


@pytest.mark.parametrize(
    ("shape", "size"),
    [((9, 3, 224, 224), 32), ((9, 3, 32, 32), 32), ((9, 8, 3, 224, 224), 4), ((2, 3, 640, 640), 3)],
)
def test_the_batch_depends_on_the_size_of_a_query_alone(shape, size):
    pixels = torch.zeros(shape, dtype=torch.uint8)
    assert fixed_batches(Runtime(deterministic=True), pixels).batch_size == size
    assert fixed_batches(Runtime(deterministic=True, batch_size=5), pixels).batch_size == 5
    assert fixed_batches(Runtime(), pixels).batch_size is None


def test_free_memory_plays_no_part_inside(monkeypatch):
    cpu = torch.device("cpu")
    wide = memory.fitting(8 << 20, cpu), memory.room(cpu)
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 20)
    assert memory.fitting(8 << 20, cpu) < 32
    with repeatable(Runtime(deterministic=True)):
        assert (memory.fitting(8 << 20, cpu), memory.room(cpu)) == (32, memory.KEPT_BYTES)
    assert memory.fitting(8 << 20, cpu) < wide[0]


def test_what_was_set_before_is_restored():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ZeroDivisionError), repeatable(Runtime(deterministic=True)):
        assert torch.are_deterministic_algorithms_enabled()
        _ = 1 / 0
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
