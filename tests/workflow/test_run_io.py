"""Opening a run: data, network, codes, device."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.datasets.digits import load_digits
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.findings import Finding
from hashprobe.errors import HashprobeError
from hashprobe.progress import Silent
from hashprobe.storage.files import read_json, write_npz
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.workflow.encode_step import encode_run
from hashprobe.workflow.network import Network
from hashprobe.workflow.run_io import (
    Encoded,
    data_options,
    keep_data,
    load_codes,
    open_run,
    pick_device,
    reopen,
    say_bad,
    say_precision,
)
from hashprobe.workflow.train_step import train_run


class Lines(Silent):
    """Keeps every line."""

    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An encoded run; tests must not write into it."""
    folder = tmp_path_factory.mktemp("opening") / "digits"
    options = TrainOptions(epochs=1, batch_size=125)
    train_run(folder, DataOptions("digits"), Network("small", 8, size=8), options)
    encode_run(folder)
    return folder


def test_an_encoded_run_is_its_network_data_and_codes(run):
    opened = open_run(run)
    assert opened.data.checksum == load_digits().checksum
    assert (len(opened.query), len(opened.database)) == (200, 1347)
    labels = opened.data.database.labels[opened.database.positions]
    np.testing.assert_array_equal(opened.database.labels, labels)
    labelled = opened.query.labelled
    assert isinstance(labelled, Codes)
    assert labelled.packed is opened.query.codes and labelled.labels is opened.query.labels


def test_each_step_is_asked_for_the_one_before(tmp_path):
    run = Run.create(tmp_path / "run", {"data": {"name": "digits"}})
    with pytest.raises(HashprobeError, match="is not trained yet: run hashprobe train first"):
        reopen(run)
    with pytest.raises(HashprobeError, match="is not encoded yet: run hashprobe encode first"):
        open_run(run.path)


def test_data_that_changed_are_refused(run, monkeypatch):
    monkeypatch.setattr(DataOptions, "load", lambda self: load_digits(seed=1))
    with pytest.raises(HashprobeError, match="have changed since its training: checksum"):
        open_run(run)


def test_a_code_file_of_something_else_is_refused(tmp_path):
    run = Run.create(tmp_path / "run", {})
    write_npz(run.path / "codes/query.npz", {"codes": np.zeros((1, 1), np.uint8)})
    run.seal("codes/query.npz")
    with pytest.raises(
        HashprobeError, match=r"is no code file of a run: it needs .*; it holds codes"
    ):
        load_codes(run, "query")


def test_options_of_the_data_come_back_with_their_paths(tmp_path):
    asked = DataOptions("table", root=Path("/a"), lists=Path("/b.csv"), labels="x,y")
    run = Run.create(tmp_path / "run", {"data": asked})
    assert data_options(Run.open(run.path)) == asked


@pytest.mark.parametrize("data", [None, {}, {"name": "digits", "planet": "mars"}])
def test_a_run_that_does_not_name_its_data_is_refused(tmp_path, data):
    run = Run.create(tmp_path / "run", {} if data is None else {"data": data})
    with pytest.raises(HashprobeError, match=r"run\.json does not name the data of the run"):
        data_options(run)


def test_sizes_and_findings_are_shown_and_kept(tmp_path):
    run, told = Run.create(tmp_path / "run", {}), Lines()
    notes = (Finding("left out", 3, "3 items"), Finding("split", 1, "a draw", harmless=True))
    keep_data(run, replace(load_digits(), notes=notes), told)
    assert told.lines == [
        "digits: 200 query, 250 training, 1347 database",
        "warning: 3 items",
        "note: a draw",
    ]
    kept = read_json(run.path / "data.json")
    assert kept["findings"] == ["3 items", "a draw"]
    assert kept["checksum"] == load_digits().checksum


def test_devices_by_name():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("cuda:99", "toaster", "meta"):
        with pytest.raises(HashprobeError, match="is not available here: choose auto or cpu"):
            pick_device(name)


@pytest.mark.parametrize("able", [False, True])
def test_a_processor_without_bfloat16_is_named(able, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: able)
    told, cpu = Lines(), torch.device("cpu")
    say_precision(told, "bfloat16", cpu)
    say_precision(told, "float32", cpu)
    say_precision(told, "bfloat16", torch.device("cuda"))
    wanted = ["this processor does not compute in bfloat16: float32 is faster on it"]
    assert told.lines == ([] if able else wanted)


def test_items_that_were_left_out_are_counted():
    told = Lines()
    say_bad(told, "query", ())
    say_bad(told, "query", ("a.png: cut off", "b.png: empty"))
    assert told.lines == ["warning: left out 2 bad query items, the first is a.png: cut off"]


def test_encoded_splits_count_their_codes():
    codes = PackedCodes.from_signs(np.ones((3, 16)))
    assert len(Encoded(codes, np.eye(3, dtype=bool), np.arange(3))) == 3
