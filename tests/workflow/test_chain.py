"""The whole audit on the digits: what the commands leave, say, and do when they are given again."""

import html
import json
import re
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hashprobe.cli import app as cli
from hashprobe.cli import demo as demo_module
from hashprobe.codes.packed import hamming
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.chunk import Chunk
from hashprobe.data.datasets.digits import load_digits
from hashprobe.data.datasets.folder import load_folder
from hashprobe.evaluation.measures import mean_average_precision, targeted_mean_average_precision
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.storage.files import read_json
from hashprobe.storage.runs import Run
from hashprobe.types import Budget
from hashprobe.workflow.commands import attack_command, commands_of
from hashprobe.workflow.results import finished_attack, finished_attacks
from hashprobe.workflow.run_io import load_codes


NAMES = ("noise-64of255-seed1", "p2p-64of255-seed1", "dhta-64of255-seed1")


def parsed(line):
    """The arguments that the command line reads out of one line."""
    words = shlex.split(line)[1:]
    return cli.build_app().parse_args(words, exit_on_error=False, print_error=False)[1]


def contents(folder):
    """Every file below a folder with its bytes, but for the log, which grows."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "metrics.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def test_the_folder_holds_what_the_design_says(audit):
    run, _ = audit
    assert {path.name for path in run.iterdir()} == {
        "run.json",
        "environment.json",
        "metrics.jsonl",
        "checksums.json",
        "data.json",
        "model",
        "codes",
        "attacks",
        "report.html",
    }
    assert {p.name for p in (run / "model").iterdir()} == {"model.safetensors", "model.json"}
    assert {p.name for p in (run / "codes").iterdir()} == {"query.npz", "database.npz"}
    assert {p.name for p in (run / "attacks").iterdir()} == set(NAMES)
    for name in NAMES:
        folder = run / "attacks" / name
        assert {p.name for p in folder.iterdir()} == {
            "attack.json",
            "evaluation.json",
            "queries",
            "png",
        }
        ids = {p.stem for p in folder.glob("queries/*.npz")}
        assert len(ids) == 6
        assert ids == {p.stem for p in folder.glob("png/*.png")}
    assert not list(run.rglob("*.part"))
    opened = Run.open(run)
    opened.check_seals()
    assert set(opened.config) == {"data", "network", "train"}
    done = [*["epoch"] * 4, *["encoded split"] * 2, "encoded", *["attacked"] * 3]
    assert [e["event"] for e in opened.events()] == done
    sizes = json.loads((run / "data.json").read_text())["sizes"]
    assert sizes == {"query": 200, "training": 250, "database": 1347}


def test_results_go_to_stdout_and_the_rest_to_stderr(audit):
    run, said = audit
    assert said["train"].out == ""
    assert "held-out MAP" in said["train"].err
    assert re.fullmatch(r"MAP 0\.\d{3} \[.*\]  MAP@all\|norm:hits\|.*\n", said["encode"].out)
    assert said["report"].out == f"report: {run / 'report.html'}\n"
    for name in ("noise", "p2p", "dhta"):
        assert said[name].out.startswith("t-MAP after 8 bits")
        assert "tMAP@all|norm:hits|ties:stable|empty:zero|rel:any|q:6|db:1347" in said[name].out
    # The sizes of the data are worth one line, where the data come in.
    assert sum(answer.err.count("1347 database") for answer in said.values()) == 1


def test_the_numbers_are_those_of_the_pictures_on_the_disk(audit):
    run, _ = audit
    database = load_codes(Run.open(run), "database")
    query = load_codes(Run.open(run), "query")
    seen = {}
    for finished in finished_attacks(Run.open(run)):
        attacked = AttackResult.load(finished.folder)
        again = targeted_mean_average_precision(
            attacked.codes, database.codes, attacked.target_labels, database.labels
        )
        assert finished.evaluation.achieved.value == again.value
        rows = np.searchsorted(query.positions, attacked.query_ids)
        own = mean_average_precision(
            query.codes[rows], database.codes, query.labels[rows], database.labels
        )
        assert finished.evaluation.map_clean.value == own.value
        for number, query_id in enumerate(attacked.query_ids):
            with Image.open(finished.folder / "png" / f"{query_id}.png") as picture:
                pixels = np.asarray(picture).transpose(2, 0, 1)
            np.testing.assert_array_equal(pixels, attacked.images8[number].numpy())
            row = int(np.flatnonzero(query.positions == query_id)[0])
            assert attacked.clean_codes[number] == query.codes[row]
        assert finished.evaluation.perceptibility.linf_255 <= 64
        seen[finished.attack] = finished.evaluation, attacked
    # The same seed pairs the attacks: same queries, same target labels, same floor.
    for _, attacked in seen.values():
        np.testing.assert_array_equal(attacked.query_ids, seen["dhta"][1].query_ids)
        np.testing.assert_array_equal(attacked.target_labels, seen["dhta"][1].target_labels)
    values = {name: evaluation.achieved.value for name, (evaluation, _) in seen.items()}
    assert values["noise"] < values["p2p"]
    assert values["noise"] < values["dhta"]


def test_attacks_come_by_budget_and_then_by_strength(audit):
    assert tuple(f.name for f in finished_attacks(Run.open(audit[0]))) == NAMES


def test_the_report_has_every_attack_and_names_its_commands(audit):
    run, _ = audit
    page = (run / "report.html").read_text()
    for words in ("Original", "Noise", "P2P", "DHTA", "64/255", "tMAP@all|norm:hits", "1,347"):
        assert words in page
    assert "<script src" not in page
    assert page.count("data:image/png;base64,") > 20


def test_the_commands_in_the_report_lead_to_the_same_run(audit):
    run, _ = audit
    opened = Run.open(run)
    attacks = finished_attacks(opened)
    lines = commands_of(run, opened, attacks)
    assert [line.split()[1] for line in lines] == ["train", "encode", *["attack"] * 3, "report"]
    for line, finished in zip(lines[2:5], attacks, strict=True):
        bound = parsed(line)
        assert shlex.split(line)[1:3] == ["attack", finished.attack]
        given = bound.arguments
        assert given["budget"].budget == finished.budget
        assert given["protocol"].queries == 6
        assert given["protocol"].seed == 1
        steps = finished.record.options.get("steps")
        assert getattr(given.get("options"), "steps", None) == steps
    page = (run / "report.html").read_text()
    assert "hashprobe train digits --bits 16 --size 8 --epochs 4" in page


def test_every_step_given_again_changes_nothing_and_says_so(hashprobe, run):
    training = "--size 8 --bits 16 --epochs 4 --batch-size 25 --optimiser adamw --lr 3e-3"
    again = f"train digits {training} --augment none --out {run}"
    before = contents(run)
    assert "is trained already" in hashprobe(again).err
    assert "is encoded already" in hashprobe(f"encode {run}").err
    assert contents(run) == before
    attack = f"attack dhta {run} --eps 64/255 --queries 6 --seed 1 --steps 20"
    said = hashprobe(attack)
    assert "6 of 6 queries are finished already" in said.err
    assert said.out.startswith("t-MAP after 8 bits")
    assert contents(run) == before
    assert hashprobe(f"report {run}").code == 0
    assert contents(run).keys() == before.keys()


def test_another_configuration_is_refused_and_named(hashprobe, run):
    before = contents(run)
    error = hashprobe(f"train digits --size 8 --bits 24 --out {run}").error
    assert "network.bits: 16 there, 24 here" in error
    error = hashprobe(f"attack dhta {run} --eps 64/255 --queries 6 --seed 1 --steps 21").error
    assert "options.steps: 20 there, 21 here" in error
    assert "another folder or overwrite" in error
    assert contents(run) == before


def test_overwrite_replaces_another_attack_and_keeps_the_same(hashprobe, run, monkeypatch):
    attack = f"attack dhta {run} --eps 64/255 --queries 6 --seed 1 --overwrite"
    assert "6 of 6 queries are finished already" in hashprobe(f"{attack} --steps 20").err
    folder = run / "attacks" / NAMES[2]

    def stop(*_, **__):
        raise KeyboardInterrupt

    # Stopped while it replaces: the old attack is shown with its own options.
    monkeypatch.setattr(Chunk, "attack", stop)
    assert hashprobe(f"{attack} --steps 3").code == 130
    assert finished_attack(folder) is None
    shown = {f.name: f.record.options for f in finished_attacks(Run.open(run))}
    assert list(shown) == list(NAMES) and shown[NAMES[2]]["steps"] == 20
    monkeypatch.undo()
    said = hashprobe(f"{attack} --steps 3")
    assert said.code == 0
    assert "finished already" not in said.err
    assert finished_attack(folder).record.options["steps"] == 3


def test_codes_that_were_removed_are_made_again(hashprobe, run):
    before = contents(run)
    (run / "codes" / "database.npz").unlink()
    assert "is not encoded yet" in hashprobe(f"report {run}").error
    said = hashprobe(f"encode {run}")
    assert said.code == 0
    assert "already" not in said.err
    assert contents(run) == before


def test_a_report_elsewhere_and_of_another_attack(hashprobe, run, tmp_path):
    before = contents(run)
    where = tmp_path / "mail" / "page.html"
    said = hashprobe("report", run, "--out", where, "--attack", NAMES[1], "--examples", 2)
    assert (said.code, said.out) == (0, f"report: {where}\n")
    assert contents(run) == before
    page = where.read_text()
    assert page.count("<article") == page.count('soft">P2P at 64/255') == 2
    none = hashprobe("report", run, "--out", where, "--examples", 0)
    assert none.code == 0
    assert "<article" not in where.read_text()


def test_the_networks_map_is_measured_as_the_attack_is(hashprobe, encoded):
    hashprobe(f"attack noise {encoded} --queries 2 --top 50 --normaliser min")
    hashprobe(f"report {encoded}")
    text = html.unescape((encoded / "report.html").read_text())
    query, database = (load_codes(Run.open(encoded), role) for role in ("query", "database"))
    arrays = query.codes, database.codes, query.labels, database.labels
    clean = mean_average_precision(*arrays, top=50, normaliser="min")
    assert clean.signature in text
    assert f"<dt>MAP</dt><dd>{100 * clean.value:.1f} " in text


def test_curves_are_over_comparable_attacks_only(hashprobe, run, monkeypatch):
    """Another seed attacks other queries, and another name keeps two attacks apart."""
    from hashprobe.workflow import report_step as reporting

    pages = []
    monkeypatch.setattr(reporting, "write_report", lambda page, where: pages.append(page))
    assert hashprobe(f"attack noise {run} --eps 64/255 --queries 6 --seed 2").code == 0
    short = f"attack dhta {run} --eps 64/255 --queries 6 --seed 1 --steps 2 --name short"
    assert hashprobe(short).code == 0
    assert hashprobe(f"report {run} --attack {NAMES[2]}").code == 0
    (page,) = pages
    labels = [curve.label for curve in page.pr_curves]
    assert labels == ["Original", "Noise", "P2P", f"DHTA ({NAMES[2]})", "DHTA (short)"]
    assert [curve.label for curve in page.precision_curves] == labels
    assert [row.name for row in page.rows].count("Noise") == 2
    assert any(line.endswith("--name short") for line in page.commands)


def test_examples_show_what_the_search_returns(audit, hashprobe, tmp_path, monkeypatch):
    from hashprobe.workflow import report_step as reporting

    run, _ = audit
    pages = []
    monkeypatch.setattr(reporting, "write_report", lambda page, where: pages.append(page))
    out = tmp_path / "page.html"
    words = ("--attack", NAMES[2], "--examples", 99, "--out", out)
    assert hashprobe("report", run, *words).code == 0
    data, attacked = load_digits(), AttackResult.load(run / "attacks" / NAMES[2])
    database = load_codes(Run.open(run), "database")
    (page,) = pages
    assert len(page.examples) == 6
    for number, example in enumerate(page.examples):
        own = int(data.query.labels[attacked.query_ids[number]].argmax())
        target = int(attacked.target_labels[number].argmax())
        assert (example.labels, example.targets) == ((str(own),), (str(target),))
        for codes, results in (
            (attacked.clean_codes, example.before),
            (attacked.codes, example.after),
        ):
            distances = hamming(codes[number : number + 1], database.codes)[0]
            nearest = np.argsort(distances, kind="stable")[: len(results)]
            for place, found in zip(nearest, results, strict=True):
                label = int(database.labels[place].argmax())
                assert found.distance == distances[place]
                assert found.labels == (str(label),)
                assert (found.own, found.target) == (label == own, label == target)
                np.testing.assert_array_equal(found.image, data.database.source.read(int(place)))


def test_another_network_in_the_folder_encodes_anew(hashprobe, encoded):
    (encoded / "model" / "model.safetensors").unlink()
    words = "train digits --size 8 --bits 16 --epochs 4 --batch-size 25 --optimiser adamw"
    assert hashprobe(f"{words} --lr 3e-3 --augment none --out {encoded}").code == 0
    assert "is not encoded yet" in hashprobe(f"attack noise {encoded} --queries 2").error
    said = hashprobe(f"encode {encoded}")
    assert said.code == 0
    assert "already" not in said.err


@pytest.mark.parametrize("eps", [8 / 255, 0.032, 0.1, 1 / 3, 1.0])
@pytest.mark.parametrize("space", ["pixel", "normalised"])
def test_a_command_gives_its_budget_back(audit, eps, space):
    finished = finished_attacks(Run.open(audit[0]))[0]
    recipe = {**finished.record.recipe, "budget": {"eps": eps, "space": space}}
    record = replace(finished.record, recipe=recipe)
    line = attack_command(audit[0], replace(finished, record=record))
    assert parsed(line).arguments["budget"].budget == Budget(eps, space)


def test_one_target_label_by_name_and_none_in_common(hashprobe, encoded):
    words = f"attack noise {encoded} --queries 4 --target 7 --top 50 --name seven"
    assert hashprobe(words).code == 0
    attacked = AttackResult.load(encoded / "attacks" / "seven")
    assert (attacked.target_labels.argmax(1) == 7).all()
    assert attacked.target_labels.sum() == 4


def test_bad_pictures_are_named_or_left_out_and_counted(hashprobe, tmp_path):
    root, out = tmp_path / "pictures", tmp_path / "run"
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(20):
            # A grey level a class, so that there is something to learn.
            pixels = rng.integers(0, 100, (10, 12, 3)) + 150 * (label == "dog")
            Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{number}.png")
    data = load_folder(root, queries=4, training=8)
    rest = sorted(set(data.database.ids) - set(data.train.ids))
    bad = {*data.query.ids[:2], data.train.ids[2], rest[5]}
    for name in bad:
        (root / name).write_bytes((root / name).read_bytes()[:60])

    words = f"train folder --root {root} --queries 4 --training 8 --size 8 --bits 8 --epochs 1"
    train, encode = f"{words} --batch-size 8 --workers 0 --out {out}", f"encode {out} --workers 0"
    error = hashprobe(train).error
    assert f"{data.train.ids[2]}: " in error
    assert "no other image is bad (--skip-bad goes on without them)" in error
    assert "left out 1 bad training items" in hashprobe(f"{train} --skip-bad").err
    error = hashprobe(encode).error
    assert f"{data.query.ids[0]}: " in error
    assert "1 other image" in error
    said = hashprobe(f"{encode} --skip-bad")
    # Training items stand in the database, too.
    assert re.findall(r"left out (\d+) bad (\w+) items", said.err) == [
        ("2", "query"), ("2", "database")
    ]  # fmt: skip
    encoded = {role: load_codes(Run.open(out), role) for role in ("query", "database")}
    for role, codes in encoded.items():
        split = getattr(data, role)
        good = [position for position, name in enumerate(split.ids) if name not in bad]
        np.testing.assert_array_equal(codes.positions, good)
        np.testing.assert_array_equal(codes.labels, split.labels[good])

    # Queries keep their number in the split, whatever was left out before them.
    said = hashprobe(f"attack noise {out} --queries 6 --minimum 2 --workers 0")
    assert said.code == 0, said.err
    attacked = AttackResult.load(out / "attacks" / "noise-8of255-seed0")
    np.testing.assert_array_equal(attacked.query_ids, encoded["query"].positions)
    assert attacked.clean_codes == encoded["query"].codes
    assert hashprobe(f"report {out}").code == 0
    assert data.query.ids[2] in (out / "report.html").read_text()


def test_the_data_of_a_run_may_not_change(hashprobe, tmp_path):
    root = tmp_path / "pictures"
    for label in range(2):
        (root / str(label)).mkdir(parents=True)
        for number in range(12):
            grey = np.full((8, 8, 3), 100 * label + number, np.uint8)
            Image.fromarray(grey).save(root / str(label) / f"{number}.png")
    out = tmp_path / "run"
    words = "--queries 2 --training 4 --size 8 --bits 8 --epochs 1 --batch-size 8 --workers 0"
    assert hashprobe(f"train folder --root {root} {words} --out {out}").code == 0
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "0" / "5.png")
    assert "have changed since its training" in hashprobe(f"encode {out} --workers 0").error
    shutil.rmtree(root)
    assert str(root) in hashprobe(f"encode {out} --workers 0").error


def test_the_demo_runs_the_whole_audit_and_says_where_the_report_is(
    hashprobe, tmp_path, monkeypatch
):
    monkeypatch.setitem(demo_module.TRAINING, "epochs", 1)
    out = tmp_path / "demo"
    said = hashprobe(f"demo --out {out} --queries 4 --steps 2")
    assert said.code == 0, said.err
    *numbers, why, where = said.out.splitlines()
    assert where == f"report: {out / 'report.html'}"
    assert "64/255" in why
    assert [line.split("  ")[0] for line in numbers] == [
        "MAP of untouched queries",
        "t-MAP of untouched queries",
        "t-MAP of Noise",
        "t-MAP of P2P",
        "t-MAP of DHTA",
        "t-MAP of Bit margin",
    ]
    assert why in html.unescape((out / "report.html").read_text())
    assert said.err.count("1347 database") == 1
    # Again with other steps: what differs is replaced, what does not is kept.
    again = hashprobe(f"demo --out {out} --queries 4 --steps 3")
    assert again.code == 0, again.err
    assert again.err.count("4 of 4 queries are finished already") == 2
    assert len(list((out / "attacks").iterdir())) == 4


@pytest.mark.parametrize("role", ["query", "database"])
def test_codes_stand_in_the_order_of_their_split(audit, role):
    encoded = load_codes(Run.open(audit[0]), role)
    split = getattr(load_digits(), role)
    np.testing.assert_array_equal(encoded.positions, np.arange(len(split)))
    np.testing.assert_array_equal(encoded.labels, split.labels)
    assert encoded.codes.bits == 16


def test_the_table_as_markdown_and_nothing_else(audit, hashprobe):
    before = (audit[0] / "report.html").read_bytes()
    said = hashprobe("report", audit[0], "--markdown")
    head, rule, *rows = said.out.split("\n\n")[0].splitlines()
    titles = [cell.strip() for cell in head.strip("|").split("|")]
    assert rule == "|" + "---|" * len(titles)
    cells = [dict(zip(titles, map(str.strip, row[1:-1].split("|")), strict=True)) for row in rows]
    assert [row["row"] for row in cells] == ["Original", "Noise", "P2P", "DHTA"]
    for row, finished in zip(cells[1:], finished_attacks(Run.open(audit[0])), strict=True):
        result = finished.evaluation
        for title, value, sign in (
            ("t-MAP, 8 bits", result.achieved, ""),
            ("t-MAP, float", result.achieved_float, ""),
            ("ceiling", result.ceiling, ""),
            ("lift", result.lift, "+"),
            ("MAP", result.map_attacked, ""),
        ):
            assert row[title] == f"{100 * value.value:{sign}.1f}"  # six queries: no interval
            assert f"`{value.signature}`" in said.out
        wrong = result.wrong.value, result.wrong_float.value
        assert row["bits wrong, 8 bits / float"] == "{:.2f} / {:.2f}".format(*wrong)
        changes = result.perceptibility.rmse, result.perceptibility_float.rmse
        in_thousandths = "{:.2f} / {:.2f}".format(*(1000 * c for c in changes))
        assert row["perceptibility, 8 bits / float"] == in_thousandths
    assert said.err == ""
    assert (audit[0] / "report.html").read_bytes() == before


def test_attacks_that_want_no_target_code(hashprobe, encoded):
    """HAG drives queries away from their own code; feature steers to the picture of one item."""
    words = f"{encoded} --eps 64/255 --queries 6 --seed 1 --steps 30"
    before = hashprobe(f"attack noise {encoded} --eps 64/255 --queries 6 --seed 1")
    assert before.code == 0, before.err
    assert hashprobe(f"attack hag {words}").code == 0
    assert hashprobe(f"attack feature {words} --rule pgd").code == 0
    results = {}
    for name in ("noise", "hag", "feature"):
        path = encoded / "attacks" / f"{name}-64of255-seed1"
        results[name] = Evaluation.from_json(read_json(path / "evaluation.json"))
        steps = finished_attack(path).record.cost.backwards
        assert steps == (0 if name == "noise" else 30)
    assert results["hag"].map_attacked.value < results["noise"].map_attacked.value / 2
    hag, clean = (
        AttackResult.load(encoded / "attacks" / f"{name}-64of255-seed1")
        for name in ("hag", "noise")
    )
    flipped = (hag.codes.signs() != hag.clean_codes.signs()).mean()
    assert flipped > 0.5 > (clean.codes.signs() != clean.clean_codes.signs()).mean()
    assert results["feature"].achieved.value > results["noise"].achieved.value + 0.2
    assert results["feature"].wrong.value < results["feature"].wrong_clean.value
