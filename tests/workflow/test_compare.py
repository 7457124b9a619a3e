"""hashprobe compare: one table for several runs, its flags, and what it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.data.loader import decode
from hashprobe.defenses.detectors.watched import evade_detector
from hashprobe.defenses.preprocessors._comdefend import fit_comdefend
from hashprobe.defenses.trainers._p2s import P2s
from hashprobe.defenses.trainers._trades import Trades
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.detection import roc
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.storage.files import sha256_file
from hashprobe.storage.runs import Run
from hashprobe.types import InputContract, Runtime
from hashprobe.victims.encoding import device_of
from hashprobe.workflow.compare_attacks import Bench, own_anchors
from hashprobe.workflow.compare_behind import open_behind, split_name, with_own_codes
from hashprobe.workflow.compare_detection import detected, fitted_on_items
from hashprobe.workflow.compare_step import changed_options, check_same, compare_runs, in_front
from hashprobe.workflow.comparison import (
    Compared,
    CompareOptions,
    Comparison,
    Detection,
    Trial,
)
from hashprobe.workflow.comparison_flags import flags_of
from hashprobe.workflow.results import finished_attacks
from hashprobe.workflow.run_io import open_run


SHORT = (
    "--attacks hag --queries 5 --steps 2 --more-steps 3 --restarts 1 --eps 64/255 --query-budget 6"
)


def number(value):
    return Measurement.of(np.full(30, value), "MAP@all|v:0.1")


def test_runs_go_through_the_same_attacks_and_go_on(hashprobe, encoded, tmp_path):
    other = shutil.copytree(encoded, tmp_path / "other")
    said = hashprobe(f"compare {encoded} {other} {SHORT} --json")
    assert said.code == 0, said.err
    first, second = json.loads(said.out)["runs"]
    names = [trial["name"] for trial in first["attacks"]]
    assert names[:4] == ["noise", "hag", "bit-margin", "bit-margin-more"]
    assert names[4:] == ["away", "away-more", "mainstay", "query-only"]
    # The same network: every number but that of the transfer is the same.
    assert second["attacks"][:-1] == first["attacks"]
    transfer = second["attacks"][-1]
    assert transfer["name"] == "transfer" and transfer["map"] == first["attacks"][-3]["map"]
    lowest = min(trial["map"]["value"] for trial in first["attacks"])
    assert first["map_worst"]["value"] == lowest < first["map_clean"]["value"]
    shutil.rmtree(encoded / "compare" / "away-64of255-seed0-3-of5-1restarts")
    kept = (encoded / "compare" / "away-64of255-seed0-2-of5/attack.json").stat().st_mtime_ns
    again = hashprobe(f"compare {encoded} {other} {SHORT} --json")
    assert again.out == said.out
    assert (encoded / "compare/away-64of255-seed0-2-of5/attack.json").stat().st_mtime_ns == kept
    more = hashprobe(f"compare {encoded} {SHORT.replace('--restarts 1', '--restarts 0')} --json")
    assert more.code == 0, more.err
    assert hashprobe(f"compare {encoded} {other} {SHORT} --json").out == said.out


def test_only_attacks_that_see_gradients_count_as_such(encoded):
    """Noise is always there; where it beats every gradient a flag goes up."""
    given = CompareOptions(attacks=("hag",), queries=4, steps=1, more_steps=1, restarts=0)
    trials = [trial for trial, _ in Bench(open_run(encoded), given, Runtime()).trials()]
    seen = {trial.name: trial.gradients for trial in trials}
    assert seen == {"noise": False, "hag": True, "bit-margin": True}
    assert [trial.title for trial in trials][-1] == "Bit margin, 1 step"


def test_the_table_marks_what_is_noise_and_fits_a_page():
    rng = np.random.default_rng(0)
    high, low = rng.uniform(0.5, 0.7, 200), rng.uniform(0.1, 0.3, 200)
    near = high + np.tile([-0.01, 0.01], 100) - 0.0005

    def run(name, clean, attacked, *flags):
        t = Measurement.of(attacked, "tMAP@all|v:0.1")
        trial = Trial("hag", "HAG", Measurement.of(attacked, "MAP@all|round:uint8|v:0.1"), t)
        clean = Measurement.of(clean, "MAP@all|v:0.1")
        return Compared(name, "none", clean, 3.2, (trial,), tuple(flags))

    runs = (run("runs/a|b", high, low), run("runs/near", near, high, "64/255"))
    text = Comparison((*runs, Compared("runs/bare", "p2s", None, None))).markdown()
    table = text.splitlines()[:8]
    assert len({len(line) for line in table}) == 1 and len(table[0]) < 100
    cells = {line.split("|")[1].strip(): line.split("|")[2:] for line in table[2:]}
    clean, worst, hag = (cells[name] for name in ("MAP clean", "MAP worst", "HAG"))
    assert cells["by query"] == worst  # there is one attack
    # 0.05 points are less than chance, 40 are not; t-MAP is not marked.
    assert clean[0].startswith(" 60.") and clean[1].startswith(" ~60.")
    assert "~" not in "".join(worst + hag) and " / " in hag[0] and not hag[2].strip()
    assert r"runs/a\|b" in table[0] and "\n- runs/near: 64/255\n" in text
    assert "\n~: the difference to the highest MAP of the row may be chance (95 %" in text
    alone = Comparison(runs[:1]).markdown()
    assert "~" not in alone and "- `tMAP@all|ci:" in alone


def test_restarts_of_mainstay_keep_the_worst_of_each_query(encoded):
    given = CompareOptions(eps=16 / 255, queries=6, steps=1, more_steps=1, restarts=2)
    bench = Bench(open_run(encoded), given, Runtime())
    worst = bench.mainstay().map.per_query
    folders = sorted((encoded / "compare").glob("mainstay-16of255-seed*-1-of6"))
    assert len(folders) == 3
    runs = []
    for folder in folders:
        seed = int(folder.name.split("seed")[1].split("-")[0])
        options = ATTACKS["mainstay"].options(steps=1)
        spec = AttackSpec("mainstay", options, bench.budget, seed)
        runs.append(bench.scored(bench.driven(bench.drawn.goal, spec).codes).per_query)
    np.testing.assert_array_equal(worst, np.min(runs, 0))
    assert not np.array_equal(runs[0], runs[1])


def test_who_knows_a_detector_gets_through_at_least_as_often(encoded):
    given = CompareOptions(eps=64 / 255, queries=12, steps=6, more_steps=6)
    bench = Bench(open_run(encoded), given, Runtime())
    plain, adaptive = detected(bench, "bit-histogram")
    assert (plain.attack, adaptive.attack) == ("plain", "adaptive")
    assert adaptive.through.value >= plain.through.value
    assert plain.found.value > 0.05
    fitted = fitted_on_items(bench, "bit-histogram")
    clean = bench.drawn.clean.on(device_of(bench.victim.hasher))
    moved = evade_detector(
        fitted,
        replace(clean, labels=None),
        bench.drawn.goal,
        budget=bench.budget,
        steps=6,
        weights=(0.0,),
    )
    # At 5 % none of twelve clean queries may be an alarm.
    alarm = moved.scores > fitted.scores(clean.pixels).max()
    assert plain.found.per_query.tolist() == alarm.tolist()
    assert plain.through.per_query.tolist() == (moved.reached & ~alarm).tolist()
    area = roc(fitted.scores(clean.pixels), moved.scores).auc
    assert plain.auc.value == pytest.approx(area) and plain.auc.low < area < plain.auc.high
    assert plain.found.signature.startswith("found@5%|detector:bit-histogram|attack:plain|")


def test_a_run_behind_a_preprocessor_is_a_column_of_its_own(hashprobe, encoded):
    """Judged by what the operator gets, attacked through it, and kept beside the bare run's."""
    behind = encoded.with_name(f"{encoded.name}+bit-depth")
    said = hashprobe(f"compare {encoded} {behind} {SHORT} --json")
    assert said.code == 0, said.err
    bare, column = json.loads(said.out)["runs"]
    assert (bare["defence"], column["defence"]) == ("none", "none + bit-depth")
    assert {trial["name"] for trial in column["attacks"]} > {
        trial["name"] for trial in bare["attacks"]
    }
    given = CompareOptions(
        eps=64 / 255, queries=5, steps=2, more_steps=3, restarts=1, attacks=("noise",)
    )
    victim = with_own_codes(open_behind(behind), given, Runtime())
    bench = Bench(victim, given, Runtime())
    clean, rows = bench.drawn.clean.pixels, bench.drawn.rows
    seen = ((clean / 255 * 15).round() * 17) / 255  # four bits
    codes = victim.hasher.victim.codes(seen)
    assert victim.query.codes[rows] == codes != open_run(encoded).query.codes[rows]
    assert victim.database.codes == open_run(encoded).database.codes
    assert column["map_clean"]["value"] == pytest.approx(bench.scored(codes).value)
    moved = bench.driven(bench.away, bench.margin(bench.budget, 2, 0))
    seen = ((torch.as_tensor(moved.images8) / 255 * 15).round() * 17) / 255
    assert moved.codes == victim.hasher.victim.codes(seen)
    folders = [path.name for path in (encoded / "compare").iterdir()]
    assert "away-64of255-seed0-2-of5" in folders and "away-64of255-seed0-2-of5-bit-depth" in folders
    # A report is of the run itself: of what was judged behind a preprocessor nothing is in it.
    shown = {one.name for one in finished_attacks(Run.open(encoded))}
    there = {path.name for path in (encoded / "attacks").iterdir()}
    assert {name for name in there - shown if "compare" in name} == {
        f"{name}-bit-depth" for name in shown if "compare" in name
    }


