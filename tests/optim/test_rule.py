import dataclasses

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.optim.rule import UpdateRule


def nothing(*_):
    raise AssertionError("nothing is computed when a rule is made")


@pytest.mark.parametrize("compared", ["features", "logits"])
def test_grey_levels_need_codes(compared):
    with pytest.raises(HashprobeError, match=f"eight_bit counts wrong bits .* with {compared}"):
        UpdateRule(nothing, nothing, steps=1, eight_bit=True, compared=compared)
    floats = UpdateRule(nothing, nothing, steps=1, compared=compared)
    with pytest.raises(HashprobeError, match="eight_bit"):
        dataclasses.replace(floats, eight_bit=True)


def test_a_rule_stays_as_it_was_made():
    rule = UpdateRule(nothing, nothing, steps=1, eight_bit=True)
    assert rule.compared == "codes"
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.steps = 2
