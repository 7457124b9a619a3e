"""Run folders that version 0.1 wrote: reports stay the same, results load, attacks go on.

`runs.tar.xz` holds the runs `digits` (images) and `clips`, what `report_table` said of each
(`digits.md`, `clips.md`), and half of an attack of the first version of bit margin,
`digits/attacks/interrupted`.
"""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.attacks.registry import AttackSpec
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.query_files import png_bytes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import measure_of
from hashprobe.storage import files
from hashprobe.storage.schema import AttackRecord
from hashprobe.types import Budget
from hashprobe.workflow.attack_step import Protocol, attack_run
from hashprobe.workflow.report_step import report_table

from .victims import same_kernels


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The unpacked runs; tests must not write into them."""
    folder = tmp_path_factory.mktemp("runs")
    with tarfile.open(Path(__file__).with_name("runs.tar.xz")) as packed:
        packed.extractall(folder, filter="data")
    return next(folder.rglob("digits.md")).parent


@pytest.mark.parametrize("name", ["digits", "clips"])
def test_a_report_is_what_it_was(name, runs):
    assert report_table(runs / name) == (runs / f"{name}.md").read_text()


def without_intervals(path):
    """An evaluation without its intervals, which are computed otherwise since."""
    parts = json.loads(path.read_text())
    for part in parts.values():
        if "signature" in part:
            del part["low"], part["high"]
            part["signature"] = measure_of(part["signature"])
    return parts


def attacks_of(runs):
    """Every attack of both runs that was finished."""
    folders = sorted(path.parent for path in runs.glob("*/attacks/*/attack.json"))
    return [folder for folder in folders if folder.name != "interrupted"]


def test_every_attack_loads(runs):
    folders = attacks_of(runs)
    assert len(folders) == 10
    assert {AttackRecord.read(folder).attack for folder in folders} == {
        "noise", "p2p", "dhta", "hag", "feature", "bit-margin",
    }  # fmt: skip
    for folder in folders:
        out, record = AttackResult.load(folder), AttackRecord.read(folder)
        assert record.measured and record.cost.forwards == out.forwards.mean()
        for row, query_id in enumerate(out.query_ids):
            arrays = files.read_npz(folder / "queries" / f"{query_id}.npz")
            assert np.array_equal(out.images[row].numpy(), arrays["image"])
            assert np.array_equal(out.images8[row].numpy(), arrays["image8"])
            assert np.array_equal(out.codes.data[row], arrays["code"])
            assert np.array_equal(out.codes_float.data[row], arrays["code_float"])
            assert np.array_equal(out.clean_codes.data[row], arrays["clean_code"])
            assert np.array_equal(out.target_codes[row], arrays["target_code"])
            if len(out.images8.shape) == 4:
                picture = (folder / "png" / f"{query_id}.png").read_bytes()
                assert picture == png_bytes(arrays["image8"])


def test_an_interrupted_attack_goes_on_and_ends_as_it_did(runs, tmp_path):
    run = shutil.copytree(runs / "digits", tmp_path / "digits")
    finished = runs / "digits" / "attacks" / "dhta-64of255-seed1"
    interrupted = run / "attacks" / finished.name
    there = {path.name for path in sorted(interrupted.glob("queries/*"))[:3]}
    for path in [*interrupted.glob("queries/*"), *interrupted.glob("png/*")]:
        if f"{path.stem}.npz" not in there:
            path.unlink()
    attack_run(
        run,
        AttackSpec("dhta", DhtaOptions(steps=20), Budget(64 / 255), seed=1),
        protocol=Protocol(queries=6, seed=1),
        name=interrupted.name,
    )
    assert len(list(interrupted.glob("queries/*"))) == 6
    paths = [path for path in finished.rglob("*") if path.suffix in (".npz", ".png")]
    # Another processor may round its own three queries otherwise.
    same = [path for path in paths if same_kernels() or f"{path.stem}.npz" in there]
    for path in same:
        again = interrupted / path.relative_to(finished)
        if path.suffix == ".png":
            assert path.read_bytes() == again.read_bytes()
            continue
        old, new = files.read_npz(path), files.read_npz(again)
        assert set(old) == set(new)
        for name in set(old) - {"seconds"}:
            assert np.array_equal(old[name], new[name]), (path.name, name)
    if not same_kernels():
        return
    old, new = (without_intervals(folder / "evaluation.json") for folder in (finished, interrupted))
    assert old == new


def test_an_attack_of_an_earlier_version_is_not_mixed_with_this_one(runs, tmp_path):
    run = shutil.copytree(runs / "digits", tmp_path / "digits")
    spec, words = AttackSpec("bit-margin", budget=Budget(32 / 255)), {"name": "interrupted"}
    words["protocol"] = Protocol(queries=6, seed=1)
    with pytest.raises(HashprobeError, match="attack_version: 1 there, 2 here"):
        attack_run(run, spec, **words)
    attack_run(run, spec, overwrite=True, **words)
    assert len(AttackResult.load(run / "attacks" / "interrupted")) == 6