def test_attacks_go_through_the_preprocessor_of_a_run(encoded):
    """What was made without it does less harm behind it."""
    given = CompareOptions(eps=32 / 255, queries=40, steps=8, more_steps=8, restarts=0)
    _, moved = Bench(open_run(encoded), given, Runtime()).driven_away()
    for name in ("jpeg", "random-resize"):
        behind = with_own_codes(open_behind(Path(f"{encoded}+{name}")), given, Runtime())
        bench = Bench(behind, given, Runtime())
        ((adaptive,), _) = bench.driven_away()
        assert adaptive.map.value < bench.transferred(moved).map.value - 0.05


def test_comdefend_is_that_of_the_run(hashprobe, encoded):
    behind = Path(f"{encoded}+comdefend")
    said = hashprobe(f"compare {encoded} {behind}").error
    assert "has no trained/comdefend.safetensors: comdefend is trained first" in said
    run = open_run(encoded)
    pictures = decode(run.data.train.take(np.arange(200)), run.hasher.contract).images
    how = {"epochs": 10, "lr": 0.01, "narrow": 16}
    file = encoded / "trained" / "comdefend.safetensors"
    made = fit_comdefend(pictures, file, **how)
    given = CompareOptions(queries=4, steps=1, more_steps=1, restarts=0, attacks=("hag",))
    bench = Bench(with_own_codes(open_behind(behind), given, Runtime()), given, Runtime())
    clean = bench.drawn.clean.pixels / 255
    wanted = run.hasher.codes(made.apply(clean))
    assert bench.victim.query.codes[bench.drawn.rows] == wanted
    assert bench.victim.hasher.preprocessor == made
    # One that is fitted anew is another victim, beside what the first one left.
    first, _ = bench.behind, bench.driven_away()
    fit_comdefend(pictures, file, **how, seed=1)
    again = Bench(with_own_codes(open_behind(behind), given, Runtime()), given, Runtime())
    assert first != again.behind == f"-comdefend-{sha256_file(file)[:8]}"
    again.driven_away()
    assert len([path for path in (encoded / "compare").iterdir() if "comdefend" in path.name]) == 2
    assert in_front(again.victim) == ["comdefend"] and in_front(run) == []


