"""Recipes computed on the digits: files, sharing, resuming, open set, several labels."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from hashprobe.attacks import registry
from hashprobe.attacks._dhta import PRESETS
from hashprobe.attacks.registry import ATTACKS, DEFAULT
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.datasets import moving_digits
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.errors import HashprobeError
from hashprobe.paper import running as running_module
from hashprobe.paper import settings as settings_module
from hashprobe.paper.claims import verdicts
from hashprobe.paper.reproduction import chosen, reproduce
from hashprobe.paper.settings import load_setting
from hashprobe.storage.files import write_json
from hashprobe.storage.runs import Run
from hashprobe.storage.schema import AttackRecord
from hashprobe.training.options import TrainOptions
from hashprobe.workflow.network import Network


QUERIES = 6
RECIPES = ("table1", "figure3", "figure8")
NAME = f"digits-bench-default-{QUERIES}queries"


@pytest.fixture(scope="module")
def made(once, hashprobe):
    """Three recipes at 48 bits, computed by the command line; tests must not write into it."""

    def make(out):
        said = hashprobe("reproduce", *RECIPES, "--bits", 48, "--queries", QUERIES, "--out", out)
        assert said.code == 0, said.err
        return out, said

    return once("reproduced", make)


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "copy")


def setting_of(**more):
    return load_setting("digits", "bench", queries=QUERIES, **more)


def test_what_is_written_and_said(made):
    out, said = made
    folder = out / NAME
    names = {path.name for path in folder.iterdir()}
    texts = [f"{name}.{kind}" for name in RECIPES for kind in ("json", "csv", "md")]
    figures = [
        f"{name}.{kind}"
        for name in ("figure3-precision", "figure3-precision-recall", "figure8")
        for kind in ("svg", "png")
    ]
    assert names == {*texts, *figures, "table1-figure3-figure8.html"}
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 300
    table = json.loads((folder / "table1.json").read_text())
    assert len(table["numbers"]) == 7 and len(table["victims"]) == 1
    values = {number["row"]: number["value"] for number in table["numbers"]}
    assert values["Original"] < 30 < values["P2P"] <= values["target codes of P2P"] + 5
    assert values["DHTA"] > values["Original"] + 30
    assert table["changes"] and table["setting"]["preset"] == "default"
    with (folder / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == pytest.approx(list(values.values()), abs=1e-4)
    assert all(row["signature"].startswith(("tMAP@all|", "MAP@all|")) for row in rows)
    assert "not as in the paper: Network: small at 8 px" in said.err
    assert "| DHTA " in said.out and "*paper, ImageNet-100: DHTA*" in said.out
    # Six queries are too few for an interval, so nothing is decided.
    assert "- DHTA is above P2P at every code length: open (" in said.out
    assert all(number["deterministic"]["threads"] == 2 for number in table["numbers"])
    assert said.out.splitlines()[-1] == f"page: {folder / 'table1-figure3-figure8.html'}"


def test_the_page_holds_everything_and_needs_nothing(made):
    text = (made[0] / NAME / "table1-figure3-figure8.html").read_text()
    assert "http:" not in text and "https:" not in text and "<script" not in text
    assert text.count("<section id=") == 4 and text.count("<svg viewBox") == 3
    for part in ("table1", "figure3", "figure8", "victims"):
        assert f'href="#{part}"' in text and f'id="{part}"' in text
    assert "What differs from the paper" in text and "the paper, ImageNet-100" in text
    table = json.loads((made[0] / NAME / "table1.json").read_text())
    for claim in table["claims"]:
        assert claim["say"].split("'")[0] in text
    held = sum(claim["holds"] for claim in table["claims"])
    assert f"{held} of {len(table['claims'])} claims hold" in text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_recipes_share_one_network_and_its_attacks(made):
    (victim,) = (made[0] / "victims").iterdir()
    assert re.fullmatch(r"digits-dph-48bits-[0-9a-f]{8}", victim.name)
    attacks = sorted(path.name.rsplit("-", 1)[0] for path in (victim / "attacks").iterdir())
    # Table 1 has noise, P2P and DHTA; the figures take the same.
    assert attacks.count("noise") == 1 and attacks.count("bit-margin") == 2


def test_the_same_again_computes_nothing(copy, hashprobe, monkeypatch):
    folder = copy / NAME
    before = (folder / "table1.md").read_bytes(), (folder / "figure8.svg").read_bytes()
    shutil.rmtree(folder)

    def refuse(*_, **__):
        raise AssertionError("it is all there")

    monkeypatch.setattr(running_module, "attack_run", refuse)
    words = ("table1", "figure8", "--bits", 48, "--queries", QUERIES, "--out", copy)
    said = hashprobe("reproduce", *words)
    assert said.code == 0, said.err
    assert ((folder / "table1.md").read_bytes(), (folder / "figure8.svg").read_bytes()) == before


def test_goes_on_where_it_was_stopped(copy, hashprobe, monkeypatch):
    real, done = running_module.attack_run, []
    for path in (copy / "victims").glob("*/attacks/bit-margin-*"):
        shutil.rmtree(path)

    def once(*given, **named):
        if done:
            raise KeyboardInterrupt
        done.append(given[1])
        return real(*given, **named)

    monkeypatch.setattr(running_module, "attack_run", once)
    words = ("table1", "--bits", 48, "--queries", QUERIES, "--out", copy)
    said = hashprobe("reproduce", *words)
    assert said.code == 130 and "run the same command again" in said.err
    again = []
    monkeypatch.setattr(
        running_module, "attack_run", lambda *g, **n: (again.append(g[1].name), real(*g, **n))[1]
    )
    assert hashprobe("reproduce", *words).code == 0
    assert again == ["bit-margin"]


def test_a_network_made_anew_is_attacked_anew(copy):
    """Its attacks are another's, however alike they are asked for."""
    (victim,) = (copy / "victims").iterdir()
    before = {path.name for path in (victim / "attacks").iterdir()}
    model = victim / "model" / "model.safetensors"
    weights = load_file(model)
    name = next(key for key in weights if key.endswith("weight"))
    save_file({**weights, name: weights[name] * 1.01}, model)
    shutil.rmtree(victim / "codes")
    run = Run.open(victim)
    write_json(victim / "checksums.json", {})
    run.seal("model/model.safetensors", "model/model.json")
    (done,) = reproduce(chosen(["figure8"], setting_of(), [48]), setting_of(), copy)
    assert done.attacks[0, 0].folder.parent == victim / "attacks"
    assert done.attacks[0, 0].folder.name not in before


