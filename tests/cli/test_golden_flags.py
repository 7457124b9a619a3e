"""No option of a command gets lost or another default; new ones may come."""

import json
import re
from pathlib import Path

import pytest


GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "flags.json").read_text())
"""The options of each command and their defaults, as its help printed them before the redesign."""
CHANGED = {
    "train": {
        "--loss": "csq",
        "--optimiser": "adamw",
        "--lr": "0.003",
        "--backbone-lr": None,
        "--weight-decay": "0.01",
        "--schedule": "one-cycle",
    },
    "attack": {"--steps": None},
    "attack bit-margin": {"--steps": None},
}
"""Defaults that are others since, with an entry in the changelog."""


def flags(text):
    """Every option of a help page with its default, or None."""
    found, names = {}, []
    for line in text.splitlines():
        line = line.strip("│ ").removeprefix("*").strip()
        if line.startswith("-"):
            names = re.findall(r"--?[a-z][a-z-]*", re.split(r"  |[A-Z]", line)[0])
            found |= dict.fromkeys(names, "")
        elif line.startswith(("╰", "╭", "Usage")):
            names = []
        for name in names:
            found[name] += " " + line
    return {name: default(" ".join(said.split())) for name, said in found.items()}


def default(said):
    value = re.search(r"\[default: (.*?)\]$", said)
    return value.group(1) if value else None


@pytest.mark.parametrize("command", GOLDEN, ids=lambda name: name or "hashprobe")
def test_every_option_of_before_is_there_with_its_default(hashprobe, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "100")
    now = flags(hashprobe(f"{command} --help").out)
    expected = GOLDEN[command] | CHANGED.get(command, {})
    assert {name: now.get(name, "is lost") for name in expected} == expected
