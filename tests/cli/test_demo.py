"""hashprobe demo: which attacks it runs, with which options."""

from hashprobe.attacks.registry import ATTACKS, DEFAULT
from hashprobe.cli.demo import EPS, spec_of


def test_the_demo_shows_noise_the_papers_attacks_and_the_default():
    shown = [attack.title for attack in ATTACKS.values() if attack.demo]
    assert shown == ["Noise", "P2P", "DHTA", "Bit margin"]


def test_steps_are_for_published_attacks_that_take_steps():
    steps = {
        attack.name: getattr(spec_of(attack, 7).options, "steps", None)
        for attack in ATTACKS.values()
        if attack.demo
    }
    assert steps == {
        "noise": None,
        "p2p": 7,
        "dhta": 7,
        DEFAULT: ATTACKS[DEFAULT].options().steps,
    }
    assert spec_of(ATTACKS["dhta"], 7).budget.eps == EPS