def with_options(patch, attack, **defaults):
    """Gives an attack other default options."""
    real = settings_module.options_of

    def options_of(name, **given):
        return real(name, **(defaults if name == attack else {}) | given)

    patch.setattr(settings_module, "options_of", options_of)


@pytest.mark.parametrize("change", ["version", "options"])
def test_what_was_computed_otherwise_is_computed_anew(change, copy, monkeypatch):
    if change == "version":
        other = replace(ATTACKS[DEFAULT], version=ATTACKS[DEFAULT].version + 1)
        monkeypatch.setitem(registry._known, DEFAULT, other)
    else:  # a default that has changed since
        with_options(monkeypatch, DEFAULT, steps=3)
    (victim,) = (copy / "victims").iterdir()
    before = {path.name for path in (victim / "attacks").iterdir()}
    (done,) = reproduce(chosen(["figure8"], setting_of(), [48]), setting_of(), copy)
    assert done.attacks[0, 0].folder.name not in before


def write_digits(root):
    """A tree of digits, one folder a class."""
    split = DataOptions("digits").load().database
    for i in range(300):
        path = root / str(int(split.labels[i].argmax())) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(split.source.read(i).numpy().transpose(1, 2, 0)).save(path)


def test_data_that_were_moved_are_the_same_data(tmp_path):
    write_digits(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    found = []
    for place in ("here", "there"):
        data = DataOptions("folder", root=tmp_path / place, queries=0.3, training=0.5)
        setting = replace(setting_of(unseen=0), data=data)
        (done,) = reproduce(chosen(["figure8"], setting, [48]), setting, tmp_path / "out")
        found.append((done.attacks[0, 0].folder, done.grid[0, 0].value))
        shutil.rmtree(tmp_path / place)
    assert found[0] == found[1]


def test_the_pool_of_targets_is_said_and_keeps_its_own_results(copy, hashprobe):
    words = ("table1", "--bits", 48, "--queries", QUERIES, "--out", copy, "--pool", "disjoint")
    said = hashprobe("reproduce", *words)
    assert said.code == 0, said.err
    table = copy / f"digits-bench-default-disjoint-{QUERIES}queries" / "table1.json"
    content = json.loads(table.read_text())
    assert content["setting"]["pool"] == "disjoint"
    assert "Target labels: disjoint." in content["changes"]
    for number in content["numbers"]:
        asked = AttackRecord.read(Path(number["attack"])).protocol
        assert asked["pool"] == "disjoint" and asked["minimum"] == 13
    assert (copy / NAME / "table1.json").is_file()


@pytest.mark.parametrize("preset", ["official-code", "paper"])
def test_other_presets(preset, copy, monkeypatch):
    """Queries without a hit, which the released code skips, spoil no claim."""
    short = {
        name: replace(known, options=replace(known.options, steps=5))
        for name, known in PRESETS.items()
    }
    monkeypatch.setattr(settings_module, "PUBLISHED", short)
    with_options(monkeypatch, "p2p", steps=5)
    setting = setting_of(preset=preset)
    (done,) = reproduce(chosen(["table1"], setting, [48]), setting, copy)
    skipped = preset == "official-code"
    assert ("empty:skip" in done.grid[6, 0].signature) is skipped
    assert verdicts(done) and all(verdict.numbers for verdict in verdicts(done))
    assert done.attacks[3, 0].budget.space == ("normalised" if skipped else "pixel")
    assert done.attacks[3, 0].attack == "dhta"


def test_the_open_set(tmp_path):
    """Targets are classes that the network never saw, and that stand in the database."""
    setting = setting_of()
    recipes = chosen(["table6"], setting, [16])
    (result,) = reproduce(recipes, setting, tmp_path)
    (victim,) = (tmp_path / "victims").iterdir()
    assert "-without2-" in victim.name
    data = setting.data_of(recipes[0].all_cells()[0]).load()
    unseen = np.isin(data.label_names, data.unseen)
    assert unseen.sum() == 2
    assert not data.train.labels[:, unseen].any() and not data.query.labels[:, unseen].any()
    assert data.database.labels[:, unseen].any()
    for done in result.attacks.values():
        assert AttackResult.load(done.folder).target_labels[:, unseen].any(1).all()
    values = [result.grid[i, 0].value for i in range(5)]
    assert min(values[1:]) > values[0]


def test_several_labels_an_item(tmp_path):
    """Disjoint targets share no label with the query; those that differ may."""
    rng = np.random.default_rng(0)
    lines = ["path,group,l:red,l:green,l:blue"]
    for i in range(160):
        labels = np.zeros(3, bool)
        labels[rng.choice(3, rng.integers(1, 3), replace=False)] = True
        pixels = rng.integers(0, 60, (8, 8, 3)) + 150 * labels
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i // 2}," + ",".join(str(int(v)) for v in labels))
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    data = DataOptions(
        "table",
        root=tmp_path,
        lists=tmp_path / "labels.csv",
        labels="l:",
        group="group",
        queries=0.2,
        training=0.5,
    )
    train = TrainOptions(epochs=2, batch_size=20, optimiser="adamw", lr=3e-3, augment="none")
    setting = replace(
        setting_of(multi_label=True, unseen=0),
        data=data,
        network=Network("small", size=8),
        train=train,
        long_steps=5,
    )
    (recipe,) = chosen(["overlap"], setting)
    with pytest.raises(HashprobeError, match="table6 needs data with classes to hold back"):
        chosen(["table6"], setting)
    (result,) = reproduce([recipe], setting, tmp_path / "out")
    shared = []
    for column in range(2):
        attacked = AttackResult.load(result.attacks[0, column].folder)
        own = data.load().query.labels[attacked.query_ids]
        shared.append(int((own & attacked.target_labels).any(1).sum()))
    assert shared[0] > 0 == shared[1]


def test_what_is_refused(hashprobe, tmp_path):
    def error(*words):
        return hashprobe("reproduce", *words, "--out", tmp_path).error

    assert "no recipe is named: choose all, or from table1" in error()
    assert "unknown recipe 'table12'" in error("table12")
    assert "table2 is for videos: digits has images" in error("table2")
    assert "table1 is for images: eth80 has videos" in error("table1", "--dataset", "eth80")
    assert "jhmdb needs --root: the folder of JHMDB" in error("table2", "--dataset", "jhmdb")
    assert "eth80 needs --root: the folder with one" in error("table2", "--dataset", "eth80")
    assert "ucf101 has no bench scale" in error("table2", "--dataset", "ucf101", "--scale", "bench")
    assert "overlap needs data with several labels" in error("overlap")
    assert "cifar10 needs --root: the folder with train/" in error("table1", "--dataset", "cifar10")
    assert "nuswide-21 has no bench scale" in error(
        "table1", "--dataset", "nuswide-21", "--scale", "bench"
    )
    assert "unknown data set 'mnist'" in error("table1", "--dataset", "mnist")
    assert "no recipe has a column of 24 bits" in error("all", "--bits", 24)
    assert "queries must be from 1 to 200" in error("table1", "--queries", 500)
    assert "queries must be from 1 to 120" in error(
        "table2", "--dataset", "moving-digits", "--queries", 121
    )
    assert not list(tmp_path.iterdir())


def test_the_list_names_every_recipe_with_its_time(hashprobe):
    said = hashprobe("reproduce --list --dataset cifar10")
    lines = {line.split("|")[1].strip(): line for line in said.out.splitlines()[2:]}
    assert {"table1", "figure10", "perceptibility", "all"} <= set(lines)
    assert "not on these data" in lines["overlap"]

    def minutes(name):
        return float(re.search(r"(\d+) min", lines[name])[1])

    assert minutes("table8") < minutes("table1") < minutes("table5") < minutes("all") < 90
    paper = hashprobe("reproduce --list --dataset imagenet100").out
    assert "days" in paper and "imagenet100, paper" in paper
    videos = hashprobe("reproduce --list --dataset jhmdb").out
    lines = {line.split("|")[1].strip(): line for line in videos.splitlines()[2:]}
    assert "not on these data" in lines["table1"] and "not on these data" not in lines["frames"]
    assert "jhmdb, paper" in videos


CLIPS = ("table2", "table5", "table9", "figure5", "figure6", "figure9", "frames", "perceptibility")
CLIPS_NAME = "moving-digits-bench-default-4queries"


@pytest.fixture(scope="module")
def clips(once, hashprobe):
    """What is computed on a few videos, at one code length each; the network learned little."""
    return once("clips", lambda out: clips_made(out, hashprobe))


def clips_made(out, hashprobe):
    """Networks, attacks and pages of the recipes on videos."""
    with pytest.MonkeyPatch.context() as patch:
        for name, count in (("CLIPS", 20), ("CLIP_QUERIES", 2), ("CLIP_TRAINING", 4)):
            patch.setattr(moving_digits, name, count)
        bench = settings_module.content()["datasets"]["moving-digits"]["bench"]
        patch.setitem(bench, "train", {**bench["train"], "epochs": 1})
        patch.setitem(bench, "network", {**bench["network"], "hidden": 16})
        patch.setitem(bench, "long_steps", 3)
        with_options(patch, DEFAULT, steps=3)
        words = ["--dataset", "moving-digits", "--queries", 4, "--out", out]
        tables = [name for name in CLIPS if name.startswith(("table", "perc"))]
        pictures = [name for name in CLIPS if name.startswith("figure")]
        said = [
            hashprobe("reproduce", *names, *words)
            for names in ([*tables, "--bits", 48], pictures, ["frames"])
        ]
    for one in said:
        assert one.code == 0, one.err[-900:]
    return out, said


def test_recipes_on_videos(clips):
    out, said = clips
    folder = out / CLIPS_NAME
    assert {f"{name}.json" for name in CLIPS} == {path.name for path in folder.glob("*.json")}
    for name in ("figure5-precision", "figure5-precision-recall", "figure6", "figure9", "frames"):
        assert (folder / f"{name}.svg").is_file() and (folder / f"{name}.png").is_file()
    # Both code lengths of one loss, that of the setting.
    victims = {path.name.rsplit("-", 1)[0] for path in (out / "victims").iterdir()}
    assert victims == {"moving-digits-dvh-32bits", "moving-digits-dvh-48bits"}
    assert "Data: moving digits (paper: JHMDB, UCF-101)." in said[0].err
    assert "*paper, JHMDB: DHTA*" in said[0].out and "*paper, UCF-101: DHTA*" in said[0].out
    assert "ImageNet" not in said[0].out.replace("8.35 on ImageNet", "")
    table = json.loads((folder / "table5.json").read_text())
    assert len(table["claims"]) == 3 and set(table["published"]) == {"jhmdb"}
    assert table["victims"][0]["loss"] == "dvh"
    record = AttackRecord.read(Path(table["numbers"][3]["attack"]))
    assert record.attack == "hag" and record.options["steps"] == 3


def test_the_frames_experiment_asks_for_other_budgets(clips):
    content = json.loads((clips[0] / CLIPS_NAME / "frames.json").read_text())
    budgets = [
        AttackRecord.read(Path(number["attack"])).recipe["budget"] for number in content["numbers"]
    ]
    assert [budget.get("frames") for budget in budgets] == [1, 2, 4, 8, 16, None, None, None]
    assert [budget.get("shared", False) for budget in budgets] == [False] * 6 + [True, False]
    assert len({number["attack"] for number in content["numbers"]}) == 8
    page = (clips[0] / CLIPS_NAME / "frames.html").read_text()
    assert "dotted: all frames" in page and "on all frames " in page and "Original, MAP " in page
    assert "hashprobe&#39;s own experiment" in page and content["claims"] == []


def test_perceptibility_of_clips_is_of_their_own_frames(clips):
    """As the attack itself measured it; padding does not count."""
    content = json.loads((clips[0] / CLIPS_NAME / "perceptibility.json").read_text())
    for number in content["numbers"]:
        known = json.loads((Path(number["attack"]) / "evaluation.json").read_text())
        assert number["value"] == pytest.approx(1000 * known["perceptibility"]["rmse"])
        assert number["signature"].startswith("RMSE|")
    assert content["numbers"][0]["value"] > 0
