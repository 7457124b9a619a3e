"""Where a process runs."""

import importlib.metadata
import os
import sys

import pytest

from hashprobe.storage.environment import cores, environment, hashprobe_version


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 7}, raising=False)
    assert cores() == 3
    # Systems without affinity (macOS, Windows) have all cores of the machine.
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize("loaded", [True, False])
def test_torch_is_described_only_if_it_is_loaded(monkeypatch, loaded):
    if not loaded:
        monkeypatch.delitem(sys.modules, "torch")
    described = environment()
    assert ("torch" in described) == loaded
    assert ("torch" in sys.modules) == loaded
    assert described["cpus"] == cores()
    assert described["packages"]["hashprobe"] == hashprobe_version()
    assert "numpy" in described["packages"]


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert hashprobe_version() == "unknown"
    assert environment()["packages"] == {}
