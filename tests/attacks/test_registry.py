import dataclasses
import functools
import json

import pytest

from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks._noise import NoiseOptions
from hashprobe.attacks.contract import Attack, AttackFunction
from hashprobe.attacks.registry import (
    ATTACKS,
    DEFAULT,
    AttackSpec,
    attack_named,
    register,
    unregister,
)
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget


def test_every_attack_is_known_by_its_name():
    assert DEFAULT in ATTACKS
    for name, attack in ATTACKS.items():
        assert attack.name == name and attack_named(name) is attack
        assert isinstance(attack.run, AttackFunction)
        assert attack.summary and attack.title
    with pytest.raises(HashprobeError, match="'dtha': choose from bit-margin, cgat, dhta, feature"):
        attack_named("dtha")
    with pytest.raises(TypeError):
        ATTACKS["mine"] = ATTACKS["dhta"]


def test_a_name_is_taken_once():
    other = dataclasses.replace(ATTACKS["dhta"], title="Another")
    with pytest.raises(HashprobeError, match="there is an attack 'dhta' already"):
        register(other)
    assert register(ATTACKS["dhta"]) is ATTACKS["dhta"]
    mine = register(Attack("mine", dhta, DhtaOptions, title="Mine"))
    try:
        assert ATTACKS["mine"] is mine and AttackSpec("mine").options == DhtaOptions()
    finally:
        unregister("mine")
    assert "mine" not in ATTACKS


def test_a_spec_fills_in_published_defaults_and_refuses_what_does_not_fit():
    assert AttackSpec() == AttackSpec("bit-margin", ATTACKS["bit-margin"].options(), Budget(), 0)
    assert AttackSpec("noise").options == NoiseOptions()
    with pytest.raises(HashprobeError, match="attack dhta takes DhtaOptions; got NoiseOptions"):
        AttackSpec("dhta", NoiseOptions())
    with pytest.raises(HashprobeError, match="unknown attack 'dtha'"):
        AttackSpec.of("dtha")
    with pytest.raises(HashprobeError, match=r"seed must be a whole number from 0 to .*; got -1"):
        AttackSpec("noise", seed=-1)


def test_a_spec_of_a_function_is_named_after_it():
    options = DhtaOptions(steps=3)
    spec = AttackSpec.of(dhta, options, seed=4)
    assert spec.name == "hashprobe.attacks._dhta.dhta" and spec.seed == 4
    assert spec.attack.run is dhta and spec.attack.needs == frozenset()
    assert AttackSpec.of(functools.partial(dhta), options).name == spec.name

    class Mine:
        def __call__(self, victim, queries, goal, **_):
            return queries.pixels

    assert AttackSpec.of(Mine()).name.endswith("Mine")
    assert AttackSpec.of("dhta", options).attack is ATTACKS["dhta"]


def test_a_spec_in_a_file():
    spec = AttackSpec("dhta", DhtaOptions(steps=3), Budget(0.1, frames=2), 5)
    record = json.loads(json.dumps(spec.to_json()))
    assert record == {
        "attack": "dhta",
        "attack_version": 1,
        "options": {"n_t": 9, "steps": 3, "step_size": 1.0, "alpha": None, "tie": "plus"},
        "budget": {"eps": 0.1, "space": "pixel", "frames": 2},
        "seed": 5,
    }


@pytest.mark.parametrize("name", ["dhta", "p2p", "feature"])
def test_an_option_that_came_later_is_written_where_it_is_not_the_default(name):
    """Files of attacks as they were before stay the same, so that stored results are found."""
    options = ATTACKS[name].options(**({"rule": "pgd"} if name == "feature" else {}))
    assert "step" not in AttackSpec(name, options).to_json()["options"]
    scaled = dataclasses.replace(options, step="scaled")
    assert AttackSpec(name, scaled).to_json()["options"]["step"] == "scaled"


def test_a_function_may_say_what_it_is_called():
    def attack(*_, **__):
        """Nothing."""

    assert AttackSpec.of(attack).shown.endswith("attack")
    attack.title = "mine"
    assert AttackSpec.of(attack).shown == "mine" == AttackSpec.of(attack).attack.title
    assert AttackSpec("dhta").shown == "dhta"
