"""The leaderboard: how a run becomes an entry, and how step sizes are chosen."""

import numpy as np
import pytest
import yaml

from hashprobe.attacks.registry import AttackSpec, attack_named
from hashprobe.crafting.executor import InProcess
from hashprobe.errors import HashprobeError
from hashprobe.report.board_page import board_html, board_markdown
from hashprobe.storage.files import sha256_file
from hashprobe.types import Runtime
from hashprobe.workflow import attack_step, board_protocol, step_tuning, suite, suite_flags
from hashprobe.workflow._leaderboard import leaderboard


@pytest.fixture
def short(monkeypatch):
    """Two attacks of two steps, two step sizes, and a short suite."""
    monkeypatch.setattr(board_protocol, "OWN", ("bit-margin",))
    monkeypatch.setattr(board_protocol, "BASELINES", ("mainstay",))
    monkeypatch.setattr(board_protocol, "STEPS", 2)
    monkeypatch.setattr(step_tuning, "SIZES", (1.0, 8.0))
    monkeypatch.setattr(suite, "MEMBERS", (("noise", {}),))
    monkeypatch.setattr(suite, "flags_of", lambda case, worst: [])
    monkeypatch.setattr(suite_flags, "SHOWN", 3)


def entry_of(folder):
    """The only entry of a folder as plain values."""
    (path,) = folder.glob("*.yaml")
    return yaml.safe_load(path.read_text())


def test_a_run_becomes_an_entry_and_the_pages_show_it(encoded, tmp_path, short):
    entries = tmp_path / "leaderboard"
    board = leaderboard(entries, [encoded], queries=3, tuning=2)
    kept = entry_of(entries)
    assert kept["weights_sha256"] == sha256_file(next((encoded / "model").glob("*.safetensors")))
    assert kept["rows"][0]["knowledge"] == "vote.L0" and "tmap" not in kept["rows"][1]
    assert (kept["queries"], kept["tuning"]) == (3, 2) and kept["suites"][0]["eps"] == "4/255"
    assert kept["data"] == "digits, 8 px" and kept["trained"].startswith("hashprobe train digits")
    assert kept["measured"].endswith("--queries 3 --tuning 2")
    text, page = ((tmp_path / name).read_text() for name in ("leaderboard.md", "sortable.html"))
    assert text == board_markdown(board) and page == board_html(board)
    for value in ("bit-margin", "vote.L0", f"{100 * kept['map_clean']['value']:.1f}"):
        assert value in text and value in page
    assert leaderboard(entries).entries == board.entries  # without a run, from the files alone


def test_a_baseline_has_its_released_step_and_the_best_of_other_queries(encoded, tmp_path, short):
    leaderboard(tmp_path / "entries", [encoded], queries=3, tuning=4)
    own, *rows = entry_of(tmp_path / "entries")["rows"]
    assert (own["attack"], own["setting"]) == ("bit-margin", "default") and not own["tried"]
    usual = attack_named("mainstay").options().step_size
    tried = {each["step_size"]: (each["value"], -each["bits"]) for each in rows[-1]["tried"]}
    assert list(tried) == [pytest.approx(usual, rel=1e-3), pytest.approx(8 * usual, rel=1e-3)]
    # Away from a label: the step with the lower MAP, or that which changes more bits.
    assert tried[rows[-1]["step_size"]] == min(tried.values())
    assert [row["setting"] for row in rows] == ["released", "tuned"]
    assert rows[0]["step_size"] == pytest.approx(usual, rel=1e-3)


def test_one_row_says_that_the_released_step_is_the_best(encoded, tmp_path, short, monkeypatch):
    monkeypatch.setattr(step_tuning.Tuner, "measured", lambda self, spec, name: (0.5, 3.0))
    monkeypatch.setattr(board_protocol, "STEPS", 100)  # as released
    monkeypatch.setattr(board_protocol, "OWN", ())
    earlier = encoded / "attacks" / "board-mainstay-tuned-4of255-1-seed0"
    earlier.mkdir(parents=True)  # of a call that found another step better
    leaderboard(tmp_path / "entries", [encoded], queries=1, tuning=1)
    (row,) = entry_of(tmp_path / "entries")["rows"]
    assert row["setting"] == "both" and len(row["tried"]) == 2
    assert (
        not earlier.exists()
        and (earlier.parent / "board-mainstay-released-4of255-1-seed0").exists()
    )


