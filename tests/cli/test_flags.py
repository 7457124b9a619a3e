"""Options that become nouns: the runtime, the data and the budget."""

from pathlib import Path

import pytest

from hashprobe.cli.attack import AttackRuntime, BudgetFlags
from hashprobe.cli.encode import EncodeRuntime
from hashprobe.cli.flags import RuntimeFlags
from hashprobe.cli.reproduce import ReproduceRuntime
from hashprobe.cli.train import DataFlags, TrainRuntime
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError
from hashprobe.progress import Silent
from hashprobe.types import Budget, Runtime


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (TrainRuntime(workers=3, skip_bad=True), {"workers": 3, "skip_bad": True}),
        (EncodeRuntime(), {"batch_size": 256}),
        (AttackRuntime(precision="bfloat16"), {"precision": "bfloat16"}),
        (ReproduceRuntime(device="cpu"), {"device": "cpu", "deterministic": True}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_flags_open_as_a_runtime(flags, expected):
    progress = Silent()
    assert flags.open(progress) == Runtime(progress=progress, **expected)


def test_a_cache_has_its_folder_and_its_size_in_bytes(tmp_path):
    cache = RuntimeFlags(cache=tmp_path / "clips", cache_gb=0.5).open(Silent()).cache
    assert (cache.folder, cache.budget) == (tmp_path / "clips", 2**29)


@pytest.mark.parametrize("size", [-1.0, float("nan"), float("inf")])
def test_a_cache_of_a_senseless_size_is_refused(size):
    with pytest.raises(HashprobeError, match="cache-gb must be"):
        RuntimeFlags(cache_gb=size).open(Silent())


def test_data_flags_become_data_options_with_absolute_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = DataFlags(root=Path("pictures"), queries=5.0).of("folder")
    assert options == DataOptions("folder", root=tmp_path / "pictures", queries=5.0)


def test_budget_flags_are_the_budget():
    assert BudgetFlags().budget == Budget()
    assert BudgetFlags(0.1, frames=2, shared=True).budget == Budget(0.1, frames=2, shared=True)
