"""Names and options of trainings against attacks."""

import pytest

from hashprobe.defenses.trainers.registry import (
    TRAINERS,
    trainer_class,
    trainer_named,
    trainer_of_words,
)
from hashprobe.errors import HashprobeError


@pytest.mark.parametrize("name", TRAINERS)
def test_every_defence_is_found_by_its_name(name):
    made = trainer_named(name)
    assert made.name == name and made.title
    assert trainer_named(**made.to_json()).to_json() == made.to_json()


@pytest.mark.parametrize("eps", [2 / 255, 8 / 255, 32 / 255])
@pytest.mark.parametrize("name", ["cgat", "saat", "atrdh", "trades", "crdat", "fast"])
def test_step_lengths_grow_with_eps_from_the_published_ones(name, eps):
    published = 10 / 255 if name == "fast" else 2 / 255
    made = trainer_of_words(name, [f"eps={eps}"])
    length = made.length
    assert length == pytest.approx(published * eps / (8 / 255)) and made.steps * length > eps
    assert made.to_json()["step_size"] == length
    if eps == 8 / 255:  # what earlier versions wrote, to the last digit
        assert length == published
    assert trainer_named(name, eps=eps, step_size=0.5).to_json()["step_size"] == 0.5


@pytest.mark.parametrize(("name", "first"), [("saat", 2 / 255), ("fast", 10 / 255)])
def test_a_training_whose_steps_did_not_grow_goes_on_as_it_began(name, first):
    there = trainer_named(name, eps=4 / 255, step_size=first).to_json()
    assert trainer_named(name, eps=4 / 255).as_begun(there).to_json() == there
    for other in (trainer_named(name, eps=5 / 255), trainer_named(name, step_size=0.1)):
        assert other.as_begun(there).to_json() != there
    at_8 = trainer_named(name)
    assert at_8.as_begun(trainer_named(name, step_size=first).to_json()) == at_8


def test_words_become_values_of_the_type_of_their_option():
    made = trainer_of_words(
        "p2s", ["eps=4/255", "n-t=all", "step_size=none", "steps=2", "start=warm"]
    )
    assert (made.eps, made.n_t, made.step_size, made.steps, made.start) == (
        4 / 255,
        "all",
        None,
        2,
        "warm",
    )
    assert trainer_of_words("p2s", ["n_t=5"]).n_t == 5
    assert trainer_of_words("atrdh", ["prototypes=vote"]).prototypes == "vote"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eps"], "is NAME=VALUE, such as eps=8/255; got 'eps'"),
        (["epss=1"], "p2s has no option 'epss': choose from eps, steps"),
        (["eps=a"], "p2s: eps must be a number such as 8/255; got 'a'"),
        (["eps=1/0"], "p2s: eps must be a number"),
        (["steps=2.5"], "p2s: steps must be a whole number; got '2.5'"),
        (["n_t=some"], "p2s: n_t must be a whole number or all; got 'some'"),
        (["own=mid"], "p2s: own must be vote or centre; got 'mid'"),
        (["start=cold"], "p2s: start must be clean or random or warm; got 'cold'"),
        (["steps=2", "steps=3"], "option steps of p2s is given twice"),
        (["eps=nan"], "eps must be 0.0001 to 1; got nan"),
    ],
)
def test_wrong_words_are_one_line(words, said):
    with pytest.raises(HashprobeError) as error:
        trainer_of_words("p2s", words)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 2),
        ("step_size", 0.01),
        ("momentum", 0.0),
        ("targeted", 0.0),
        ("push", "product"),
        ("attack_mode", "train"),
    ],
)
def test_free_training_refuses_options_of_an_inner_attack(option, value):
    with pytest.raises(HashprobeError) as error:
        trainer_named("free", **{option: value})
    assert str(error.value) == (
        f"free: {option} has no effect, because there is no inner attack: leave it out"
    )
    with pytest.raises(HashprobeError, match=f"free: {option} has no effect"):
        trainer_of_words("free", [f"{option}={getattr(trainer_named('free'), option)}"])
    # A training of an earlier version, which took it, goes on.
    there = trainer_named("free", eps=0.1).to_json() | {option: value}
    assert trainer_named("free", eps=0.1).as_begun(there).to_json() == there
    assert trainer_named("free").as_begun(there).to_json() != there


def test_an_unknown_defence_is_answered_with_the_known_ones():
    with pytest.raises(HashprobeError, match="unknown defence 'p2p': choose from p2s, atrdh"):
        trainer_class("p2p")
