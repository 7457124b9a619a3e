"""A matrix of sources and targets, against attacks one by one."""

import json
import shutil

import numpy as np
import pytest

from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks._pta import PtaOptions
from hashprobe.attacks.registry import AttackSpec
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget
from hashprobe.workflow._transfer import transfer_runs
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.protocol import Protocol


@pytest.fixture
def three(encoded, tmp_path):
    """Three runs; all are the same, so that what is crafted on one works on all."""
    runs = [tmp_path / name for name in ("one", "two", "three")]
    for run in runs:
        shutil.copytree(encoded, run)
    return runs


def test_every_source_meets_every_target(three):
    spec = AttackSpec("bit-margin", BitMarginOptions(steps=4), Budget(32 / 255))
    protocol = Protocol(queries=4)
    found = transfer_runs(three, spec, protocol=protocol)
    assert found.targets == ("one", "two", "three")
    assert found.sources == (*found.targets, "all others")
    alone = attack_run(three[0], spec, protocol=protocol)
    for row in found.achieved[:3]:
        for each in row:
            np.testing.assert_allclose(each.per_query, alone.achieved.per_query, atol=0.05)
    for floor in found.floor:
        np.testing.assert_allclose(floor.per_query, alone.floor.per_query)
    assert found.lift[0][1].value == pytest.approx(found.achieved[0][1].value - floor.value)
    # Two like networks are as good as one.
    assert found.achieved[3][0].value == pytest.approx(alone.achieved.value, abs=0.1)
    assert "| crafted on | one | two | three |" in str(found)
    assert json.loads(json.dumps(found.to_json()))["sources"][3] == "all others"


def test_an_attack_that_needs_a_database_takes_no_ensemble(three):
    spec = AttackSpec("pta", PtaOptions(steps=1, items=2, others=1), Budget(32 / 255))
    found = transfer_runs(three, spec, protocol=Protocol(queries=2))
    assert found.sources == found.targets == ("one", "two", "three")
    assert "all others" not in str(found)


def test_what_cannot_be_compared_is_refused(three, hashprobe):
    with pytest.raises(HashprobeError, match="takes an attack to target codes; hag is another"):
        transfer_runs(three, AttackSpec("hag"))
    answer = hashprobe("transfer", three[0], "--queries", 3)
    assert answer.code == 2 and "a transfer needs two runs or more; got 1" in answer.err
