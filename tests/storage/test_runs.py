import errno
import json
import os
import subprocess
import sys

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage.environment import environment
from hashprobe.storage.runs import FORMAT, Run


CONFIG = {"train": {"backbone": "small", "bits": 32, "losses": {"name": "dph"}}}


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs" / "a", CONFIG)


def test_a_new_run_states_format_version_time_and_place(run):
    content = json.loads((run.path / "run.json").read_text())
    assert content["format"] == FORMAT == 1
    assert content["config"] == CONFIG
    assert content["created"].endswith("+00:00")
    assert content["hashprobe"] == run.version == environment()["packages"]["hashprobe"]
    place = json.loads((run.path / "environment.json").read_text())
    assert place["cpus"] >= 1
    assert place["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "numpy" in place["packages"]
    assert Run.open(run.path) == run


def test_the_same_configuration_takes_the_run_up_and_keeps_other_sections(run):
    more = run.saved({**run.config, "encode": {"batch": 8}})
    again = Run.create(run.path, CONFIG)
    assert again == more
    third = Run.create(run.path, {**CONFIG, "attack": {"steps": 3}})
    assert list(Run.open(run.path).config) == ["train", "encode", "attack"]
    assert third.created == run.created


def test_another_configuration_is_refused_and_named(run):
    changed = {"train": {**CONFIG["train"], "losses": {"name": "dpsh"}}}
    with pytest.raises(HashprobeError, match=r'train\.losses\.name: "dph" there, "dpsh" here'):
        Run.create(run.path, changed)
    assert Run.open(run.path).config == CONFIG


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(HashprobeError, match=r"not empty \(it holds thesis\.tex\)"):
        Run.create(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(HashprobeError, match="is a file; a run needs a folder"):
        Run.create(tmp_path / "thesis.tex", {})


def test_a_kill_during_creation_does_not_block_the_next(tmp_path):
    (tmp_path / ".run.json.0a1b2c3d.part").write_text("{")
    assert Run.create(tmp_path, CONFIG).config == CONFIG


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not a run folder: it has no run.json"),
        ("{", "no JSON or was cut off"),
        ("[]", "states no format"),
        ("{}", "states no format"),
        ('{"format": 1, "config": 3}', "config must be an object; got 3"),
        ('{"format": 2, "hashprobe": "0.9.0"}', "run format 2, written by hashprobe 0.9.0; "),
        ('{"format": "x"}', "run format 'x', written by hashprobe unknown; "),
    ],
)
def test_what_is_no_run_of_this_format_is_one_line(tmp_path, content, said):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(HashprobeError) as caught:
        Run.open(tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if "format 2" in said:
        assert "reads format 1" in str(caught.value)


def test_events_come_back_in_order(run):
    run.log("epoch", epoch=0, loss=1.5)
    run.log("note", text="line\nbreak \u2028 é")
    run.log("epoch", epoch=1, loss=0.5)
    assert [e["epoch"] for e in run.events("epoch")] == [0, 1]
    assert run.events()[1]["text"] == "line\nbreak \u2028 é"
    assert all(e["time"].endswith("+00:00") for e in run.events())
    assert len((run.path / "metrics.jsonl").read_bytes().splitlines()) == 3


def test_a_torn_last_line_is_left_out_and_then_replaced(run):
    run.log("epoch", epoch=0)
    run.log("epoch", epoch=1)
    path = run.path / "metrics.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        assert [e["epoch"] for e in run.events()] in ([0], [0, 1])
        run.log("epoch", epoch=2)
        assert [e["epoch"] for e in run.events()] == [0, 2]
    path.write_bytes(b'{"event": "ep')
    assert run.events() == []
    run.log("epoch", epoch=3)
    assert [e["epoch"] for e in run.events()] == [3]


def test_a_damaged_line_in_the_middle_is_an_error(run):
    run.log("epoch", epoch=0)
    path = run.path / "metrics.jsonl"
    path.write_bytes(b"{torn\n" + path.read_bytes())
    with pytest.raises(HashprobeError, match=r"metrics\.jsonl is damaged in line 1"):
        run.events()


def test_an_event_that_is_no_json_leaves_the_log_as_it_was(run):
    run.log("epoch", loss=1.0)
    with pytest.raises(HashprobeError, match="loss is nan"):
        run.log("epoch", loss=float("nan"))
    assert len(run.events()) == 1


@pytest.mark.parametrize("act", [lambda run: run.log("x"), lambda run: run.saved({"a": 1})])
def test_a_full_disk_is_one_line_that_names_the_folder(run, monkeypatch, act):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HashprobeError, match="no space left on the disk") as caught:
        act(run)
    assert str(run.path) in str(caught.value)
    assert Run.open(run.path) == run


def test_no_permission_is_one_line_that_names_the_folder(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a"))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HashprobeError, match="no permission for") as caught:
        Run.create(tmp_path / "a", CONFIG)
    assert str(tmp_path / "a") in str(caught.value)


def test_seals_notice_changes(run):
    (run.path / "codes").mkdir()
    (run.path / "codes" / "query.npz").write_bytes(b"one")
    (run.path / "model.safetensors").write_bytes(b"two")
    run.seal("model.safetensors")
    run.seal("codes/query.npz")
    assert list(run.seals()) == ["codes/query.npz", "model.safetensors"]
    run.check_seals()
    (run.path / "model.safetensors").write_bytes(b"owt")
    run.check_seals("codes/query.npz")
    with pytest.raises(HashprobeError, match=r"model\.safetensors has changed"):
        run.check_seals()
    (run.path / "model.safetensors").unlink()
    with pytest.raises(HashprobeError, match=r"model\.safetensors does not exist"):
        run.check_seals()
    with pytest.raises(HashprobeError, match=r"other\.npz has no checksum"):
        run.check_seals("other.npz")
    (run.path / "checksums.json").write_text("[1]")
    with pytest.raises(HashprobeError, match=r"checksums\.json .*must be an object"):
        run.check_seals()


def test_only_what_is_recorded_and_there_is_finished(run):
    (run.path / "codes.npz").write_bytes(b"one")
    assert not run.finished("codes.npz")
    run.seal("codes.npz", "run.json")
    assert run.finished("codes.npz", "run.json")
    assert not run.finished("codes.npz", "other.npz")
    (run.path / "codes.npz").unlink()
    assert not run.finished("codes.npz")


def test_importing_runs_imports_no_torch():
    code = """
import sys, hashprobe.storage.runs, hashprobe.storage.environment as e
e.environment()
print('torch' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
