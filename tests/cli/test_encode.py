"""hashprobe encode: what it prints and what it refuses."""

import pytest


def test_the_map_of_the_first_results_has_their_number_in_its_signature(hashprobe, encoded):
    said = hashprobe("encode", encoded, "--top", 7)
    assert said.code == 0
    assert said.out.startswith("MAP 0.")
    assert "MAP@7|" in said.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--batch-size", 0), "batch size must be at least 1; got 0"),
        (("--workers", -1), "workers must be at least 0; got -1"),
        (("--device", "tpu7"), "choose auto or cpu"),
        (("--precision", "half"), "--precision"),
    ],
)
def test_options_out_of_range_are_one_line(hashprobe, encoded, words, named):
    assert named in hashprobe("encode", encoded, *words).error
