"""One writer of a folder at a time, and what dead writers leave behind."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage.lock import LOCK, Holder, hold, refuse_held, sweep


@pytest.fixture
def other():
    """A process that runs until the test ends."""
    words = [sys.executable, "-c", "input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def held_by(folder, **parts):
    """Writes the lock of another holder."""
    holder = replace(Holder.this(), **parts)
    (folder / LOCK).write_text(json.dumps(asdict(holder)))
    return holder


def test_a_folder_is_held_while_the_block_lasts(tmp_path):
    folder = tmp_path / "new" / "run"
    with hold(folder):
        content = json.loads((folder / LOCK).read_text())
        assert (content["pid"], content["host"]) == (os.getpid(), Holder.this().host)
        with (
            pytest.raises(HashprobeError, match="in use: this process holds it since"),
            hold(folder),
        ):
            pass
        assert (folder / LOCK).exists(), "who was refused must leave the lock"
    assert list(folder.iterdir()) == []
    with pytest.raises(KeyError), hold(folder):
        raise KeyError
    assert list(folder.iterdir()) == []


def test_the_second_is_told_who_holds_it(tmp_path, other):
    held_by(tmp_path, pid=other.pid, start="")
    for attempt in (refuse_held, lambda folder: hold(folder).__enter__()):
        with pytest.raises(HashprobeError, match=f"process {other.pid} on {Holder.this().host} "):
            attempt(tmp_path)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == other.pid


def test_the_lock_of_another_machine_counts_and_can_be_removed_by_hand(tmp_path):
    held_by(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(HashprobeError, match=r"process 1 on elsewhere .*, or remove .*\.lock if"):
        refuse_held(tmp_path)
    (tmp_path / LOCK).unlink()
    with hold(tmp_path):
        pass


@pytest.mark.parametrize("kind", ["killed", "another process of its number", "half written", "[]"])
def test_a_stale_lock_is_replaced(tmp_path, other, kind):
    if kind == "killed":
        # Its parent has not asked after it yet: it still has its number.
        held_by(tmp_path, pid=other.pid)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    elif kind == "another process of its number":
        held_by(tmp_path, pid=other.pid, start="another boot-1")
    else:
        (tmp_path / LOCK).write_text("{" if kind == "half written" else kind)
    with hold(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_of_many_at_once_one_gets_it(tmp_path):
    """All of them find a stale lock, and hold the folder until the last one has tried."""
    held_by(tmp_path, pid=2**22 + 1, start="gone")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from hashprobe.errors import HashprobeError\nfrom hashprobe.storage.lock import hold\n"
        "input()\n"
        "try:\n  with hold(Path(sys.argv[1])):\n    print('got it', flush=True); input()\n"
        "except HashprobeError as error: print(error, flush=True)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    pipe = subprocess.PIPE
    all_ = [subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for process in all_:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.stdout.readline() for process in all_]
    for process in all_:
        process.communicate("end\n")
    assert [line == "got it\n" for line in said].count(True) == 1
    assert sum("is in use: process" in line for line in said) == 3


def test_what_a_killed_writer_did_not_finish_is_removed_and_nothing_else(tmp_path):
    unfinished = [
        ".training.pt.0123abcd.part",
        "codes/query.parts/.0000000000.npz.89abcdef.part",
        "attacks/x/png/7/.000.png.0123abcd.part",
        "clean-a1b2c3d4/pixels.npy",
    ]
    kept = [
        ".report.html.0123abcd.part",  # a reader may be at it
        "mine.part",
        ".mine.0123abcd.part.txt",
        "photos/.a.0123abcd.part",
        "clean-a1b2c3d4e5/pixels.npy",
        "clean-mine1234/notes.txt",
        "codes/query.npz",
    ]
    for name in (*unfinished, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    sweep(tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(kept)


def test_what_lies_behind_a_link_is_not_cleared(tmp_path):
    mine, run = tmp_path / "mine", tmp_path / "run"
    for folder in (mine, run):
        folder.mkdir()
    (mine / ".a.0123abcd.part").touch()
    (run / "codes").symlink_to(mine)
    sweep(run)
    assert (mine / ".a.0123abcd.part").exists()
    with pytest.raises(HashprobeError, match="codes is a link"), hold(run):
        pass
