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
    assert trainer_named(**made.to_json()) == made


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
        (["steps=2", "steps=3"], "option steps of p2s is given twice"),
        (["eps=nan"], "eps must be 0.0001 to 1; got nan"),
    ],
)
def test_wrong_words_are_one_line(words, said):
    with pytest.raises(HashprobeError) as error:
        trainer_of_words("p2s", words)
    assert said in str(error.value)


def test_an_unknown_defence_is_answered_with_the_known_ones():
    with pytest.raises(HashprobeError, match="unknown defence 'p2p': choose from p2s, atrdh"):
        trainer_class("p2p")
