"""hashprobe reproduce: the setting that options mean, and the list of recipes."""

import pytest

from hashprobe.cli.reproduce import SettingFlags, duration


@pytest.mark.parametrize(
    ("flags", "scale", "preset"),
    [
        (SettingFlags("digits"), "bench", "default"),
        (SettingFlags("imagenet"), "paper", "paper"),
        (SettingFlags("digits", attack_preset="paper"), "bench", "paper"),
    ],
)
def test_bench_is_meant_where_a_data_set_has_it(flags, scale, preset):
    setting = flags.load()
    assert (setting.scale, setting.preset) == (scale, preset)


def test_options_change_the_setting():
    setting = SettingFlags(queries=7, seed=3, pool="disjoint", precision="bfloat16").load()
    assert (setting.queries, setting.seed) == (7, 3)
    assert (setting.pool, setting.precision) == ("disjoint", "bfloat16")


def test_the_list_names_every_recipe_with_its_time(hashprobe):
    said = hashprobe("reproduce --list")
    assert said.code == 0
    rows = {line.split("|")[1].strip(): line for line in said.out.splitlines()}
    assert "min |" in rows["table1"]
    assert "not on these data" in rows["table2"]
    assert "all" in rows


def test_without_a_recipe_they_are_named(hashprobe):
    error = hashprobe("reproduce").error
    assert "table1" in error
    assert "--list" in error


def test_times_are_in_minutes_hours_or_days():
    assert [duration(m) for m in (0, 89, 90, 60 * 72)] == ["1 min", "89 min", "2 h", "3 days"]
