"""The campaigns in their short form, and the judge that they rely on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "campaigns"


def test_a_few_cases_of_every_campaign_end_well(tmp_path):
    done = subprocess.run(
        [sys.executable, str(FOLDER), "--short", "--json", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {path.stem: json.loads(path.read_text())["rows"][-1] for path in tmp_path.iterdir()}
    assert sorted(counts) == ["disk", "inputs", "kills", "pairs"]
    assert counts["inputs"]["cases"] >= 40


def test_the_same_seed_gives_the_same_inputs(campaign, tmp_path):
    stage = campaign("stage").Stage(tmp_path, False)
    (tmp_path / "table.csv").write_text("path,cat,dog\n")
    inputs = campaign("inputs")
    for name, number in (("pictures", 300), ("archives", 300), ("recipes", 140), ("options", 390)):
        titles = [inputs.made(name, number, seed, stage).title for seed in (0, 0, 1)]
        assert titles[0] == titles[1]
        assert titles[0] != titles[2] or name == "options"
    assert sum(inputs.shares(3000, True).values()) == 3000


def end(code=0, err="", out="", late=False):
    return {"code": code, "err": err, "out": out, "late": late}


@pytest.mark.parametrize(
    ("wanted", "ended", "outcome"),
    [
        ("either", end(), "ok"),
        ("either", end(2, "error: a.png: no picture\n"), "refused"),
        ("refused", end(), "silent acceptance"),
        ("ok", end(2, "error: a.png: no picture\n"), "wrong refusal"),
        ("either", end(1, "Traceback (most recent call last):\n  x\n"), "traceback"),
        ("either", end(1, "error: TypeError: x\n"), "wrong exit code"),
        ("either", end(120), "wrong exit code"),
        ("either", end(-signal.SIGSEGV), "crash"),
        ("either", end(-signal.SIGKILL, late=True), "hang"),
        ("either", end(2, "a.png\n"), "unclear error"),
        ("either", end(2, "error: something\n"), "unclear error"),
        ("either", end(2, "error: a.png: one\nerror: a.png: two\n"), "unclear error"),
        ("either", end(2, "error: a.png: \x1b[31m\n"), "unclear error"),
        ("either", end(0, out="\x1b[31m"), "unclear error"),
    ],
)
def test_the_judge_sees_every_fault(campaign, wanted, ended, outcome):
    cases = campaign("cases")
    case = cases.Case("x", wanted=wanted, names=("a.png",))
    assert cases.judge(case, cases.Ended(**ended))[0] == outcome


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        (lambda: None, "ok"),
        (lambda: {}["x"], "traceback"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "crash"),
        (lambda: time.sleep(60), "hang"),
        (lambda: bytearray(1 << 40), "traceback"),
    ],
)
def test_a_case_runs_in_a_process_of_its_own(campaign, tmp_path, call, outcome):
    pool = campaign("forks").Pool(tmp_path, jobs=1, limit=0.5)
    [(_, found, _, _)] = pool.judged([campaign("cases").Case("x", call=call)])
    assert found == outcome
    assert not list((tmp_path / "cases").iterdir())


def test_a_changed_file_and_a_changed_date_are_told_apart(campaign, tmp_path):
    plans = campaign("plans")
    for name, created, seed in (("a", "today", 1), ("b", "tomorrow", 1), ("c", "today", 2)):
        (tmp_path / name).mkdir()
        content = {"created": created, "config": {"seed": seed}}
        (tmp_path / name / "run.json").write_text(json.dumps(content))
    assert plans.differences(tmp_path / "a", tmp_path / "b") == ""
    assert "config.seed" in plans.differences(tmp_path / "a", tmp_path / "c")
    (tmp_path / "b" / "digests.npz").touch()  # times of the data's files
    assert plans.differences(tmp_path / "a", tmp_path / "b") == ""
    (tmp_path / "b" / ".x.part").touch()
    assert ".x.part" in plans.differences(tmp_path / "a", tmp_path / "b")


def test_the_page_takes_the_numbers(campaign):
    page = campaign("page")
    names = ("cases", *campaign("cases").GOOD, *campaign("cases").FAULTS)
    row = {"kind": "all", **dict.fromkeys(names, 0), "cases": 7}
    content = {"campaign": "kills", "seed": 3, "seconds": 60, "jobs": 2, "machine": "a machine"}
    fault = {"again": "python x", "outcome": "hang", "input": "<b>|", "seen": "nothing"}
    content |= {"rows": [row], "faults": [fault], "skipped": ["videos"]}
    text = (ROOT / "docs" / "results" / "reliability.md").read_text()
    filled = page.filled(text, [content])
    assert "| all | 7 | 0 |" in filled and "Skipped: videos." in filled
    assert "<b>" not in filled
    # Filling again replaces the numbers.
    assert page.filled(filled, [content]) == filled