def test_a_run_and_a_preprocessor_are_told_apart_by_the_last_plus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a+b", "c+jpeg"):
        (tmp_path / name).mkdir()
    for text, run, name in [
        ("a", "a", ""),
        ("a+jpeg", "a", "jpeg"),
        ("a/+jpeg", "a", "jpeg"),
        ("a+comdefend", "a", "comdefend"),
        ("a+b", "a+b", ""),
        ("a+b+blur", "a+b", "blur"),
        ("c+jpeg", "c+jpeg", ""),  # a folder that is there is a run
        ("c+jpeg+jpeg", "c+jpeg", "jpeg"),
        ("+jpeg", ".", "jpeg"),
        (".+jpeg", ".", "jpeg"),
        ("..+jpeg", "..", "jpeg"),
        ("none+x", "none+x", ""),
    ]:
        assert split_name(Path(text)) == (Path(run), name), text
    with pytest.raises(HashprobeError, match="unknown preprocessor 'JPEG'"):
        split_name(Path("a+JPEG"))
    with pytest.raises(HashprobeError, match="two preprocessors"):
        split_name(Path("a+jpeg+blur"))


def test_training_items_are_left_out_of_every_number(encoded):
    victim = open_run(encoded)
    train = victim.data.database.take(np.arange(250))
    victim = replace(victim, data=replace(victim.data, train=train))
    given = CompareOptions(
        attacks=("noise",), queries=3, steps=1, more_steps=1, restarts=0, query_budget=5,
        exclude_training=True,
    )  # fmt: skip
    bench = Bench(victim, given, Runtime())
    rows, rest = bench.drawn.rows, np.arange(250, 1347)
    asked, held = victim.query, victim.database
    found = bench.scored(asked.codes[rows])
    alone = mean_average_precision(
        asked.codes[rows], held.codes[rest], asked.labels[rows], held.labels[rest]
    )
    np.testing.assert_allclose(found.per_query, alone.per_query)
    trials = [*(one for one, _ in bench.trials()), *bench.driven_away()[0]]
    trials += [bench.mainstay(), bench.asking()]
    assert {trial.map.signature for trial in trials} == {found.signature}
    assert [trial.name for trial in trials if not trial.gradients] == ["noise", "query-only"]


