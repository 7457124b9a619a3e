"""Values of presets."""

from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.cli.presets import non_defaults


def test_only_what_differs_from_the_defaults_is_a_value_of_a_preset():
    assert non_defaults(DhtaOptions()) == {}
    assert non_defaults(DhtaOptions(steps=500, alpha=0.1)) == {"steps": 500, "alpha": 0.1}
