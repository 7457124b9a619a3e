"""Recipes computed on the digits: files, sharing, resuming, open set, several labels."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hashprobe.attacks import Attacked
from hashprobe.data import DataOptions
from hashprobe.errors import HashprobeError
from hashprobe.experiments import chosen, load_recipe, load_setting, reproduce
from hashprobe.experiments import running as running_module
from hashprobe.models import TrainOptions
from hashprobe.runs import Run
from hashprobe.workflow import Network


QUERIES = 6
RECIPES = ("table1", "figure3", "figure8")


@pytest.fixture(scope="module")
def made(tmp_path_factory, hashprobe):
    """Three recipes at 48 bits, computed by the command line; tests must not write into it."""
    out = tmp_path_factory.mktemp("reproduced")
    said = hashprobe("reproduce", *RECIPES, "--bits", 48, "--queries", QUERIES, "--out", out)
    assert said.code == 0, said.err
    return out, said


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "copy")


def setting_of(**more):
    return load_setting("digits", "bench", queries=QUERIES, **more)


def test_what_is_written_and_said(made):
    out, said = made
    folder = out / "digits-bench-default"
    names = {path.name for path in folder.iterdir()}
    texts = [f"{name}.{kind}" for name in RECIPES for kind in ("json", "csv", "md")]
    figures = [
        f"{name}.{kind}"
        for name in ("figure3-precision", "figure3-precision-recall", "figure8")
        for kind in ("svg", "png")
    ]
    assert names == {*texts, *figures, "index.html"}
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
    assert re.search(r"- DHTA is above P2P at every code length: (holds|\*\*does not)", said.out)
    assert said.out.splitlines()[-1] == f"page: {folder / 'index.html'}"


def test_the_page_holds_everything_and_needs_nothing(made):
    text = (made[0] / "digits-bench-default" / "index.html").read_text()
    assert "http:" not in text and "https:" not in text and "<script" not in text
    assert text.count("<section id=") == 4 and text.count("<svg viewBox") == 3
    for part in ("table1", "figure3", "figure8", "victims"):
        assert f'href="#{part}"' in text and f'id="{part}"' in text
    assert "What differs from the paper" in text and "the paper, ImageNet-100" in text
    table = json.loads((made[0] / "digits-bench-default" / "table1.json").read_text())
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
    # table 1: noise, P2P, DHTA; figures 3 and 8 take the same, whose target labels need as many
    # items (9) in all of them but figure 3's P2P.
    assert attacks.count("noise") == 1 and attacks.count("bit-margin") == 2


def test_the_same_again_computes_nothing(copy, hashprobe, monkeypatch):
    folder = copy / "digits-bench-default"
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
    assert said.code == 130 and "the same command goes on" in said.err
    again = []
    monkeypatch.setattr(
        running_module, "attack_run", lambda *g, **n: (again.append(g[1]), real(*g, **n))[1]
    )
    assert hashprobe("reproduce", *words).code == 0
    assert again == ["bit-margin"]


def test_a_network_made_anew_is_attacked_anew(copy):
    (victim,) = (copy / "victims").iterdir()
    before = {path.name for path in (victim / "attacks").iterdir()}
    run = Run.open(victim)
    (victim / "codes" / "query.npz").write_bytes(b"")
    checksums = json.loads((victim / "checksums.json").read_text())
    checksums["codes/query.npz"] = "0" * 64
    (victim / "checksums.json").write_text(json.dumps(checksums))
    with pytest.raises(HashprobeError, match=r"query\.npz has changed"):
        reproduce(chosen(["figure8"], setting_of(), [48]), setting_of(), copy)
    assert {path.name for path in (run.path / "attacks").iterdir()} == before


def test_the_open_set(tmp_path):
    """Targets are classes that the network never saw, and that stand in the database."""
    setting = setting_of()
    recipes = [load_recipe("table6", "default").only([16])]
    (result,) = reproduce(recipes, setting, tmp_path)
    (victim,) = (tmp_path / "victims").iterdir()
    assert "-without2-" in victim.name
    data = setting.data_of(recipes[0].all_cells()[0]).load()
    unseen = np.isin(data.label_names, data.unseen)
    assert unseen.sum() == 2
    assert not data.train.labels[:, unseen].any() and not data.query.labels[:, unseen].any()
    assert data.database.labels[:, unseen].any()
    for folder in set(result.folders.values()):
        assert Attacked.load(folder).target_labels[:, unseen].any(1).all()
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
        attacked = Attacked.load(result.folders[0, column])
        own = data.load().query.labels[attacked.query_ids]
        shared.append(int((own & attacked.target_labels).any(1).sum()))
    assert shared[0] > 0 == shared[1]


def test_what_is_refused(hashprobe, tmp_path):
    def error(*words):
        return hashprobe("reproduce", *words, "--out", tmp_path).error

    assert "name a recipe: all, or one of table1" in error()
    assert "unknown recipe 'table2'" in error("table2")
    assert "overlap needs data with several labels" in error("overlap")
    assert "cifar10 needs --root: the folder with train/" in error("table1", "--dataset", "cifar10")
    assert "nuswide-21 has no bench scale" in error(
        "table1", "--dataset", "nuswide-21", "--scale", "bench"
    )
    assert "unknown data set 'mnist'" in error("table1", "--dataset", "mnist")
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