def test_the_worst_of_each_query_is_below_the_worst_attack():
    rng = np.random.default_rng(0)
    one, two = rng.uniform(size=(2, 40))
    trials = [Trial(n, n, Measurement.of(v, "MAP@all|v:0.1")) for n, v in (("a", one), ("b", two))]
    found = Compared("runs/a", "none", None, 1.0, tuple(trials))
    np.testing.assert_array_equal(found.worst_by_query.per_query, np.minimum(one, two))
    assert found.worst_by_query.value < found.worst.value
    assert found.to_json()["map_worst_by_query"]["signature"].startswith("worst ")


def test_detectors_have_rows_of_their_own():
    def run(count):
        some = np.arange(count) % 4 > 0
        shares = [
            Measurement.of(values.astype(float), "found@5%|v:0.1") for values in (some, ~some)
        ]
        found = [
            Detection("nearest-code", "Nearest code", *one, shares[0])
            for one in (("plain", *shares), ("adaptive", *shares[::-1]))
        ]
        return Compared("a", "none", None, 1.0, detections=tuple(found))

    few, many = run(4), run(40)
    text = Comparison((few, Compared("b", "none", None, 1.0))).markdown()
    assert "| Nearest code, plain    | 75.0 / 25.0 |" in text
    assert "| Nearest code, adaptive | 25.0 / 75.0 |" in text
    assert "through to the target unfound (too few queries for an interval)." in text
    assert "- `found@5%|ci:" in text
    text = Comparison((many,)).markdown()
    number = many.detections[0].found
    assert f"| 75.0 [{100 * number.low:.1f}, {100 * number.high:.1f}] / 25.0 [" in text
    assert "too few" not in text
    (first, _) = many.to_json()["detectors"]
    assert first["found"]["low"] == number.low and first["auc"]["signature"]


def test_numbers_of_codes_of_other_lengths_stand_beside_each_other():
    values = np.linspace(0.2, 0.8, 40)
    runs = [
        Compared("a", "none", Measurement.of(values + 0.01 * at, f"MAP@all|bits:{bits}|v:0.1"), 1.0)
        for at, bits in enumerate((16, 32, 16))
    ]
    runs = [replace(run, trials=(Trial("hag", "HAG", run.clean),)) for run in runs]
    text = Comparison(tuple(runs)).markdown()
    assert "~" not in text and "Codes of different lengths: no difference" in text
    alike = Comparison((runs[0], runs[2])).markdown()
    assert "~50.0" in alike and "different lengths" not in alike


