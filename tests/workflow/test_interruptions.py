"""Kills, Ctrl-C and full disks: one line, nothing finished is lost, the same command goes on."""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.runner import craft
from hashprobe.storage import files
from hashprobe.storage.lock import hold
from hashprobe.storage.runs import Run
from hashprobe.training.loop import Training
from hashprobe.workflow.results import finished_attacks


SCRIPT = str(Path(sys.executable).with_name("hashprobe"))
# Long enough to be met in the middle: some tenths of a second a query.
SLOW = "--eps 64/255 --queries 6 --steps 60 --seed 5"
NAME = "dhta-64of255-seed5"


@pytest.fixture
def interrupted(encoded):
    """Starts an attack, one query after the other, and sends it a signal once two are finished."""

    def run(number):
        words = [SCRIPT, "attack", "dhta", str(encoded), *SLOW.split(), "--batch-size", "1"]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        # What was started in the background is deaf to Ctrl-C, and so would be the attack.
        hears = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=alone,
            preexec_fn=hears,
        )  # fmt: skip
        folder = encoded / "attacks" / NAME / "queries"
        give_up = time.monotonic() + 60
        while len(list(folder.glob("*.npz"))) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.002)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        finished = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
        assert 2 <= len(finished) < 6, "it should be met in the middle"
        return process.returncode, out, err, finished

    return run


@pytest.fixture(scope="module")
def whole(audit, hashprobe, once):
    """The same attack without an interruption, one query after the other."""

    def make(folder):
        run = shutil.copytree(audit[0], folder / "run")
        assert hashprobe(f"attack dhta {run} {SLOW} --batch-size 1").code == 0
        return run / "attacks" / NAME

    return once("whole", make)


