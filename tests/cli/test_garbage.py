"""Garbage is collected once a command's modules are loaded, and after it in any case."""

import gc
from contextlib import suppress

import pytest

from hashprobe.cli import garbage
from hashprobe.cli.app import main
from hashprobe.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def enabled():
    gc.enable()
    yield
    assert gc.isenabled()


def test_nothing_is_collected_before_the_terminal_is_there(monkeypatch):
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    monkeypatch.setattr(gc, "get_freeze_count", lambda: len(frozen))
    with garbage.collecting_later():
        assert not gc.isenabled()
        Terminal()
        assert gc.isenabled() and frozen == [False]
    with garbage.collecting_later():  # a second command of the process freezes nothing more
        garbage.loaded()
    garbage.loaded()
    assert frozen == [False]


@pytest.mark.parametrize("words", [["--version"], ["no-such-command"], ["evaluate", "none.npz"]])
def test_a_command_leaves_the_collector_as_it_was(words, capsys):
    with suppress(SystemExit):
        main(words)
    assert gc.isenabled()
    gc.disable()
    try:
        main(["--version"])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_evaluate_collects(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(garbage.gc, "freeze", lambda: seen.append(1))
    monkeypatch.setattr(garbage.gc, "get_freeze_count", lambda: 0)
    with pytest.raises(SystemExit):
        main(["evaluate", str(tmp_path / "none.npz")])
    with pytest.raises(SystemExit):
        main(["evaluate", str(tmp_path)])
    assert seen == [1, 1]