def test_runs_of_other_code_lengths_go_through_the_same_attacks(hashprobe, encoded, tmp_path):
    other = tmp_path / "longer"
    words = "--size 8 --bits 24 --epochs 2 --batch-size 25 --lr 3e-3 --augment none"
    assert hashprobe(f"train digits {words} --out {other}").code == 0
    assert hashprobe(f"encode {other}").code == 0
    asked = SHORT.replace("--more-steps 3 --restarts 1", "--more-steps 2 --restarts 0")
    said = hashprobe(f"compare {encoded} {other} {asked} --n-t 3")
    assert said.code == 0, said.err
    rows = [line.split("|")[1].strip() for line in said.out.splitlines() if line[:1] == "|"]
    assert rows[-7:] == [
        "Noise", "HAG", "Bit margin, 2 steps", "away, 2 steps", "SAAT, 2 steps",
        "query-only, 6 asked", "transfer",
    ]  # fmt: skip
    assert "bits:24" in said.out and "~" not in said.out
    assert (encoded / "attacks/compare-hag-64of255-seed0-2-of5-3voters").is_dir()
    assert (encoded / "compare/away-64of255-seed0-2-of5-3voters").is_dir()


def test_a_target_label_needs_no_more_items_than_vote(encoded):
    run, rows = open_run(encoded), np.zeros(0, int)
    for label in range(10):
        rows = np.append(rows, np.flatnonzero(run.database.labels[:, label])[:4])
    rows.sort()
    held = run.database
    few = replace(held, codes=held.codes[rows], labels=held.labels[rows],
                  positions=held.positions[rows])  # fmt: skip
    few = replace(run, database=few)
    given = CompareOptions(queries=3, steps=1, more_steps=1, restarts=0, attacks=("hag",))
    with pytest.raises(HashprobeError, match=r"has 4; lower n_t, and minimum .* to 4$"):
        _ = Bench(few, given, Runtime()).drawn
    bench = Bench(few, replace(given, n_t=4), Runtime())
    assert bench.drawn.goal.members.shape == (3, 4)
    assert len(list(bench.trials())) == 3
    asked = Bench(few, replace(given, n_t=4, attacks=()), Runtime())
    voters = {spec.name: getattr(spec.options, "n_t", None) for _, _, spec in asked.specs()}
    assert (voters["dhta"], voters["bit-margin"], voters["p2p"], voters["tha"]) == (4, 4, 1, 1)


def test_forms_of_one_length_are_told_apart_by_their_restarts(encoded):
    given = CompareOptions(steps=5, more_steps=5, restarts=2, attacks=("hag",))
    titles = [title for _, title, _ in Bench(open_run(encoded), given, Runtime()).specs()]
    assert titles[-2:] == ["Bit margin, 5 steps", "Bit margin, 5 steps, restarts 2"]


def test_runs_of_other_inputs_are_refused_at_once(encoded):
    run = open_run(encoded)
    for contract, said in [
        (InputContract(size=16), "takes pictures of 8 px and .* pictures of 16 px"),
        (InputContract(size=8, frames=4), "pictures of 8 px and .* clips of 4 frames of 8 px"),
    ]:
        other = open_run(encoded)
        other.hasher.contract = contract
        with pytest.raises(HashprobeError, match=said):
            check_same([run, other])
    check_same([run, open_run(encoded)])


@pytest.mark.parametrize(
    ("trainer", "text"),
    [
        (P2s(), "p2s"),
        (P2s(n_t=1, own="vote"), "p2s own=vote n_t=1"),
        (P2s(eps=4 / 255, most_loss=5.0, steps=4), "p2s eps=4/255 steps=4 most_loss=5"),
        (Trades(weight=2.5), "trades weight=2.5"),
        (Trades(eps=16 / 255), "trades eps=16/255"),
        (Trades(eps=16 / 255, step_size=2 / 255), "trades eps=16/255 step_size=2/255"),
    ],
)
def test_a_defence_is_shown_with_what_differs_from_its_defaults(trainer, text):
    changed = changed_options(trainer.to_json())
    found = Compared("a", f"{trainer.name} + jpeg", None, 1.0, changed=changed)
    assert sorted(found.described.removesuffix(" + jpeg").split()) == sorted(text.split())
    assert f"| {found.described} |" in Comparison((found,)).markdown()


