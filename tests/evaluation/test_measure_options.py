from dataclasses import fields

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measure_options import DEFAULTS, MeasureOptions
from hashprobe.evaluation.measurement import Bootstrap


@pytest.mark.parametrize(
    ("normaliser", "ties"), [("hits", "stable"), ("min", "expected"), ("relevant", "expected")]
)
def test_each_normaliser_has_its_default_order(normaliser, ties):
    assert MeasureOptions(normaliser=normaliser).order == ties
    assert MeasureOptions(normaliser=normaliser, ties="worst").order == "worst"


def test_a_list_is_at_most_the_database():
    assert [MeasureOptions(top=top).length(100) for top in (None, 1, 100, 101)] == [
        100,
        1,
        100,
        100,
    ]


def test_the_names_are_those_of_run_folders():
    options = MeasureOptions(9, "min", "best", "skip", Bootstrap(resamples=5))
    assert options.to_json() == {"top": 9, "normaliser": "min", "ties": "best", "empty": "skip"}
    names = [field.name for field in fields(MeasureOptions)]
    assert names == ["top", "normaliser", "ties", "empty", "bootstrap"]
    assert MeasureOptions(**DEFAULTS.to_json()) == DEFAULTS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top": 0}, "top must be at least 1.*got 0"),
        ({"normaliser": "all"}, "normaliser must be one of hits, min, relevant; got 'all'"),
        ({"ties": "random"}, "ties must be one of stable, .*; got 'random'"),
        ({"empty": "drop"}, "empty must be one of zero, skip, error; got 'drop'"),
        ({"ties": "expected"}, r"hits the top T holds depends on.*best and worst"),
    ],
)
def test_options_that_do_not_go_together_are_refused(as_for_users, options, words):
    with pytest.raises(HashprobeError, match=words):
        MeasureOptions(**options)
