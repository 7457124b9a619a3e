"""A new attack is one file and one line: commands and reports need no other edit."""

from dataclasses import dataclass

import pytest

from hashprobe.attacks.contract import Attack
from hashprobe.attacks.registry import register, unregister
from hashprobe.types import Runtime


@dataclass(frozen=True)
class ToyOptions:
    """What the toy can be told."""

    share: float = 0.5
    """Share of eps that is added to each pixel."""


def toy(victim, queries, goal, *, budget, options, seed=0, runtime=Runtime()):
    """Makes queries brighter by a share of eps."""
    return (queries.pixels + options.share * budget.eps).clamp(0, 1)


@pytest.fixture
def _registered():
    register(Attack("toy", toy, ToyOptions, title="Toy brightness"))
    yield
    unregister("toy")


@pytest.mark.usefixtures("_registered")
def test_a_registered_attack_is_in_the_help(hashprobe, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    listed = hashprobe("attack --help").out
    assert "toy" in listed
    assert "Makes queries brighter by a share of eps." in listed
    own = " ".join(hashprobe("attack toy --help").out.split())
    assert "--share FLOAT" in own
    assert "Share of eps that is added to each pixel. [default: 0.5]" in own
    assert "Did you mean" in hashprobe("attack tooy RUN").error


@pytest.mark.usefixtures("_registered")
def test_a_registered_attack_runs_and_is_reported(hashprobe, chosen, run):
    words = ("--queries", 3, "--eps", "16/255", "--share", 0.25, "--name", "x")
    said = hashprobe("attack", "toy", run, *words)
    assert said.code == 0, said.err
    assert "largest change 4/255" in said.out
    assert chosen(run, "x")["options"] == {"share": 0.25}
    row = [
        line
        for line in hashprobe("report", run, "--markdown").out.splitlines()
        if "| Toy brightness |" in line
    ]
    assert len(row) == 1
    assert hashprobe("report", run).code == 0
    page = (run / "report.html").read_text()
    assert "Toy brightness" in page
    assert "hashprobe attack toy" in page
    assert "--share 0.25" in page


@pytest.mark.usefixtures("_registered")
def test_a_registered_attack_takes_budget_and_protocol_of_a_preset(hashprobe, chosen, encoded):
    words = ("--preset", "official-code", "--queries", 2, "--name", "x")
    said = hashprobe("attack", "toy", encoded, *words)
    assert said.code == 0, said.err
    asked = chosen(encoded, "x")
    assert asked["budget"] == {"eps": 0.032, "space": "normalised"}
    assert asked["options"] == {"share": 0.5}


def test_an_attack_that_was_taken_back_is_unknown(hashprobe):
    assert "toy" not in hashprobe("attack --help").out
    assert "unknown attack 'toy'" in hashprobe("attack toy RUN").error
