"""Where two configurations differ."""

from hashprobe.storage.differences import Difference, differences


def test_every_option_is_named_once():
    a = {"train": {"bits": 32, "seed": 0, "empty": {}}, "x": [1, 2]}
    assert differences(a, a) == []
    b = {"train": {"bits": 48, "seed": 0}, "x": [1, 2], "y": None}
    assert list(map(str, differences(a, b))) == [
        "train.bits: 32 there, 48 here",
        "train.empty: {} there, nothing here",
        "y: nothing there, null here",
    ]


def test_both_values_can_be_read():
    (found,) = differences({"lr": 0.05, "bits": 48}, {"lr": 0.01, "bits": 48})
    assert found == Difference("lr", 0.05, 0.01)


def test_values_that_say_nothing_have_a_noun_and_stay_whole():
    nouns = {"queries": "clean queries", "contract": "the input contract", "ids": "query ids"}
    there = {"queries": "5f1c", "contract": {"size": 8, "fit": "crop"}, "ids": "1", "seed": 0}
    here = {"queries": "93ab", "contract": {"size": 9, "fit": "squash"}, "ids": "1", "seed": 1}
    assert list(map(str, differences(there, here, nouns))) == [
        "the input contract differ",
        "clean queries differ",
        "seed: 0 there, 1 here",
    ]


def test_a_noun_means_a_name_at_the_top_only():
    there, here = {"options": {"queries": 1}}, {"options": {"queries": 2}}
    (found,) = differences(there, here, {"queries": "clean queries"})
    assert str(found) == "options.queries: 1 there, 2 here"


def test_missing_is_not_null():
    assert [str(d) for d in differences({"a": None}, {})] == ["a: null there, nothing here"]
