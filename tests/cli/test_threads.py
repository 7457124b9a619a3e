"""Threads of a command wait as the user says, or sleep soon."""

import os
import subprocess
import sys

import pytest

import hashprobe
from hashprobe.cli import threads


@pytest.mark.parametrize("said", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_the_environment_of_the_user_stays(monkeypatch, said):
    for name in threads.SAID:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    before = {name: os.environ.get(name) for name in threads.SAID}

    def seen():
        return {name: os.environ.get(name) for name in threads.SAID}

    with threads.waiting_patiently():  # torch is loaded already: too late to count
        assert seen() == before
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(KeyboardInterrupt), threads.waiting_patiently():
        inside = {name: value for name, value in seen().items() if value is not None}
        raise KeyboardInterrupt
    assert inside == (said or {"GOMP_SPINCOUNT": str(threads.SPINS)})
    assert seen() == before  # what the caller starts after a command is told nothing


def test_a_command_says_it_before_torch_is_there():
    lines = "import os, sys; from hashprobe.cli import app; build = app.build_app"
    shown = "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    lines += f"; app.build_app = lambda: ({shown}, build())[1]; app.main(['--version'])"
    environment = {k: v for k, v in os.environ.items() if k not in threads.SAID}
    words = [sys.executable, "-c", f"{lines}; print('GOMP_SPINCOUNT' in os.environ)"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10000", "False", hashprobe.__version__, "False"]
