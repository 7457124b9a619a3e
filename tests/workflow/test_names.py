"""Names of files and labels that are not UTF-8, look like markup, or steer a terminal."""

import json
import os

import numpy as np
import pytest
from PIL import Image


LATIN = b"caf\xe9".decode("utf-8", "surrogateescape")
NAMES = (LATIN, ":dog:", "[bold]red", "\x1b[31m\x07bell", "two  spaces", "é犬")
SMALL = ("--size", 8, "--bits", 8, "--epochs", 10, "--batch-size", 6, "--augment", "none")
TRAIN = (*SMALL, "--queries", 1, "--training", 3)


@pytest.fixture
def pictures(tmp_path):
    """A tree of classes with awkward names, whose files have them too."""
    root = tmp_path / "d" / "dog"
    for number, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for i in range(5):
            colours = np.random.default_rng(10 * number + i).integers(0, 256, (2, 2, 3), np.uint8)
            pixels = np.kron(colours, np.ones((4, 4, 1), np.uint8))
            Image.fromarray(pixels).save(os.fsencode(root / name / f"{i}{name}.png"), "PNG")
    return root


def harmless(said):
    """Whether an answer succeeded and holds nothing that steers a terminal."""
    text = said.out + said.err
    text.encode()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert said.code == 0, text
    return text


def test_awkward_names_work_from_training_to_the_report(hashprobe, pictures, tmp_path):
    run = tmp_path / LATIN / "run :cat:"
    (pictures / LATIN / f"9{LATIN}.bmp").touch()
    text = harmless(hashprobe("train", "folder", "--root", pictures, "--out", run, *TRAIN))
    assert "folder:dog: 6 query" in text
    assert "1 file was left out (1 .bmp), for example caf\\xe9/9caf\\xe9.bmp" in text
    assert json.loads((run / "data.json").read_text())["label_names"] == sorted(NAMES)
    harmless(hashprobe("encode", run))
    words = ("--queries", 3, "--n-t", 2, "--minimum", 1, "--steps", 1)
    name = f"on {LATIN} :dog: \x1b[31m"
    harmless(hashprobe("attack", "dhta", run, *words, "--target", LATIN, "--name", name))
    assert "caf\\xe9" in harmless(hashprobe("report", run))
    page = (run / "report.html").read_text("utf-8")
    assert ":dog:" in page
    assert "caf\\xe9" in page
    wrong = hashprobe("attack", "dhta", run, *words, "--target", "\x1b[2Jnothing").error
    assert "'\\x1b[2Jnothing'" in wrong
    assert "caf\\xe9" in wrong


def test_a_bad_file_with_an_awkward_name_is_named(hashprobe, pictures, tmp_path):
    for name in NAMES:
        (pictures / name / f"0{name}.png").write_text("no picture")
    words = ("train", "folder", "--root", pictures, "--out", tmp_path / "run", *SMALL)
    said = hashprobe(*words, "--training", 4, "--queries", 1, "--skip-bad")
    assert "is no JPEG, PNG, WebP or GIF" in harmless(said)


@pytest.mark.parametrize("kind", ["lists", "table"])
def test_lists_and_tables_in_latin_1_name_the_files(hashprobe, pictures, tmp_path, kind):
    paths = [os.fsencode(p.relative_to(pictures)) for p in sorted(pictures.rglob("*.png"))]
    paths = [path for path in paths if b" " not in path]
    lists = tmp_path / "lists"
    lists.mkdir()
    marks = [b"1 0" if i % 2 else b"0 1" for i in range(len(paths))]
    rows = [path + b" " + mark for path, mark in zip(paths, marks, strict=True)]
    for name, part in (("test", rows[:5]), ("train", rows[5:15]), ("database", rows[5:])):
        (lists / f"{name}.txt").write_bytes(b"\n".join(part))
    table = tmp_path / "table.csv"
    lines = [
        path + b"," + mark.replace(b" ", b",") for path, mark in zip(paths, marks, strict=True)
    ]
    table.write_bytes(b"path,caf\xe9,b\n" + b"\n".join(lines))
    data, place = ("listfiles", lists) if kind == "lists" else ("table", table)
    words = ("train", data, "--root", pictures, "--lists", place, "--out", tmp_path / "run")
    harmless(hashprobe(*words, *SMALL))
    assert LATIN in json.loads((tmp_path / "run" / "data.json").read_text())["label_names"] or (
        kind == "lists"
    )


@pytest.mark.parametrize("name", ["test.txt", "label_names.txt", "table.csv"])
def test_a_nul_byte_in_a_list_or_table_is_named_with_its_line(hashprobe, pictures, tmp_path, name):
    for other in ("test", "train", "database"):
        (tmp_path / f"{other}.txt").write_text("a.png 1 0\nb.png 0 1\n")
    (tmp_path / name).write_bytes(b"path,x,y\na\0.png,1,0\n")
    data, lists = ("table", tmp_path / name) if name == "table.csv" else ("listfiles", tmp_path)
    words = ("train", data, "--root", pictures, "--lists", lists, "--out", tmp_path / "run")
    error = hashprobe(*words).error
    assert f"{tmp_path / name} is not a text file in UTF-8: it holds a NUL byte in line 2" == error
    assert not (tmp_path / "run").exists()


def test_pipes_among_pictures_are_left_out_and_named(hashprobe, pictures, tmp_path):
    os.mkfifo(pictures / "é犬" / "pipe.png")
    words = ("train", "folder", "--root", pictures, "--out", tmp_path / "run", *TRAIN)
    assert "1 file was left out (1 special file)" in harmless(hashprobe(*words))
    # A list may name the pipe all the same: it is bad, and nothing waits for it.
    for name in ("test", "train", "database"):
        (tmp_path / f"{name}.txt").write_text("é犬/pipe.png 1 0\né犬/1é犬.png 0 1\n")
    words = ("train", "listfiles", "--root", pictures, "--lists", tmp_path, *SMALL)
    assert "pipe.png: is no regular file" in hashprobe(*words, "--out", tmp_path / "b").error
