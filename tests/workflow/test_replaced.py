"""Readers see the last whole result of an attack until its successor is whole."""

import pytest

from hashprobe.attacks.registry import AttackSpec
from hashprobe.storage.runs import Run
from hashprobe.types import Budget
from hashprobe.workflow import attack_step
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.results import aside, finished_attacks


THREE, FOUR = Protocol(queries=3), Protocol(queries=4)


def noise(eps):
    return AttackSpec("noise", budget=Budget(eps / 255))


def seen(run):
    """What a reader sees of the attack x: its budget and its queries."""
    (found,) = [one for one in finished_attacks(Run.open(run)) if one.name == "x"]
    return round(found.budget.eps * 255), len(found.record.query_ids)


@pytest.mark.parametrize(("spec", "protocol"), [(noise(16), THREE), (noise(8), FOUR)])
def test_the_old_result_is_seen_until_the_new_one_is_whole(run, monkeypatch, spec, protocol):
    attack_run(run, noise(8), protocol=THREE, name="x")
    folder = run / "attacks" / "x"
    (folder / "mine.txt").write_text("of a user")
    whole, looked = attack_step.measure, []

    def looking(*given, **more):
        looked.append(seen(run))
        return whole(*given, **more)

    monkeypatch.setattr(attack_step, "measure", looking)
    attack_run(run, spec, protocol=protocol, name="x", overwrite=True)
    assert looked == [(8, 3)]
    assert seen(run) == (round(spec.budget.eps * 255), protocol.queries)
    assert not aside(folder).exists()
    assert (folder / "mine.txt").read_text() == "of a user"


def test_a_kill_leaves_the_old_result_until_the_command_is_given_again(run, monkeypatch):
    attack_run(run, noise(8), protocol=THREE, name="x")

    def killed(*given, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(attack_step, "measure", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                attack_run(run, noise(16), protocol=THREE, name="x", overwrite=True)
            assert seen(run) == (8, 3)
    attack_run(run, noise(16), protocol=THREE, name="x")
    assert seen(run) == (16, 3)
    assert not aside(run / "attacks" / "x").exists()


def test_the_same_attack_is_used_again(run, monkeypatch):
    attack_run(run, noise(8), protocol=THREE, name="x")
    files = sorted((run / "attacks" / "x" / "queries").glob("*"))
    times = [path.stat().st_mtime_ns for path in files]
    attack_run(run, noise(8), protocol=THREE, name="x", overwrite=True)
    assert [path.stat().st_mtime_ns for path in files] == times
