"""Shards on a cluster: the same result as here, lost workers, errors, few tasks at once."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.crafting import executor as module
from hashprobe.crafting.executor import InProcess, RayExecutor
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, Runtime
from hashprobe.victims.wrap import Victim

from .work import assert_same, contents, quick


TWO = RayExecutor(workers=2)


def test_tasks_are_computed_in_order_here():
    taken = []

    def tasks():
        for number in range(3):
            taken.append(number)
            yield number

    for number, result in InProcess().run(abs, -2, pow, tasks()):
        assert result == 2**number and taken == list(range(number + 1))


def test_a_lost_worker_costs_its_shard_alone(ray_cluster, tmp_path):
    """Every third task kills its worker the first time."""
    taken = []

    def work(folder, task):
        mark = Path(folder) / str(task)
        if task % 3 == 0 and not mark.exists():
            mark.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return task * task

    def tasks():
        for number in range(10):
            taken.append(number)
            yield number

    found = {}
    for number, result in TWO.run(str, str(tmp_path), work, tasks()):
        found[number] = result
        assert len(taken) - len(found) <= 2  # no more under way than there are workers
    assert found == {number: number * number for number in range(10)}
    assert len(list(tmp_path.iterdir())) == 4


def test_a_shard_that_always_kills_and_errors_are_one_line(ray_cluster, monkeypatch):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def refuse(kept, task):
        raise (HashprobeError if task else TypeError)("it is\nso")

    one = RayExecutor()
    monkeypatch.setattr(module, "LOSSES", 1)
    with pytest.raises(HashprobeError, match="2 workers were lost while they computed shard 0"):
        list(RayExecutor(workers=1).run(abs, 0, die, [7]))
    with pytest.raises(HashprobeError, match=r"^it is\nso$"):
        list(one.run(abs, 0, refuse, [1]))
    with pytest.raises(HashprobeError, match=r"^a worker failed: TypeError: it is"):
        list(one.run(abs, 0, refuse, [0]))
    with pytest.raises(HashprobeError, match="cannot be sent to other processes"):
        list(one.run(abs, sys._getframe(), pow, [0]))


def test_more_workers_than_there_is_room_for_do_not_wait_for_ever(ray_cluster):
    found = dict(RayExecutor(workers=5).run(abs, -3, pow, range(7)))
    assert found == {number: 3**number for number in range(7)}
    with pytest.raises(HashprobeError, match=r"has 2 cores and 0 GPUs: a worker needs 1 and 1$"):
        list(RayExecutor(gpus=1.0).run(abs, 0, pow, [1]))


def test_an_attack_on_a_cluster_gives_the_same_files(ray_cluster, tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 12 * 12, 16))
    victim = Victim(net, bits=16, size=12, mean=0.5)
    queries = Queries(torch.randint(0, 256, (11, 3, 12, 12), dtype=torch.uint8))
    goal = Goal.targeted(np.random.default_rng(0).choice([-1, 1], (11, 16)))
    spec = AttackSpec("dhta", quick("dhta", 3), Budget(8 / 255), seed=3)
    mode = {"deterministic": True, "batch_size": 2, "shard": 4}
    here = craft(victim, queries, goal, spec, runtime=Runtime(**mode), out=tmp_path / "here")
    there = Runtime(**mode, executor=TWO)
    held = craft(victim, queries, goal, spec, runtime=there, out=tmp_path / "there")
    assert_same(here, held)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    (tmp_path / "there" / "queries" / "shard-0000000004.npz").unlink()
    assert_same(here, craft(victim, queries, goal, spec, runtime=there, out=tmp_path / "there"))
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_a_worker_that_is_killed_in_an_attack_changes_no_file(ray_cluster, campaign, tmp_path):
    workers = campaign("workers")
    assert workers.kill(tmp_path, 1, seed=0, wait=0.5, steps=20) == [""]
    first = next((tmp_path / "there-0" / "queries").iterdir())
    first.unlink()
    assert first.name in workers.differences(tmp_path / "there-0", tmp_path / "here")


def test_commands_on_a_cluster_print_the_same(ray_cluster, encoded, hashprobe):
    queries, database = (encoded / "codes" / f"{name}.npz" for name in ("query", "database"))
    before = queries.read_bytes(), database.read_bytes()
    said = hashprobe("encode", encoded).out
    for path in (queries, database):
        path.unlink()
    sums = json.loads((encoded / "checksums.json").read_text())
    kept = {name: value for name, value in sums.items() if not name.startswith("codes/")}
    (encoded / "checksums.json").write_text(json.dumps(kept))
    assert hashprobe("encode", encoded, "--executor", "ray").out == said
    assert (queries.read_bytes(), database.read_bytes()) == before
    shards, rng = encoded / "shards", np.random.default_rng(0)
    shards.mkdir()
    for name in ("a", "b"):
        np.save(shards / f"{name}.codes.npy", rng.integers(0, 256, (30, 1), dtype=np.uint8))
        np.save(shards / f"{name}.labels.npy", rng.integers(0, 3, 30))
    np.savez(shards / "queries.npz", query_codes=np.uint8([[9], [7]]), query_labels=[0, 2], bits=8)
    here, there = hashprobe("evaluate", shards), hashprobe("evaluate", shards, "--executor", "ray")
    assert here.out == there.out and here.code == 0


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HashprobeError, match=r"needs ray: pip install 'hashprobe\[ray\]'"):
        list(TWO.run(abs, 0, pow, [1]))


@pytest.mark.parametrize("given", [{"workers": 0}, {"gpus": -1.0}, {"cpus": 0.0}])
def test_what_cannot_be_is_refused(given):
    with pytest.raises(HashprobeError, match=r"workers|gpus"):
        RayExecutor(**given)
