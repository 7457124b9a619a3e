"""Threads of a command wait as the user says, or sleep soon."""

import os
import subprocess
import sys

import pytest

from hashprobe.cli import threads


@pytest.mark.parametrize("said", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_the_environment_of_the_user_stays(monkeypatch, said):
    for name in threads.SAID:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    before = {name: os.environ.get(name) for name in threads.SAID}
    threads.wait_patiently()  # torch is loaded already: too late to count
    assert {name: os.environ.get(name) for name in threads.SAID} == before
    monkeypatch.delitem(sys.modules, "torch")
    threads.wait_patiently()
    after = {name: os.environ[name] for name in threads.SAID if name in os.environ}
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert after == (said or {"GOMP_SPINCOUNT": str(threads.SPINS)})


def test_a_command_says_it_before_torch_is_there():
    lines = "from hashprobe.cli import main; main(['--version']); import os, sys"
    shown = "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k not in threads.SAID}
    words = [sys.executable, "-c", f"{lines}; {shown}"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == ["10000", "False"]
