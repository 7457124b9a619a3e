"""The page and the table of a run: which attack is shown, and which curves are beside it."""

import shutil
from dataclasses import replace

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage.runs import Run
from hashprobe.storage.schema import AttackRecord
from hashprobe.workflow import report_step
from hashprobe.workflow.report_step import (
    choose,
    comparable,
    environment_facts,
    report_run,
    report_table,
    table,
)
from hashprobe.workflow.results import finished_attacks


@pytest.fixture
def finished(audit):
    return finished_attacks(Run.open(audit[0]))


def without_targets(finished, value):
    """The same attack as an untargeted one, with a MAP."""
    parts = dict.fromkeys(("floor", "achieved", "ceiling", "lift", "wrong_clean", "wrong"))
    lower = replace(finished.evaluation.map_attacked, value=value)
    evaluation = replace(finished.evaluation, map_attacked=lower, **parts)
    return replace(finished, evaluation=evaluation)


def test_the_strongest_attack_is_shown_and_noise_only_where_there_is_nothing_else(finished, audit):
    noise, *real = finished
    strongest = max(real, key=lambda f: f.evaluation.achieved.value)
    assert choose(finished, None, audit[0]) is strongest
    loud = replace(noise, evaluation=strongest.evaluation)
    assert choose([loud, real[0]], None, audit[0]) is real[0]
    assert choose([noise], None, audit[0]) is noise
    assert choose(finished, noise.name, audit[0]) is noise


def test_of_untargeted_attacks_that_with_the_lowest_map_is_shown(finished, audit):
    weak, strong = (without_targets(finished[2], value) for value in (0.5, 0.1))
    assert choose([weak, strong], None, audit[0]) is strong
    assert choose([strong, finished[1]], None, audit[0]) is finished[1]
    names = [(row.name, row.tmap) for row in table([weak])]
    assert names == [("Original", None), ("DHTA", None)]


def test_an_attack_that_is_not_there_is_refused(audit, tmp_path):
    with pytest.raises(HashprobeError, match="there are noise-64of255-seed1, p2p"):
        report_run(audit[0], attack="none", out=tmp_path / "a.html")
    with pytest.raises(HashprobeError, match="got -1"):
        report_run(audit[0], examples=-1)


def test_attacks_with_another_budget_or_protocol_are_not_compared(finished):
    one = finished[2]

    def other(**parts):
        return replace(one, record=replace(one.record, **parts))

    protocol = one.record.protocol
    assert comparable(one, finished[0])
    assert comparable(one, other(protocol={**protocol, "codec": "h264", "crf": 30}))
    assert not comparable(one, other(protocol={**protocol, "seed": 9}))
    assert not comparable(one, other(recipe={**one.record.recipe, "budget": {"eps": 0.1}}))


def test_the_table_of_an_old_run_is_the_same(audit, run):
    """Both files of format 1 give the same table as the one file of format 2."""
    from hashprobe.storage.files import read_json, write_json

    for folder in (run / "attacks").iterdir():
        content = read_json(folder / "attack.json")
        old = {"format": 1, "recipe": content["recipe"], "query_ids": content["query_ids"]}
        write_json(folder / "attack.json", old)
        names = ("attack", "budget", "options", "precision")
        recipe = {name: content["recipe"][name] for name in names}
        settings = {**recipe, "protocol": content["protocol"], **content["cost"]}
        write_json(folder / "settings.json", settings)
        assert AttackRecord.read(folder).measured
    assert report_table(run) == report_table(audit[0])


def test_a_run_without_pictures_has_a_table_but_no_page(run):
    shutil.rmtree(run / "model")
    assert report_table(run).startswith("| eps | row |")
    with pytest.raises(HashprobeError, match="not trained"):
        report_run(run)


def test_the_page_has_as_many_examples_as_asked(audit, tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(report_step, "write_report", lambda page, where: pages.append(page))
    for count in (0, 2, 99):
        report_run(audit[0], examples=count, out=tmp_path / "a.html")
    assert [len(page.examples) for page in pages] == [0, 2, 6]
    assert [bool(page.choice) for page in pages] == [False, True, True]


def test_environment_facts_leave_out_what_is_unknown():
    content = {"python": "3.11.2", "packages": {"torch": "2.5", "other": "1"}}
    assert environment_facts(content) == (("Python", "3.11.2"), ("torch", "2.5"))
