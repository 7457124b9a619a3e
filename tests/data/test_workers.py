"""Worker processes that die: the item is named, and everything else is decoded."""

import os
import signal
import time

import numpy as np
import pytest
import torch

from hashprobe.data.loader import decode, stream
from hashprobe.data.sources import FileSource, Split
from hashprobe.data.workers import DEATHS, is_death
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract, Runtime


class Deadly:
    """Items of which some end the process that decodes them, as a fault in a decoder would."""

    def __init__(self, count, deadly, how):
        self.count, self.deadly, self.how = count, deadly, how

    def __len__(self):
        return self.count

    def read(self, position):
        if position in self.deadly:
            os.kill(os.getpid(), self.how)
            time.sleep(60)
        return torch.full((3, 4, 4), position, dtype=torch.uint8)

    def fingerprint(self, position):
        return bytes([position])


def split_of(count, deadly, how):
    ids = tuple(f"item{i}" for i in range(count))
    return Split(ids, Deadly(count, deadly, how), np.ones((count, 1), dtype=bool))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_costs_the_item_that_it_was_at(how):
    split = split_of(20, {7, 13}, how)
    batches, bad = [], []
    runtime = Runtime(batch_size=3, workers=2, skip_bad=True)
    for batch in stream(split, InputContract(size=4), runtime, on_bad=bad.append):
        batches.append(batch)
    positions = np.concatenate([batch.positions for batch in batches]).tolist()
    assert positions == [i for i in range(20) if i not in (7, 13)]
    assert torch.cat([batch.images for batch in batches])[:, 0, 0, 0].tolist() == positions
    assert [str(failure) for failure in bad] == [
        f"item{i}: the process that decoded it died" for i in (7, 13)
    ]


def test_without_skip_bad_the_item_is_named_at_the_end():
    split = split_of(5, {2}, signal.SIGKILL)
    with pytest.raises(HashprobeError, match=r"^item2: the process that decoded it died; no other"):
        decode(split, InputContract(size=4), Runtime(workers=1))


def test_a_file_is_named_by_its_path(tmp_path, write_tree, monkeypatch):
    write_tree({"x": 6}, root=tmp_path)
    names = tuple(f"x/{i:04d}.png" for i in range(6))
    split = Split(names, FileSource(tmp_path, names), np.ones((6, 1), dtype=bool))
    monkeypatch.setattr(
        FileSource,
        "read",
        lambda self, position, read=FileSource.read: (
            os._exit(3) if position == 4 else read(self, position)
        ),
    )
    pixels = decode(split, InputContract(size=8), Runtime(workers=1, skip_bad=True))
    assert pixels.positions.tolist() == [0, 1, 2, 3, 5]
    assert pixels.bad == (f"{tmp_path}/x/0004.png: the process that decoded it died",)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_file_among_a_thousand_costs_that_file_only(tmp_path, write_tree, workers):
    write_tree({"x": 1}, root=tmp_path)
    first = tmp_path / "x" / "0000.png"
    names = ["x/0000.png", *(f"x/{i:04d}.png" for i in range(1, 1000))]
    for name in names[1:]:
        os.link(first, tmp_path / name)
    data = bytearray(first.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    (tmp_path / names[500]).unlink()
    (tmp_path / names[500]).write_bytes(data)
    split = Split(tuple(names), FileSource(tmp_path, tuple(names)), np.ones((1000, 1), dtype=bool))
    pixels = decode(split, InputContract(size=8), Runtime(workers=workers, skip_bad=True))
    assert pixels.positions.tolist() == [i for i in range(1000) if i != 500]
    assert pixels.bad == (f"{tmp_path}/x/0500.png: is damaged: a checksum is wrong",)


def test_processes_that_always_die_at_no_item_end_the_decoding(monkeypatch):
    """As where the memory that processes share is full: at every batch, at no item."""
    monkeypatch.setattr("hashprobe.data.loader.collate", lambda items, frames: os._exit(1))
    split = split_of(4, set(), signal.SIGKILL)
    with pytest.raises(HashprobeError, match=f"{DEATHS + 1} decoding processes died without an "):
        decode(split, InputContract(size=4), Runtime(workers=1))


def test_handlers_of_signals_stay_what_they_were():
    before = signal.getsignal(signal.SIGCHLD)
    decode(split_of(4, set(), signal.SIGKILL), InputContract(size=4), Runtime(workers=1))
    assert signal.getsignal(signal.SIGCHLD) == before


@pytest.mark.parametrize(
    ("error", "death"),
    [
        (RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), True),
        (RuntimeError("DataLoader worker (pid(s) 12, 34) exited unexpectedly"), True),
        (ConnectionResetError(104, "Connection reset by peer"), True),
        (RuntimeError("Caught RuntimeError in DataLoader worker process 0."), False),
        (PermissionError(13, "Permission denied"), False),
    ],
)
def test_only_deaths_are_taken_for_deaths(error, death):
    assert is_death(error) is death