def assert_same_attack(folder, other, *, exactly):
    """Equal to the last bit, or but for the rounding of kernels for other batch sizes."""
    one, two = AttackResult.load(folder), AttackResult.load(other)
    for name in ("query_ids", "target_labels", "target_codes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.codes, one.clean_codes) == (two.codes, two.clean_codes)
    results = [json.loads((f / "evaluation.json").read_text()) for f in (folder, other)]
    for name in ("achieved", "floor", "ceiling", "lift", "wrong", "map_attacked"):
        assert results[0][name] == results[1][name]
    if not exactly:
        torch.testing.assert_close(one.images[:], two.images[:], rtol=0, atol=1e-4)
        assert (one.images8[:].int() - two.images8[:].int()).abs().max() <= 1
        return
    assert torch.equal(one.images[:], two.images[:])
    assert results[0] == results[1]
    for path in sorted(folder.glob("png/*.png")):
        assert path.read_bytes() == (other / "png" / path.name).read_bytes()


def test_an_attack_killed_in_the_middle_gives_the_same_result(
    hashprobe, interrupted, encoded, whole, tmp_path
):
    code, out, _, finished = interrupted(signal.SIGKILL)
    assert (code, out) == (-signal.SIGKILL, "")
    assert finished_attacks(Run.open(encoded)) == []
    for batch_size in (1, 4):
        run = shutil.copytree(encoded, tmp_path / f"batches-of-{batch_size}")
        said = hashprobe(f"attack dhta {run} {SLOW} --batch-size {batch_size}")
        assert said.code == 0, said.err
        assert f"{len(finished)} of 6 queries are finished already" in said.err
        folder = run / "attacks" / NAME
        for name, content in finished.items():
            assert (folder / "queries" / name).read_bytes() == content, "it was attacked again"
        assert_same_attack(folder, whole, exactly=batch_size == 1)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_stop_is_one_line_and_keeps_what_is_finished(
    hashprobe, interrupted, encoded, whole, number, expected
):
    code, out, err, finished = interrupted(number)
    assert (code, out) == (expected, "")
    said = f"interrupted: finished work is kept ({len(finished)} of 6 queries)"
    assert err.splitlines()[-1].startswith(said)
    assert not (encoded / ".lock").exists()
    assert "Traceback" not in err
    assert not list(encoded.rglob("*.part"))
    said = hashprobe(f"attack dhta {encoded} {SLOW} --batch-size 1")
    assert said.code == 0
    assert f"{len(finished)} of 6 queries are finished already" in said.err
    assert_same_attack(encoded / "attacks" / NAME, whole, exactly=True)


def full_disk(monkeypatch, hit):
    """Every write to a path that `hit` picks finds no space left."""
    replace = os.replace

    def refuse(part, final):
        if hit(Path(final)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(part, final)

    monkeypatch.setattr(files.os, "replace", refuse)


def test_no_space_while_encoding(hashprobe, encoded, monkeypatch):
    query, database = encoded / "codes" / "query.npz", encoded / "codes" / "database.npz"
    before = query.read_bytes(), database.read_bytes()
    query.unlink()
    database.unlink()
    # As before the first encoding: nothing of it is recorded as whole.
    sums = Run.open(encoded).seals()
    kept = {name: value for name, value in sums.items() if not name.startswith("codes/")}
    files.write_json(encoded / "checksums.json", kept)
    full_disk(monkeypatch, lambda path: path == database)
    said = hashprobe(f"encode {encoded}")
    assert f"no space left on the disk for {database}: free some and run" in said.error
    assert not list(encoded.rglob("*.part"))
    monkeypatch.undo()
    # The queries were finished: only the database is encoded.
    stamp = query.stat().st_mtime_ns
    assert hashprobe(f"encode {encoded}").code == 0
    assert query.stat().st_mtime_ns == stamp
    assert (query.read_bytes(), database.read_bytes()) == before


def test_no_space_in_the_middle_of_an_attack(hashprobe, encoded, whole, monkeypatch):
    written = []

    def third(path):
        written.append(path)
        return len([p for p in written if p.suffix == ".npz"]) > 3

    full_disk(monkeypatch, third)
    words = f"attack dhta {encoded} {SLOW} --batch-size 2"
    error = hashprobe(words).error
    assert f"no space left on the disk for {encoded / 'attacks' / NAME / 'queries'}" in error
    monkeypatch.undo()
    folder = encoded / "attacks" / NAME
    assert len(list(folder.glob("queries/*.npz"))) == 3
    assert finished_attacks(Run.open(encoded)) == []
    said = hashprobe(words)
    assert "3 of 6 queries are finished already" in said.err
    assert_same_attack(folder, whole, exactly=False)


@pytest.mark.parametrize("name", ["run.json", "data.json", "model.safetensors", "checksums.json"])
def test_no_space_while_training(hashprobe, audit, tmp_path, monkeypatch, name):
    run = tmp_path / "run"
    words = f"train digits --size 8 --bits 8 --epochs 1 --batch-size 125 --out {run}"
    full_disk(monkeypatch, lambda path: path.name == name)
    error = hashprobe(words).error
    assert "no space left on the disk for" in error
    assert name in error
    monkeypatch.undo()
    assert hashprobe(words).code == 0
    Run.open(run).check_seals("model/model.safetensors")


def test_no_space_for_the_report_keeps_the_old_one(hashprobe, run, monkeypatch):
    before = (run / "report.html").read_bytes()
    full_disk(monkeypatch, lambda path: path.suffix == ".html")
    assert "no space left on the disk for" in hashprobe(f"report {run}").error
    assert (run / "report.html").read_bytes() == before


def test_a_training_stopped_in_the_middle_ends_in_the_same_weights(
    hashprobe, audit, tmp_path, monkeypatch
):
    whole, _ = audit
    run = tmp_path / "run"
    words = "train digits --size 8 --bits 16 --epochs 4 --batch-size 25 --optimiser adamw"
    words += f" --lr 3e-3 --augment none --out {run}"
    log = Run.log

    def stop(self, event, **values):
        log(self, event, **values)
        if values.get("number") == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "log", stop)
    said = hashprobe(words)
    assert said.code == 130
    assert said.err.splitlines()[-1].startswith("interrupted:")
    (run / ".training.pt.0123abcd.part").write_bytes(b"a state that a kill cut off")
    assert "is not trained yet" in hashprobe(f"encode {run}").error
    monkeypatch.undo()
    done, step = [], Training.step

    def counting(self, *words):
        done.append(words)
        return step(self, *words)

    monkeypatch.setattr(Training, "step", counting)
    said = hashprobe(words)
    assert said.code == 0
    # 225 items in batches of 25; of four epochs the first was saved, and the second only said.
    assert len(done) == 3 * 9
    assert re.findall(r"epoch (\d)/4", said.err) == ["3", "4"]
    assert [event["number"] for event in Run.open(run).events("epoch")] == [1, 2, 3, 4]
    for name in ("model.safetensors", "model.json"):
        mine, other = ((f / "model" / name).read_bytes() for f in (run, whole))
        if name == "model.json":
            mine, other = ({**json.loads(m), "training": 0} for m in (mine, other))
        assert mine == other
    assert not list(run.glob(".*"))
    assert not (run / "training.pt").exists()


@pytest.mark.parametrize("command", ["encode {}", "attack noise {} --queries 2", "report {}"])
def test_a_folder_that_may_not_be_written(hashprobe, encoded, audit, command, monkeypatch):
    run = encoded
    if command.startswith("encode"):
        (run / "codes" / "query.npz").unlink()
    if command.startswith("report"):
        run = audit[0]

    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(files.os, "replace", refuse)
    error = hashprobe(command.format(run)).error
    assert error.startswith(str(run))
    assert error.endswith("is on a read-only disk")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(hashprobe, encoded):
    for path in (encoded, *encoded.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        error = hashprobe(f"attack noise {encoded} --queries 2").error
    finally:
        for path in (encoded, *encoded.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert error.startswith(f"no permission for {encoded}")


def test_a_report_of_a_run_that_may_only_be_read(hashprobe, run, tmp_path, monkeypatch):
    """A colleague's run on a read-only disk: the page goes elsewhere."""
    replace = os.replace

    def refuse(part, final):
        if run in Path(final).parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(final))
        replace(part, final)

    monkeypatch.setattr(files.os, "replace", refuse)
    page = tmp_path / "page.html"
    assert hashprobe(f"report {run} --out {page}").code == 0
    assert page.exists()


def test_the_second_of_two_attacks_at_once_is_told_who_is_at_it(hashprobe, encoded, monkeypatch):
    """Both throw away what is there: the first one's result is what stays."""
    words = f"attack noise {encoded} --queries 3 --name x --overwrite"
    said = []

    def meanwhile(*parts, **more):
        if not said:
            said.append(None)
            said[0] = subprocess.run(
                [SCRIPT, *words.split(), "--seed", "1"], capture_output=True, text=True, check=False
            )
        return craft(*parts, **more)

    monkeypatch.setattr("hashprobe.workflow.attack_step.craft", meanwhile)
    assert hashprobe(words).code == 0
    (second,) = said
    assert (second.returncode, second.stdout) == (2, "")
    assert f"is in use: process {os.getpid()} on {socket.gethostname()} holds it" in second.stderr
    (done,) = finished_attacks(Run.open(encoded))
    assert (done.name, done.record.seed) == ("x", 0)


def test_a_finished_attack_is_reported_while_another_one_runs(hashprobe, encoded):
    assert hashprobe(f"attack noise {encoded} --queries 3 --name x").code == 0
    with hold(encoded):
        assert "| Noise |" in hashprobe(f"report {encoded} --markdown").out
        assert hashprobe(f"report {encoded} --examples 0").code == 0
        assert "is in use" in hashprobe(f"attack noise {encoded} --queries 2 --name y").error
        assert "is in use" in hashprobe(f"encode {encoded}").error
    assert [path.name for path in encoded.glob("attacks/*")] == ["x"]


def test_a_run_with_a_linked_part_is_left_alone(hashprobe, encoded, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "0000000000.npz").write_text("precious")
    for name, command in (("codes/query.parts", "encode"), ("attacks/x", "attack noise")):
        (encoded / name).parent.mkdir(exist_ok=True)
        (encoded / name).symlink_to(mine)
        error = hashprobe(f"{command} {encoded}" + " --name x" * ("attack" in command)).error
        assert f"{name} is a link" in error
        (encoded / name).unlink()
    assert [path.name for path in mine.iterdir()] == ["0000000000.npz"]


def test_a_page_takes_the_place_of_files_alone(hashprobe, encoded, tmp_path):
    assert hashprobe(f"attack noise {encoded} --queries 3 --name x").code == 0
    os.mkfifo(tmp_path / "pipe")
    error = hashprobe(f"report {encoded} --examples 0 --out {tmp_path / 'pipe'}").error
    assert "pipe is a pipe: only a regular file is replaced" in error
    assert (tmp_path / "pipe").is_fifo()
    before = (encoded / "run.json").read_bytes()
    error = hashprobe(f"report {encoded} --examples 0 --out {encoded / 'run.json'}").error
    assert "is a part of the run" in error
    assert (encoded / "run.json").read_bytes() == before
