"""The benchmarks compare like with like: every side of them gives the same answer."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hashprobe.attacks import DhtaOptions, Goal, dhta
from hashprobe.attacks._dhta import step_length
from hashprobe.data import Queries
from hashprobe.evaluation.measurement import Measurement
from hashprobe.types import Budget
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow.comparison import Compared, Comparison, Trial
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.protocol import Protocol


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a benchmark as its own command does."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]


@pytest.mark.parametrize("kind", ["images", "clips"])
def test_the_released_recipe_is_dhta_one_by_one(benchmark, kind):
    engine = benchmark("attack_engine")
    torch.manual_seed(0)
    if kind == "images":
        hasher, images = ImageHasher("small", 16, size=16).eval(), torch.rand(2, 3, 16, 16)
    else:
        hasher = VideoHasher("small", 16, size=16, frames=6, hidden=24).eval()
        images = torch.rand(2, 5, 3, 16, 16)
    targets = torch.ones(2, 16)
    options = DhtaOptions(steps=12, alpha=0.1)
    lengths = torch.tensor([5, 5]) if images.ndim == 5 else None
    queries, goal = Queries(images, lengths=lengths), Goal.targeted(targets)
    ours = dhta(hasher, queries, goal, budget=Budget(8 / 255), options=options)
    for row in range(2):
        recipe = engine.OfficialRecipe(
            hasher, images[row : row + 1], targets[row : row + 1], 8 / 255, options.alpha
        )
        for _ in range(12):
            recipe.advance()
        assert all(weight.grad is not None for weight in hasher.parameters())
        recipe.end()
        moved = (recipe.image + recipe.delta.detach())[0]
        torch.testing.assert_close(moved, ours[row], rtol=0, atol=1e-5)
        assert (moved - images[row]).abs().max() > 7 / 255


def test_clips_of_photographs_move(benchmark):
    clips = benchmark("video").photo_clips(2, 0)
    assert clips.shape == (2, 40, 3, 224, 224) and clips.dtype == torch.uint8
    assert (clips[:, 0] != clips[:, 1]).any()
    assert torch.equal(clips[:, 0, :, 1:, 1:], clips[:, 1, :, :-1, :-1])


@pytest.mark.parametrize("multi", [False, True])
def test_every_way_to_map_gives_the_same(benchmark, multi, monkeypatch):
    measures = benchmark("measures")
    monkeypatch.setattr(measures, "TOP", 60)
    arrays = measures.problem(7, 300, 32, 10, multi)
    # The released sort is not stable: without ties in the way, all orders agree.
    ours = measures.ours(arrays)
    assert 0.1 < ours < 1
    best, worst = measures.ours(arrays, "best"), measures.ours(arrays, "worst")
    assert worst <= measures.released(arrays) <= best
    assert measures.by_faiss(arrays) == pytest.approx(ours, abs=1e-12)
    assert measures.honest(arrays) == pytest.approx(ours, abs=1e-12)


def test_the_photographs_and_their_files(benchmark, tmp_path):
    encode = benchmark("encode")
    encode.written(tmp_path, 5)
    split = encode.folder_split(tmp_path, 3)
    assert len(split) == 3 and split.source.read(0).shape == (3, 240, 320)
    crops = benchmark("attack_engine").photo_crops(3, 64, 0)
    assert crops.shape == (3, 3, 64, 64) and crops.float().std() > 10


def test_variants_are_attacks(benchmark, monkeypatch):
    ablation = benchmark("ablation")
    monkeypatch.setattr(ablation, "steps_within", lambda budget: 8)
    torch.manual_seed(0)
    hasher, images = ImageHasher("small", 8, size=8).eval(), torch.rand(2, 3, 8, 8)
    images = (images * 255).round() / 255
    for variant in ablation.VARIANTS:
        queries, goal = Queries(images), Goal.targeted(torch.ones(2, 8))
        moved = variant(hasher, queries, goal, budget=Budget(2 / 255), options=None)
        assert (moved - images).abs().max() <= 2 / 255 + 1e-6, variant.name
        assert torch.equal(moved, (moved * 255).round() / 255) == variant.eight_bit, variant.name
    assert ablation.VARIANTS[0].name == "default"


def test_results_are_shown_and_written(benchmark, tmp_path, capsys):
    results = benchmark("common").Results("name")
    results.table("Title", [{"a": 1234, "b": 0.12345}, {"a": 5, "c": "x"}])
    results.write(tmp_path / "deep" / "out.json")
    out = capsys.readouterr().out
    assert "| a | b | c |\n|---|---|---|\n| 1,234 | 0.123 |  |\n| 5 |  | x |" in out
    assert '"machine"' in (tmp_path / "deep" / "out.json").read_text()
    assert np.isclose(benchmark("common").median([3.0, 1.0, 2.0]), 2.0)


def test_the_engine_is_measured_beside_bare_passes(benchmark, monkeypatch, tmp_path, capsys):
    """The short form runs; the figures themselves are for quiet machines."""
    overhead = benchmark("overhead")
    out = tmp_path / "overhead.json"
    monkeypatch.setattr("sys.argv", ["overhead.py", "--tiny", "--json", str(out)])
    threads = torch.get_num_threads()
    overhead.main()
    torch.set_num_threads(threads)
    rows = json.loads(out.read_text())["sections"]["What the engine adds to bare passes"]
    assert [row["attack"] for row in rows] == ["bit_margin", "dhta"] * 2
    assert all(row["bare ms/step"] > 0 for row in rows)


def test_no_query_reaches_the_code_of_the_overhead_benchmark(benchmark):
    overhead = benchmark("overhead")
    victim = overhead.Unreachable(overhead.DctHash(32))
    logits = victim(torch.rand(3, 3, 32, 32))
    assert logits.shape == (3, 72) and (logits[:, -8:] == -1).all()


def test_intervals_hold_the_mean_as_often_as_they_say(benchmark, capsys):
    """The short form of the simulation, and its table."""
    coverage = benchmark("interval_coverage")
    cases = (coverage.CASES[0], coverage.CASES[2], coverage.CASES[3])
    coverage.simulate(benchmark("common").Results("coverage"), 200, cases, (16,))
    out = capsys.readouterr().out
    assert "| Beta(8, 2) | 16 |" in out
    for case in cases:
        held, width = coverage.coverage(case, 16, coverage.METHODS[0], 200)
        assert held >= 0.93 and 0 < width < 0.3
    assert coverage.coverage(coverage.CASES[3], 16, coverage.METHODS[1], 200)[0] < 0.8


def test_baselines_are_the_released_step_and_others_once_each(benchmark):
    baseline = benchmark("baseline")
    at = {size: baseline.baselines(DhtaOptions(steps=9), size) for size in (32, 64, 224)}
    for size, choices in at.items():
        assert choices[0].options == DhtaOptions(steps=9)
        lengths = [
            step_length(torch.zeros(1, 3, size, size), c.options.step_size, c.options.step)
            for c in choices
        ]
        assert len(set(lengths)) == len(choices) == (4 if size == 224 else 6)
    best = baseline.tuned(at[32], lambda c: Measurement.of(np.array([c.options.step_size]), "x"))
    assert best.name == "released x 3"


def test_the_default_is_compared_out_of_sample(benchmark, monkeypatch, tmp_path, capsys):
    """The short form runs, and a second call finds what the first one kept."""
    strength = benchmark("strength")
    out = tmp_path / "strength.json"
    words = ["strength.py", "--json", str(out), "--work", str(tmp_path / "work")]
    monkeypatch.setattr("sys.argv", words)
    rows = []
    for _ in range(2):
        strength.main()
        rows += next(iter(json.loads(out.read_text())["sections"].values()))
    first, second = rows
    assert first == second and first["MAP"] > 40
    tried = first["t-MAP on the other queries"]
    assert tried[first["tuned step"]] == max(tried.values())
    assert first["ceiling"] + 5 > first["default"] > 60
    victim = strength.Victim(strength.SHORT, tmp_path / "work")
    assert not set(victim.others[0].ids) & set(victim.table[0].ids)


def short_form(benchmark, monkeypatch, tmp_path, name, *words):
    """Runs a benchmark on tiny data; its tables by their titles."""
    module, out = benchmark(name), tmp_path / f"{name}.json"
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--tiny", "--json", str(out), *map(str, words)])
    module.main()
    return json.loads(out.read_text())["sections"]


@pytest.mark.parametrize("name", ["encode", "interval_coverage", "measures", "search"])
def test_short_forms_run(benchmark, monkeypatch, tmp_path, name):
    for rows in short_form(benchmark, monkeypatch, tmp_path, name).values():
        assert rows


@pytest.mark.parametrize("name", ["ablation", "attack_engine", "many_queries"])
def test_short_forms_on_a_run(benchmark, monkeypatch, tmp_path, name, encoded):
    found = short_form(benchmark, monkeypatch, tmp_path, name, "--runs", encoded)
    assert all(found.values())
    if name == "attack_engine":
        (peer,) = (rows for title, rows in found.items() if "PGD" in title)
        assert all(row["default, ms"] > 0 for row in peer)


def test_seeds_of_a_comparison_are_put_together(benchmark, monkeypatch, tmp_path):
    defences, rng, given = benchmark("defences"), np.random.default_rng(0), []
    values = rng.uniform(size=(2, 2, 40))  # AP of 40 queries, by seed and run

    def compared(runs, options, runtime):
        given.append([str(run) for run in runs])
        found = []
        for run, some in zip(runs, values[options.seed], strict=True):
            clean = Measurement.of(some, "MAP@all|v:0.1")
            trial = Trial("hag", "HAG", Measurement.of(some / 2, "MAP@all|v:0.1"))
            found.append(Compared(str(run), "none", clean, 1.0, (trial,)))
        return Comparison(tuple(found), options)

    monkeypatch.setattr(defences, "compare_runs", compared)
    out = tmp_path / "out.json"
    words = ["--runs", "one-{seed}", "other-{seed}", "--seeds", "0", "1", "--json", str(out)]
    monkeypatch.setattr("sys.argv", ["defences.py", *words])
    defences.main()
    assert given == [["one-0", "other-0"], ["one-1", "other-1"]]
    (rows,) = json.loads(out.read_text())["sections"].values()
    clean, worst, hag = rows
    assert (worst[""], hag[""]) == ("MAP, each query at its worst", "HAG")
    whole, by_seed = 100 * values[:, 0].mean(), 100 * values[:, 0].mean(axis=1)
    assert clean["one"].startswith(f"{whole:.1f} [")
    assert clean["one"].endswith(f"({by_seed[0]:.1f} / {by_seed[1]:.1f})")
    assert hag["one"].startswith(f"{whole / 2:.1f} [")
    less = 100 * (values[:, 0] - values[:, 1])
    assert clean["one less other"].startswith(f"{less.mean():+.1f} [")
    assert clean["by seed"] == ", ".join(f"{part.mean():.1f}" for part in less)


def test_the_short_attacks_take_runs_behind_preprocessors(
    benchmark, encoded, monkeypatch, tmp_path, capsys
):
    defences, out = benchmark("defences"), tmp_path / "out.json"
    runs = ["--runs", f"{encoded}", f"{encoded}+blur", "--queries", "4", "--steps", "1"]
    words = ["defences.py", *runs, "--more-steps", "1", "--quick", "--json", str(out)]
    monkeypatch.setattr("sys.argv", words)
    defences.main()
    (rows,) = json.loads(out.read_text())["sections"].values()
    assert "away, 1 step" in [row[""] for row in rows]
    clean = rows[0]
    assert clean[encoded.name] != clean[f"{encoded.name}+blur"]
    assert defences.all_queries(Path(f"{encoded}+blur")) == 200
    for count in ("200", "0"):
        monkeypatch.setattr("sys.argv", [*words, "--all-but", "0", count])
        with pytest.raises(SystemExit):
            defences.main()
        assert f"leaves out 1 to 199 of 200 queries; got {count}" in capsys.readouterr().err


def test_queries_of_a_choice_are_left_out_and_the_others_count_once(
    benchmark, monkeypatch, tmp_path
):
    defences, values = benchmark("defences"), np.random.default_rng(0).uniform(size=(2, 2, 60))
    given, signature = [], "MAP@all|q:60|db:9|v:0.1"

    def quickly(run, options):
        given.append(options.queries)
        name, seed = run.name.split("-")
        of = values[int(seed), ["one", "other"].index(name)]
        return {"MAP clean": Measurement.of(of, signature)}

    monkeypatch.setattr(defences, "quickly", quickly)
    monkeypatch.setattr(defences, "all_queries", lambda run: 60)
    out = tmp_path / "out.json"
    runs = ["--runs", "one-{seed}", "other-{seed}", "--seeds", "0", "1"]
    words = [*runs, "--quick", "--all-but", "3", "20", "--json", str(out)]
    monkeypatch.setattr("sys.argv", ["defences.py", *words])
    defences.main()
    assert given == [60] * 4
    left = np.setdiff1d(np.arange(60), draw_queries(60, Protocol(queries=20, seed=3)))
    assert len(left) == 40
    ((row,),) = json.loads(out.read_text())["sections"].values()
    mean = values[:, :, left].mean(axis=0)  # by run and query
    for place, name in enumerate(("one", "other")):
        of = Measurement.of(mean[place], signature)
        assert row[name].startswith(
            f"{100 * of.value:.1f} [{100 * of.low:.1f}, {100 * of.high:.1f}]"
        )
    less = 100 * (mean[0] - mean[1])
    assert row["one less other"].startswith(f"{less.mean():+.1f} [")
    parts = defences.but({"MAP clean": Measurement.of(values[0, 0], signature)}, 20, 3)
    assert "|q:40|" in parts["MAP clean"].signature


def test_the_short_form_of_scale(benchmark, monkeypatch, tmp_path):
    found = short_form(benchmark, monkeypatch, tmp_path, "scale", "--only", "measures")
    assert [len(rows) for rows in found.values()] == [3]
    (rows,) = short_form(benchmark, monkeypatch, tmp_path, "scale", "--only", "equality").values()
    assert len(rows) == 22 and all(
        float(row["largest difference, in process"]) < 1e-12 for row in rows
    )
    found = short_form(benchmark, monkeypatch, tmp_path, "scale_model")
    assert len(found) == 3
    (rows,) = short_form(benchmark, monkeypatch, tmp_path, "query_memory").values()
    assert [row["queries"] for row in rows] == [20, 40]


def test_the_short_form_of_videos(benchmark, monkeypatch, tmp_path):
    found = short_form(benchmark, monkeypatch, tmp_path, "video")
    assert len(found) == 2 and all(found.values())


def test_the_peer_lowers_wrong_bits_within_the_budget(benchmark):
    pgd = benchmark("pgd")
    torch.manual_seed(0)
    hasher = ImageHasher("small", 16, size=16).eval().requires_grad_(False)
    images8 = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    codes = np.where(np.arange(48).reshape(3, 16) % 3, 1, -1)
    for how in (pgd.Pgd(0.5, 0.6, 1.0, 8), pgd.Pgd(pgd.INNER, 0.9, 0.5, 8)):
        moved = pgd.pgd(hasher, images8, codes, 8 / 255, how)
        assert moved.dtype == torch.uint8
        assert (moved.int() - images8.int()).abs().max() == 8
        margins = [(torch.from_numpy(codes) * hasher(x.float() / 255)) for x in (images8, moved)]
        assert (margins[1].mean(1) > margins[0].mean(1)).all()
    assert len({how.name for how in pgd.choices()}) == 24


def test_an_ordering_is_of_the_same_queries_and_labels(benchmark, monkeypatch):
    orderings = benchmark("orderings")
    kept = {
        name: SimpleNamespace(query_ids=np.array(ids), target_labels=np.eye(3)[labels])
        for name, ids, labels in (
            ("a", [1, 2], [0, 1]),
            ("b", [1, 3], [0, 1]),
            ("c", [1, 2], [0, 2]),
        )
    }
    monkeypatch.setattr(orderings.AttackResult, "load", lambda folder: kept[folder.name])
    run = SimpleNamespace(run=SimpleNamespace(path=Path("runs/one")))
    assert orderings.paired(run, ["a", "a"]) == [kept["a"]] * 2
    for other, part in (("b", "query_ids"), ("c", "target_labels")):
        with pytest.raises(SystemExit, match=f"a and {other} have other {part}"):
            orderings.paired(run, ["a", other])


def test_an_ordering_of_few_queries_has_no_verdict(benchmark):
    orderings = benchmark("orderings")

    def one(*values):
        return Measurement.of(np.array(values), "t-MAP")

    assert orderings.said(one(0.5, 0.7), one(0.2, 0.4), 1).endswith("+30.0 | too few queries")
    many = np.linspace(0.5, 0.6, 40)
    assert orderings.said(one(*many), one(*(many - 0.4)), 1).endswith("| holds")
    assert orderings.said(one(*many), one(*(many - 0.4)), -1).endswith("| does not hold")
