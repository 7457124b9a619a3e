"""hashprobe certify: both sides at each norm, its resumption, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hashprobe import Victim
from hashprobe.defenses.intervals import interval_radius
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certified_votes import largest_radius
from hashprobe.progress import interruption
from hashprobe.types import Runtime
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow import certify_bench
from hashprobe.workflow.certificate import CertifyOptions
from hashprobe.workflow.certify_bench import CertifyBench
from hashprobe.workflow.certify_step import certify_run


SHORT = "--queries 12 --samples 200 --votes 31 --steps 2 --norm 0.05 --norm 1.0 --top 100"
OPTIONS = CertifyOptions((0.05, 1.0), queries=12, samples=200, votes=31, steps=2, top=100)
FOLDER = "certify/sigma0.1-31votes-of12-seed0"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(certify_bench, "DRAWS", 2)


def test_the_certificate_is_below_the_attack_at_each_norm(hashprobe, encoded):
    """The property for a small trained network, and the same call goes on."""
    said = hashprobe(f"certify {encoded} {SHORT} --json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found == json.loads((encoded / FOLDER / f"certificate-{OPTIONS.key}.json").read_text())
    rows = found["rows"]
    assert found["largest"] == largest_radius(16, 200, 0.1, votes=31)
    assert "let every bit turn over at 1/255" in found["left_out"][0]
    assert [row["eps"] for row in rows] == [0, 0.05, 1.0]
    for row in rows:
        bound, reached = row["certified"], row["attacked"]
        assert bound["bits"]["value"] >= reached["bits"]["value"]
        assert bound["map"]["value"] <= reached["map"]["value"] + 1e-9
        assert bound["match"]["value"] <= reached["match"]["value"]
        assert (
            reached["map"]["low"] <= reached["map"]["value"] and "l2:" in bound["map"]["signature"]
        )
    for side, name, order in (
        ("certified", "bits", 1), ("attacked", "bits", 1),
        ("certified", "map", -1), ("attacked", "map", -1), ("attacked", "match", -1),
    ):  # fmt: skip
        values = [order * row[side][name]["value"] for row in rows]
        assert values == sorted(values) and values[0] < values[-1], (side, name)
    # Something is certified, and beyond the largest radius nothing.
    assert rows[0]["certified"]["bits"]["value"] < 8 and rows[0]["certified"]["map"]["value"] > 0
    assert rows[-1]["certified"]["bits"]["value"] == 16

    kept = {path: path.stat().st_mtime_ns for path in (encoded / FOLDER).glob("*.npz")}
    assert len(kept) >= 2 * (1 + 1 + 4)
    lost, damaged, *_ = sorted(kept)
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert hashprobe(f"certify {encoded} {SHORT} --json").out == said.out
    later = {path: path.stat().st_mtime_ns for path in (encoded / FOLDER).glob("*.npz")}
    assert {path for path in kept if later[path] != kept[path]} == {lost, damaged}
    # Other samples make other counts and another certificate; what was made before stays.
    first = {path: path.read_bytes() for path in (encoded / FOLDER).iterdir()}
    more = hashprobe(f"certify {encoded} {SHORT.replace('200', '210')}")
    assert more.code == 0 and "from 210 copies of each of 12 queries" in more.out
    new = {path.name for path in (encoded / FOLDER).iterdir()} - {path.name for path in first}
    assert "noisy-copies-210samples-000000.npz" in new and not any("vote" in name for name in new)
    assert f"certificate-{replace(OPTIONS, samples=210).key}.json" in new
    same = [path for path in first if not path.name.startswith("attack")]  # codes may differ
    assert all(path.read_bytes() == first[path] for path in same)
    assert f"No bit is certified beyond {largest_radius(16, 210, 0.1, votes=31):.3g}" in more.out
    table = more.out.splitlines()
    assert "| l2 0.05 " in table[3] and "MAP at least" in table[0]
    assert "MAP under attack at most" in table[0] and "match under attack at most" in table[0]
    svg = (encoded / FOLDER / f"curves-{OPTIONS.key}.svg").read_text()
    assert svg.startswith("<?xml") and "MAP under attack" in svg and "bits at most" in svg


def test_a_network_without_gradients_is_certified_by_votes_alone(encoded, monkeypatch):
    monkeypatch.setattr(ImageHasher, "query_only", "the network is quantised", raising=False)
    found = certify_run(encoded, OPTIONS)
    assert all(row.attacked is None for row in found.rows) and len(found.rows) >= 3
    said = found.markdown()
    assert "No attack: the network is quantised" in said and "MAP at least" in said
    assert "under attack" not in found.figure()
    assert not list((encoded / FOLDER).glob("attack*"))


def test_bounds_of_the_network_itself_stand_beside_an_attack(encoded, monkeypatch):
    """Bounds of the run itself say nothing: those of a linear network in its place do."""
    torch.manual_seed(0)
    line = nn.Sequential(nn.Flatten(), nn.Linear(192, 16)).eval()

    def radius_of(victim, images, steps, crown):
        monkeypatch.setattr(victim, "forward", lambda x: line(x - 0.5))
        return interval_radius(Victim(line, bits=16, size=8, mean=0.5), images, steps, crown=crown)

    monkeypatch.setattr(certify_bench, "interval_radius", radius_of)
    options = CertifyOptions((1.0,), queries=8, samples=40, votes=101, steps=3)
    one, two = (row for row in certify_run(encoded, options).rows if row.norm == "linf")
    for row in (one, two):
        assert 0 < row.attacked.bits.value <= row.certified.bits.value < 16
        assert row.certified.map.value <= row.attacked.map.value
        assert row.certified.match.value <= row.attacked.match.value
    assert one.certified.bits.value < two.certified.bits.value
    assert one.title == "l-inf 1/255, no vote"


def test_a_network_of_other_layers_has_a_certificate_of_its_vote(encoded, monkeypatch):
    def refuse(victim):
        raise HashprobeError("a layer SiLU: take noisy_votes")

    monkeypatch.setattr(certify_bench, "layers_of", refuse)
    options = CertifyOptions((0.1,), queries=2, samples=60, votes=31, steps=1)
    (said,) = certify_run(encoded, options).left_out
    assert said == "No l-infinity bounds: the network has layers without known bounds."


def test_norms_and_noise_may_be_fractions(hashprobe, encoded):
    asked = "--queries 2 --samples 60 --votes 31 --steps 1 --norm 25.5/255 --sigma 51/255 --json"
    said = hashprobe(f"certify {encoded} {asked}")
    options = json.loads(said.out)["options"]
    assert options["norms"] == [0.1] and options["sigma"] == 0.2


def test_an_interrupt_says_what_is_kept(encoded, monkeypatch):
    whole = CertifyBench.counted

    def stopped(bench, rows):
        if rows.start:
            raise KeyboardInterrupt
        return whole(bench, rows)

    monkeypatch.setattr(CertifyBench, "counted", stopped)
    with pytest.raises(KeyboardInterrupt) as stop:
        certify_run(encoded, OPTIONS, Runtime())
    assert "finished work is kept (noisy copies: 10 of 12 queries)" in interruption(stop.value)
    assert (encoded / FOLDER / "noisy-copies-200samples-000000.npz").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--votes 8", "votes must be odd; got 8"),
        ("--votes 1001", "votes must be at most 1,000"),
        ("--sigma 0", "sigma must be 0.001 to 1; got 0"),
        ("--sigma nan", "sigma"),
        ("--error 1", "error must be above 0 and below 1"),
        ("--miss 0", "miss must be above 0 and below 1"),
        ("--norm 0.2 --norm 0.1", "norms must grow from above 0; got 0.2, 0.1"),
        ("--norm 0", "norms must grow from above 0; got 0"),
        ("--norm inf", "norm"),
        ("--samples 0", "samples must be at least 1"),
        ("--radius 17", "radius must be 0 to 16, the bits; got 17"),
        ("--queries 9999", "queries must be from 1 to"),
        ("--votes 3 --samples 1000", "samples must be at least 2265 for 3 votes of 16 bits"),
        ("--votes 1 --miss 1e-320", "no number of samples certifies a bit of 1 votes"),
        ("--cache x", "--cache"),
    ],
)
def test_what_does_not_fit_is_one_line(hashprobe, encoded, given, said):
    assert said in hashprobe(f"certify {encoded} {given}").error
    assert not (encoded / "certify").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"norms": 0.1}, {"norms": ("0.1",)}, {"norms": (True,)}, {"sigma": "0.1"}, {"sigma": None},
        {"error": "x"}, {"votes": 3.0},
    ],
)  # fmt: skip
def test_options_of_another_type_are_one_line(given, as_for_users):
    with pytest.raises(HashprobeError, match=f"^{next(iter(given))} must be .*; got"):
        CertifyOptions(**given)


def test_a_run_that_is_not_encoded_is_refused(hashprobe, tmp_path):
    assert "no/run" in hashprobe("certify no/run").error
    assert np.isfinite(CertifyOptions().norms).all()