def test_bits_decide_where_values_are_equal():
    def best(attack, *trials):
        found = [step_tuning.Trial(AttackSpec(attack), *each) for each in trials]
        return trials[found.index(step_tuning.strongest(found, lambda each: each.strength))]

    assert best("dhta", (0.4, 3.0), (0.5, 9.0), (0.5, 2.0)) == (0.5, 2.0)  # fewest wrong
    assert best("hag", (0.4, 9.0), (0.3, 2.0), (0.3, 5.0)) == (0.3, 5.0)  # most changed
    assert best("hag", (0.3, 5.0), (0.2, 1.0)) == (0.2, 1.0)


def test_steps_are_chosen_on_queries_that_are_not_measured():
    taken = np.array([1, 4, 5])
    others = step_tuning.other_rows(8, taken, 5, seed=3)
    assert sorted([*taken, *others]) == list(range(8))
    with pytest.raises(HashprobeError, match="tuning must be from 1 to 5"):
        step_tuning.other_rows(8, taken, 6, seed=3)


def test_a_hardened_run_says_by_which_defence(encoded, tmp_path, short, hashprobe):
    hard = tmp_path / "hard"
    how = "--defence p2s --defence-option steps=1 --epochs 1"
    assert hashprobe(f"harden {encoded} {how} --out {hard}").code == 0
    assert hashprobe(f"encode {hard}").code == 0
    board = leaderboard(tmp_path / "board", [encoded, hard], queries=3, tuning=2)
    assert {entry.defence for entry in board.entries} == {"none", "p2s"}
    assert "p2s" in board_markdown(board)


def test_it_goes_on_where_it_was_stopped(encoded, tmp_path, short, monkeypatch):
    """What was attacked before the stop is not attacked again, and the entry is the same."""
    entries, crafted = tmp_path / "entries", []
    original = attack_step.craft

    def stopped(victim, queries, goal, spec, **more):
        if spec.name == "mainstay" and len(crafted) < 2:
            raise KeyboardInterrupt
        crafted.append(spec.name)
        return original(victim, queries, goal, spec, **more)

    monkeypatch.setattr(attack_step, "craft", stopped)
    with pytest.raises(KeyboardInterrupt):
        leaderboard(entries, [encoded], queries=3, tuning=2)
    assert crafted == ["bit-margin"] and not entries.exists()
    monkeypatch.setattr(attack_step, "craft", original)
    before = {path: path.stat().st_mtime_ns for path in encoded.rglob("queries/*")}
    assert before
    leaderboard(entries, [encoded], queries=3, tuning=2)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(entry_of(entries)["rows"]) >= 2


def test_an_executor_attacks_every_row(encoded, tmp_path, short):
    class Counting(InProcess):
        done = 0

        def run(self, *arguments):
            Counting.done += 1
            return super().run(*arguments)

    alone, spread = tmp_path / "alone", tmp_path / "spread"
    leaderboard(spread, [encoded], queries=2, tuning=1, runtime=Runtime(executor=Counting()))
    assert Counting.done >= 4  # two sizes, the rows, the suite
    for folder in ("attacks", "tuning", "suites"):
        (encoded / folder).rename(tmp_path / folder)
    leaderboard(alone, [encoded], queries=2, tuning=1)
    there, here = ([{**row, "seconds": 0} for row in entry_of(f)["rows"]] for f in (spread, alone))
    assert there == here


def test_every_run_is_looked_at_before_one_is_measured(encoded, tmp_path, short, monkeypatch):
    def refuse(run):
        raise HashprobeError("does not fit")

    monkeypatch.setattr("hashprobe.workflow._leaderboard.protocol_of", refuse)
    with pytest.raises(HashprobeError, match="does not fit"):
        leaderboard(tmp_path / "entries", [encoded], queries=2)
    assert not (encoded / "attacks").exists()


@pytest.mark.parametrize(("tuning", "message"), [(100000, "from 1 to"), (0, "at least 1")])
def test_queries_must_be_left_to_measure(encoded, tmp_path, hashprobe, tuning, message):
    answer = hashprobe(f"leaderboard {encoded} --entries {tmp_path} --tuning {tuning}")
    assert answer.code == 2 and f"tuning must be {message}" in answer.err


def test_options_of_a_cluster_need_one(encoded, tmp_path, hashprobe):
    answer = hashprobe(f"leaderboard {encoded} --entries {tmp_path} --address auto")
    assert answer.code == 2 and "--address and --gpus are for --executor ray" in answer.err
