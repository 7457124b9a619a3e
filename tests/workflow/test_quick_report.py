"""The page of one attack from arrays alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AttackCodes
from hashprobe.evaluation.perceptibility import compare_pixels
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.types import Budget
from hashprobe.workflow import quick_report
from hashprobe.workflow.quick_report import write_quick_report


@pytest.fixture
def case():
    """Arguments of a page about four queries, twelve database items, and two classes."""
    rng = np.random.default_rng(0)
    codes = PackedCodes.from_signs(rng.integers(0, 2, (12, 16)))
    labels = np.eye(2, dtype=bool)[np.arange(12) % 2]
    pixels = rng.integers(0, 200, (12, 3, 8, 8), dtype=np.uint8)
    database = Codes(codes, labels, pixels)
    queries = Codes(codes[:4], labels[:4], pixels[:4])
    attacked = Codes(codes[4:8], labels[1:5], pixels[:4] + np.uint8(8))
    evaluation = evaluate_attack(
        AttackCodes(query=queries.packed, attacked=attacked.packed, target=codes[5:9]),
        database,
        query_labels=queries.labels,
        target_labels=attacked.labels,
        perceptibility=compare_pixels(queries.pictures, attacked.pictures),
    )
    return {
        "evaluation": evaluation,
        "queries": queries,
        "attacked": attacked,
        "database": database,
        "spec": AttackSpec("dhta", budget=Budget(8 / 255)),
    }


@pytest.fixture
def page(monkeypatch, tmp_path):
    """What is shown, caught before it is written; and it is written, too."""
    real = quick_report.write_report

    def make(**arguments):
        found = []

        def keep(data, path):
            found.append(data)
            return real(data, path)

        monkeypatch.setattr(quick_report, "write_report", keep)
        size = write_quick_report(tmp_path / "a.html", **arguments)
        assert size == (tmp_path / "a.html").stat().st_size
        text = (tmp_path / "a.html").read_text()
        assert "http:" not in text and "https:" not in text and ">None<" not in text
        return found[0]

    return make


def test_the_page_has_a_row_beside_the_untouched_queries(case, page):
    data = page(**case)
    original, row = data.rows
    assert (original.kind, original.tmap) == ("untouched", case["evaluation"].floor)
    assert (row.name, row.budget, row.tmap) == ("DHTA", "8/255", case["evaluation"].achieved)
    assert [curve.label for curve in data.pr_curves] == ["Original", "DHTA"]
    assert len(data.precision_curves) == 2
    assert dict(data.environment)["Python"] and data.version
    assert case["evaluation"].achieved.signature.startswith("tMAP")


def test_examples_show_what_the_codes_retrieve(case, page):
    data = page(**case, label_names=("cat", "dog"), examples=2)
    assert len(data.examples) == 2
    database = case["database"]
    for i, example in enumerate(data.examples):
        np.testing.assert_array_equal(example.image, case["queries"].pictures[i])
        np.testing.assert_array_equal(example.adversarial, case["attacked"].pictures[i])
        assert example.labels == (("cat", "dog")[i % 2],)
        assert example.targets == (("dog", "cat")[i % 2],)
        for side, results in (("queries", example.before), ("attacked", example.after)):
            far = hamming(case[side].packed[i : i + 1], database.packed)[0]
            nearest = np.argsort(far, kind="stable")[:10]
            assert [r.distance for r in results] == far[nearest].tolist()
            for place, found in zip(nearest, results, strict=True):
                np.testing.assert_array_equal(found.image, database.pictures[place])
                assert found.own == (place % 2 == i % 2) != found.target


def test_floating_pixels_and_tensors_are_shown_as_the_same_pictures(case, page):
    plain = page(**case).examples
    as_tensors = {
        name: replace(case[name], pictures=torch.from_numpy(case[name].pictures / 255.0))
        for name in ("queries", "attacked", "database")
    }
    for one, other in zip(plain, page(**{**case, **as_tensors}).examples, strict=True):
        np.testing.assert_array_equal(one.adversarial, other.adversarial)
        np.testing.assert_array_equal(one.after[0].image, other.after[0].image)


def test_without_pictures_of_the_database_there_are_no_results(case, page):
    data = page(**{**case, "database": replace(case["database"], pictures=None)})
    assert len(data.examples) == 4
    assert all(example.before == example.after == () for example in data.examples)
    assert page(**{**case, "queries": replace(case["queries"], pictures=None)}).examples == ()


def test_an_untargeted_attack_has_curves_by_own_labels(case, page):
    parts = dict.fromkeys(("floor", "achieved", "ceiling", "lift", "wrong_clean", "wrong"))
    data = page(
        **{
            **case,
            "evaluation": replace(case["evaluation"], **parts),
            "attacked": replace(case["attacked"], labels=None),
            "spec": AttackSpec("hag"),
        }
    )
    assert [row.tmap for row in data.rows] == [None, None]
    assert data.rows[1].own_map is not None and len(data.pr_curves) == 2
    assert all(e.labels and not e.targets for e in data.examples)


def test_without_any_labels_the_page_still_shows_pictures(case, page):
    parts = dict.fromkeys(("floor", "achieved", "ceiling", "lift", "map_clean", "map_attacked"))
    bare = {name: replace(case[name], labels=None) for name in ("queries", "attacked", "database")}
    evaluation = replace(case["evaluation"], **parts)
    data = page(**{**case, **bare, "evaluation": evaluation})
    assert data.pr_curves == data.precision_curves == ()
    assert not any(r.own or r.target for e in data.examples for r in e.after)
    assert data.rows[-1].bits_wrong is not None


def test_clips_are_shown_by_their_own_frames(case, page):
    rng = np.random.default_rng(1)
    clips = rng.integers(0, 200, (12, 6, 3, 8, 8), dtype=np.uint8)
    moved = clips[:4].copy()
    moved[:, 1] += 9
    arguments = {
        **case,
        "queries": replace(case["queries"], pictures=clips[:4]),
        "attacked": replace(case["attacked"], pictures=moved),
        "database": replace(case["database"], pictures=clips),
    }
    data = page(**arguments, lengths=torch.tensor([6, 4, 2, 6]))
    assert [example.frames for example in data.examples] == [(2,)] * 4
    assert data.examples[0].image.shape == (1, 3, 8, 8)
    assert data.examples[0].after[0].image.shape == (3, 3, 8, 8)


def test_what_does_not_fit_is_refused(case, tmp_path):
    with pytest.raises(HashprobeError, match="3 attacked queries for 4"):
        few = Codes(case["attacked"].packed[:3])
        write_quick_report(tmp_path / "a.html", **{**case, "attacked": few})
    with pytest.raises(HashprobeError, match="got -1"):
        write_quick_report(tmp_path / "a.html", **case, examples=-1)
    assert not list(tmp_path.iterdir())
