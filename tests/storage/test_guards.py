"""Links, pipes and devices are neither replaced nor followed."""

import os
import socket
import stat

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import remove, write_bytes, write_json, write_npz
from hashprobe.storage.guards import refuse_links
from hashprobe.storage.runs import Run


@pytest.fixture
def special(tmp_path):
    """Makes what is no regular file, under a name."""
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")

    def make(kind):
        path = tmp_path / "target"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as unix:
                unix.bind(str(path))
        elif kind == "device":
            try:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            except PermissionError:
                pytest.skip("only root makes devices, and no device of the machine is tried")
        else:
            path.symlink_to(mine if kind == "link" else tmp_path / "nowhere")
        return path

    yield make
    assert mine.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


KINDS = ["pipe", "socket", "device", "link", "link to nothing"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_bytes(path, b"page"),
        lambda path: write_json(path, {}),
        lambda path: write_npz(path, {}),
        remove,
    ],
    ids=["bytes", "json", "npz", "remove"],
)
def test_what_is_no_regular_file_is_neither_replaced_nor_removed(special, kind, write):
    path = special(kind)
    before = os.lstat(path)
    word = kind.split()[0]
    with pytest.raises(HashprobeError, match=f"is a {word}: only a regular file is replaced"):
        write(path)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize(
    "name",
    [
        "codes",
        "codes/query.parts",
        "attacks",
        "attacks/x",
        "attacks/x/queries",
        "attacks/x/evaluation.json",
        "metrics.jsonl",
        "checksums.json",
        "model/model.json",
        "training.pt",
        "report.html",
    ],
)
def test_a_link_among_the_parts_of_a_run_is_refused(tmp_path, name):
    run, mine = tmp_path / "run", tmp_path / "mine"
    Run.create(run, {})
    mine.mkdir()
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(mine)
    for attempt in (lambda: Run.open(run), lambda: Run.create(run, {}), lambda: refuse_links(run)):
        with pytest.raises(HashprobeError, match=f"run/{name} is a link"):
            attempt()


def test_a_run_may_be_reached_by_links_and_may_lie_beside_links(tmp_path):
    Run.create(tmp_path / "disk" / "run", {})
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "run" / "notes").symlink_to(tmp_path)
    run = Run.open(tmp_path / "runs" / "run")
    run.log("seen")
    assert len(run.events()) == 1
