"""Attacks of a run measured without the items that voted and without the training items."""

import json
from dataclasses import replace

import numpy as np
import pytest

from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import draw_target_codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.datasets.digits import load_digits
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measures import targeted_mean_average_precision
from hashprobe.storage.runs import Run
from hashprobe.workflow import attack_step
from hashprobe.workflow.attack_step import Protocol, attack_run
from hashprobe.workflow.exclusions import measured_without, training_items
from hashprobe.workflow.results import finished_attack, finished_attacks
from hashprobe.workflow.run_io import open_run


DHTA = "dhta-64of255-seed1"


def test_training_items_are_found_by_their_content():
    digits = load_digits()
    data = replace(digits, train=digits.database.take(np.array([3, 8, 5])))
    assert np.flatnonzero(training_items(data, np.arange(1347))).tolist() == [3, 5, 8]
    assert training_items(data, np.array([8, 0])).tolist() == [True, False]


@pytest.mark.parametrize("name", [DHTA, "p2p-64of255-seed1"])
def test_the_ceiling_without_voters_is_that_of_databases_without_them(run, name):
    victim, done = open_run(run), finished_attack(run / "attacks" / name)
    fewer = measured_without(done, victim, voters=True, training=False)
    attacked = attack_step.AttackResult.load(done.folder)
    goal = draw_target_codes(
        victim.database.codes,
        victim.database.labels,
        attacked.target_labels,
        n_t=9 if name == DHTA else 1,
        seed=1,
        query_ids=attacked.query_ids,
    )
    assert goal.members.shape == (6, 9 if name == DHTA else 1)
    for row in range(6):
        kept = np.setdiff1d(np.arange(len(victim.database)), goal.members[row])
        alone = targeted_mean_average_precision(
            PackedCodes.from_logits(attacked.target_codes[row : row + 1]),
            victim.database.codes[kept],
            attacked.target_labels[row : row + 1],
            victim.database.labels[kept],
        )
        assert fewer.evaluation.ceiling.per_query[row] == pytest.approx(alone.value)
    assert fewer.evaluation.ceiling.value < done.evaluation.ceiling.value
    assert "|without:voters|q:6|db:1347|" in fewer.evaluation.ceiling.signature
    assert fewer.evaluation.wrong.value == done.evaluation.wrong.value
    assert fewer.evaluation.perceptibility == done.evaluation.perceptibility


def test_a_database_without_training_items_is_smaller(run):
    victim, done = open_run(run), finished_attack(run / "attacks" / DHTA)
    train = victim.data.database.take(np.arange(250))
    victim = replace(victim, data=replace(victim.data, train=train))
    fewer = measured_without(done, victim, voters=True, training=True)
    assert "|without:voters+training|q:6|db:1097|" in fewer.evaluation.map_clean.signature
    assert fewer.evaluation.map_clean.value != done.evaluation.map_clean.value


def test_an_attack_can_ask_for_it_and_a_report_measures_again(run, hashprobe):
    """Both give the same numbers, and the report changes nothing on the disk."""
    before = (run / "attacks" / DHTA / "evaluation.json").read_bytes()
    words = ("--exclude-voters", "--exclude-training")
    said = hashprobe("report", run, "--markdown", *words)
    assert said.code == 0, said.err
    assert said.out.count("without:voters+training") >= 5
    assert (run / "attacks" / DHTA / "evaluation.json").read_bytes() == before
    again = [
        measured_without(one, open_run(run), voters=True, training=True)
        for one in finished_attacks(Run.open(run))
    ]
    spec = AttackSpec("dhta", replace(AttackSpec("dhta").attack.options(), steps=2))
    asked = Protocol(queries=6, seed=1, exclude_voters=True, exclude_training=True)
    fresh = attack_run(run, spec, protocol=asked, name="fresh")
    dhta = next(one for one in again if one.name == DHTA)
    for part in ("floor", "ceiling", "map_clean"):
        mine, theirs = getattr(fresh, part), getattr(dhta.evaluation, part)
        assert mine.to_json() == theirs.to_json(), part
    record = json.loads((run / "attacks" / "fresh" / "attack.json").read_text())
    assert record["protocol"]["exclude_voters"] and record["protocol"]["exclude_training"]
    page = hashprobe("report", run, "--exclude-training")
    assert page.code == 0, page.err
    assert "without:training" in (run / "report.html").read_text()


def test_voters_that_are_no_longer_known_are_refused(run):
    done, victim = finished_attack(run / "attacks" / DHTA), open_run(run)
    other = replace(done, record=replace(done.record, protocol={**done.record.protocol, "seed": 5}))
    with pytest.raises(HashprobeError, match="does not give the target codes of this attack"):
        measured_without(other, victim, voters=True, training=False)
    strange = replace(
        done, record=replace(done.record, recipe={**done.record.recipe, "attack": "mine.attack"})
    )
    with pytest.raises(HashprobeError, match=r"mine\.attack is not registered"):
        measured_without(strange, victim, voters=True, training=False)


def test_repeats_give_the_spread_between_runs(run, hashprobe):
    """Other batches, other random numbers, the same queries and targets."""
    words = ("--queries", 12, "--seed", 3, "--steps", 3, "--eps", "16/255", "--name", "three")
    said = hashprobe("attack", "bit-margin", run, *words, "--repeats", 3)
    assert said.code == 0, said.err
    done = finished_attack(run / "attacks" / "three")
    runs = done.evaluation.achieved_runs
    assert len(runs.per_query) == 3 and runs.low <= runs.value <= runs.high
    assert runs.per_query[0] == done.evaluation.achieved.value
    assert runs.signature.startswith("runs:3|tMAP@all|") and "|ci:prediction-t|" in runs.signature
    assert "t-MAP, between runs" in said.out and "MAP attacked, between runs" in said.out
    folders = [run / "attacks" / "three" / "runs" / str(number) for number in (2, 3)]
    ids, codes = set(), []
    for folder in folders:
        part = attack_step.AttackResult.load(folder)
        ids.add(tuple(part.query_ids))
        codes.append(part.target_codes)
    assert len(ids) == 1 and np.array_equal(codes[0], codes[1])
    assert "t-MAP between runs" in hashprobe("report", run, "--markdown").out
    assert hashprobe("attack", "noise", run, "--repeats", 0).error.endswith("got 0")
