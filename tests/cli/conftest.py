"""Code files for the commands, and what an attack kept."""

import json

import numpy as np
import pytest


@pytest.fixture
def chosen():
    """Reads what an attack of a run kept of its options, its budget and its protocol."""

    def read(run, name):
        record = json.loads((run / "attacks" / name / "attack.json").read_text())
        return {**record["recipe"], "protocol": record["protocol"]}

    return read


@pytest.fixture
def codes(tmp_path):
    """Writes a code file; what is not given is a small problem with targets."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    signs = rng.choice([-1, 1], size=(3, 16))[labels] * rng.choice([1, 1, 1, -1], size=(60, 16))
    arrays = {
        "database_codes": signs[10:],
        "query_codes": signs[:10],
        "database_labels": labels[10:],
        "query_labels": labels[:10],
        "target_labels": (labels[:10] + 1) % 3,
    }

    def write(change=lambda arrays: {}, name="codes.npz"):
        kept = {k: v for k, v in {**arrays, **change(arrays)}.items() if v is not None}
        np.savez(tmp_path / name, **kept)
        return tmp_path / name

    return write
