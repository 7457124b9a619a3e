"""hashprobe evaluate: codes in every form, JSON, wrong files."""

import json
import subprocess
import sys

import numpy as np
import pytest


def both(turn):
    return lambda a: {key: turn(a[key]) for key in ("database_codes", "query_codes")}


def packed(a):
    return {**both(lambda s: np.packbits(s > 0, axis=1))(a), "bits": np.array(16)}


def multi_hot(a):
    return {k: np.eye(3, dtype=np.uint8)[a[k]] for k in a if k.endswith("labels")}


FORMS = {
    "zero-one": both(lambda s: (s > 0).astype(np.int64)),
    "bool": both(lambda s: s > 0),
    "floats": both(lambda s: s.astype(np.float32)),
    "packed": packed,
    "multi-hot": multi_hot,
    "packed and multi-hot": lambda a: {**packed(a), **multi_hot(a)},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_codes_in_every_form_give_the_same_json(hashprobe, codes, form):
    plain = hashprobe("evaluate", codes(), "--json")
    other = hashprobe("evaluate", codes(form, "other.npz"), "--json")
    assert (other.code, other.err) == (0, "")
    assert other.out == plain.out


def test_json_is_one_object_and_nothing_else(hashprobe, codes):
    said = hashprobe("evaluate", codes(), "--json")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n") == 1
    scores = json.loads(said.out)
    assert list(scores) == ["map", "precision", "tmap"]
    for name, sign in (("map", "MAP@all|"), ("precision", "P@50|"), ("tmap", "tMAP@all|")):
        assert list(scores[name]) == ["value", "low", "high", "signature"]
        assert scores[name]["signature"].startswith(sign)
        assert 0 <= scores[name]["low"] <= scores[name]["value"] <= scores[name]["high"] <= 1
    assert scores["map"]["value"] > 0.6 > scores["tmap"]["value"]
    without = hashprobe("evaluate", codes(lambda a: {"target_labels": None}), "--json")
    assert list(json.loads(without.out)) == ["map", "precision"]


def test_options_of_evaluate_go_into_the_signature(hashprobe, codes):
    words = "--top 7 --normaliser min --ties worst --empty skip --json"
    said = hashprobe("evaluate", codes(), *words.split())
    scores = json.loads(said.out)
    assert scores["map"]["signature"].startswith("MAP@7|norm:min|ties:worst|empty:skip|")
    assert scores["precision"]["signature"].startswith("P@7|ties:worst|")


def test_without_json_a_line_each_with_interval_and_signature(hashprobe, codes):
    said = hashprobe("evaluate", codes(), "--top", "5")
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == ["MAP", "precision", "t-MAP"]
    assert all("|v:" in line and "[" in line for line in lines)


def test_evaluate_loads_no_torch(codes):
    code = f"""
import sys
from hashprobe.cli import main
main(["evaluate", {str(codes())!r}, "--json"])
print([m for m in ("torch", "faiss", "matplotlib") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, last = done.stdout.splitlines()
    assert json.loads(first)["map"]
    assert last == "[]"


BAD_FILES = {
    "codes too long": (both(lambda s: np.tile(s, (1, 257))), "4112"),
    "bits that do not agree": (lambda a: {**packed(a), "bits": np.array(24)}, "24"),
    "codes of two lengths": (lambda a: {"query_codes": a["query_codes"][:, :8]}, "8 and 16 bits"),
    "an empty database": (
        lambda a: {k: a[k][:0] for k in ("database_codes", "database_labels")},
        "there are no database codes",
    ),
    "no queries": (
        lambda a: {k: a[k][:0] for k in ("query_codes", "query_labels", "target_labels")},
        "there are no query codes",
    ),
    "too few database labels": (
        lambda a: {"database_labels": a["database_labels"][:9]},
        "9 database labels for 50 database codes",
    ),
    "too few query labels": (
        lambda a: {"query_labels": a["query_labels"][:9]},
        "9 query labels for 10 query codes",
    ),
    "too few targets": (lambda a: {"target_labels": a["target_labels"][:9]}, "9 target labels"),
    "an unknown target": (lambda a: {"target_labels": a["target_labels"] + 40}, "target label 4"),
    "NaN": (lambda a: {"query_codes": np.full((10, 16), np.nan)}, "nan"),
    "numbers that are no bits": (lambda a: {"query_codes": a["query_codes"] * 3}, "3"),
    "one code, not a list": (lambda a: {"query_codes": a["query_codes"][0]}, "(16,)"),
    "no labels": (lambda a: {"query_labels": None}, "lacks query_labels"),
}


@pytest.mark.parametrize(("change", "words"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_a_wrong_code_file_is_one_line(hashprobe, codes, change, words, json_too):
    said = hashprobe("evaluate", codes(change), *json_too)
    assert words in said.error
    assert "codes.npz" in said.error
    assert said.out == ""


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_truncated_code_file_is_one_line(hashprobe, codes, share):
    path = codes()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "codes.npz is no npz file or was cut off" in hashprobe("evaluate", path).error


def test_a_pickle_in_a_code_file_is_not_run(hashprobe, codes, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    path = codes(lambda a: {"query_labels": np.array([Trap()] * 10, dtype=object)})
    assert "holds Python objects (a pickle)" in hashprobe("evaluate", path).error
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--top 0", "top must be at least 1"),
        ("--top many", "--top"),
        ("--ties best-of", "--ties"),
        ("--normaliser mim", 'Did you mean "min"'),
        ("--josn", "--json"),
    ],
)
def test_wrong_options_of_evaluate(hashprobe, codes, words, named):
    assert named in hashprobe("evaluate", codes(), *words.split()).error