def test_runs_with_few_queries_cannot_be_told_apart():
    few = [Compared(n, "none", Measurement.of(np.full(5, v), "MAP@all|v:0.1"), 1.0) for n, v in
           (("a", 0.9), ("b", 0.1))]  # fmt: skip
    assert "| ~10.0" in Comparison(tuple(few)).markdown()


def test_the_own_anchor_is_nearest_to_the_relevant_items(encoded):
    run = open_run(encoded)
    anchors = own_anchors(run, np.arange(3))
    codes = run.database.codes.signs()
    for row, anchor in enumerate(anchors):
        relevant = codes[(run.database.labels & run.query.labels[row]).any(1)]
        best = cdist([anchor], relevant, "hamming").mean()
        turned = anchor * (1 - 2 * np.eye(len(anchor), dtype=int))
        assert (cdist(turned, relevant, "hamming").mean(1) >= best).all()


@pytest.mark.parametrize(
    ("trials", "saturated", "huge", "said"),
    [
        ([Trial("hag", "HAG", number(0.3))], 0.0, -0.02, []),
        (
            [
                Trial("hag", "HAG", number(0.5)),
                Trial("t", "transfer", number(0.3), gradients=False),
            ],
            0.0,
            0.0,
            ["transfer is stronger than every attack with gradients"],
        ),
        (
            [Trial("away", "away, 5", number(0.3)), Trial("away-more", "away, 9", number(0.4))],
            0.0,
            0.0,
            ["away, 9 is weaker than away, 5"],
        ),
        (
            [
                Trial("bit-margin", "short", number(0.3), number(0.5)),
                Trial("bit-margin-more", "long", number(0.2), number(0.4)),
            ],
            0.95,
            -0.5,
            ["long is weaker than short", "95% of the bits", "64/255 does not reach"],
        ),
    ],
)
def test_flags_of_masking(trials, saturated, huge, said):
    found = flags_of(number(0.9), trials, saturated, number(huge))
    assert len(found) == len(said)
    assert all(wanted in one for one, wanted in zip(found, said, strict=True))


def test_without_a_choice_every_attack_with_gradients_is_met(encoded):
    bench = Bench(open_run(encoded), CompareOptions(), Runtime())
    found = {spec.name: spec for _, _, spec in bench.specs()}
    white = {name for name, attack in ATTACKS.items() if attack.access == "white"}
    assert set(found) == white - {"mainstay", "prosgan"}
    asked = Bench(open_run(encoded), CompareOptions(attacks=("prosgan",)), Runtime())
    assert "prosgan" in {spec.name for _, _, spec in asked.specs()}
    assert found["dhta"].options.steps == 200 and found["dhta"].options.step == "scaled"


def test_what_cannot_be_compared_is_one_line(hashprobe, encoded, tmp_path):
    run = shutil.copytree(encoded, tmp_path / "bare")
    shutil.rmtree(run / "codes")
    assert "run hashprobe encode first" in hashprobe(f"compare {run}").error
    assert "a run twice" in hashprobe(f"compare {encoded} {encoded}").error
    assert "needs one run or more" in hashprobe("compare").error
    assert (
        "more_steps must be at least steps" in hashprobe(f"compare {encoded} --more-steps 9").error
    )
    assert "top must be at least 1" in hashprobe(f"compare {encoded} --top 0").error
    assert "unknown attack 'x'" in hashprobe(f"compare {encoded} --attacks x").error
    assert "square is not" in hashprobe(f"compare {encoded} --attacks square").error
    assert "unknown detector 'x'" in hashprobe(f"compare {encoded} --detector x").error
    assert "n_t must be at least 1" in hashprobe(f"compare {encoded} --n-t 0").error
    assert "query_budget must be" in hashprobe(f"compare {encoded} --query-budget 0").error
    assert "eps must be above 0" in hashprobe(f"compare {encoded} --eps 0").error
    assert "none" in hashprobe(f"compare {tmp_path / 'none'}").error
    said = hashprobe(f"compare {encoded}+x").error
    assert "unknown preprocessor 'x': choose from jpeg" in said and said.endswith("comdefend")
    assert "none does not exist" in hashprobe(f"compare {tmp_path / 'none'}+jpeg").error
    with pytest.raises(HashprobeError, match="queries must be from 1 to 200"):
        compare_runs([encoded], CompareOptions(queries=10_000))
