"""Items that are left out of the search: as if the database of each query lacked them."""

import numpy as np
import pytest

from hashprobe.codes.labelled import Codes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.codefile import CodeFile, load_code_file, score_codes
from hashprobe.evaluation.curves import listed_hits, precision_recall_curve
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.measures import mean_average_precision, score_average_precision
from hashprobe.evaluation.outcome import AttackCodes
from hashprobe.evaluation.ranking import Ranking
from hashprobe.evaluation.scoring import evaluate_attack


OPTIONS = [
    (top, normaliser, ties)
    for top in (None, 7)
    for normaliser, ties in (
        ("hits", "stable"),
        ("hits", "best"),
        ("hits", "worst"),
        ("min", "expected"),
        ("relevant", "stable"),
    )
]


@pytest.fixture
def case(problem):
    return problem(q=6, n=60, bits=8)


@pytest.fixture
def voters():
    """Five positions a query, some none and one twice."""
    found = np.random.default_rng(1).integers(60, size=(6, 5))
    found[0, 1], found[1] = found[0, 0], -1
    return found


TRAINING = np.arange(60) % 3 == 0


def without(case, row, left_out):
    """The average precision of one query before a database that lacks some items."""
    kept = np.setdiff1d(np.arange(60), left_out)
    return (
        case.query_codes[row : row + 1],
        case.database_codes[kept],
        case.query_labels[row : row + 1],
        case.database_labels[kept],
    )


@pytest.mark.parametrize("what", ["voters", "training", "both"])
@pytest.mark.parametrize(("top", "normaliser", "ties"), OPTIONS)
@pytest.mark.parametrize("chunk", [7, 1 << 18])
def test_a_search_is_that_before_a_database_that_lacks_them(
    case, voters, what, top, normaliser, ties, chunk, monkeypatch
):
    monkeypatch.setattr("hashprobe.evaluation.ranking.CHUNK_ITEMS", chunk)
    exclusion = Exclusion(
        voters if what != "training" else None, TRAINING if what != "voters" else None
    )
    options = {"top": top, "normaliser": normaliser, "ties": ties}
    found = score_average_precision(
        "MAP", Ranking(*case.arrays, exclusion=exclusion), MeasureOptions(**options)
    )
    for row in range(6):
        gone = voters[row] if what != "training" else np.zeros(0, int)
        if what != "voters":
            gone = np.append(gone, np.flatnonzero(TRAINING))
        alone = mean_average_precision(*without(case, row, gone), **options)
        assert found.per_query[row] == pytest.approx(alone.value), row
    name = {"both": "voters+training"}.get(what, what)
    assert f"|rel:any|without:{name}|q:6|db:{60 if what == 'voters' else 40}|" in found.signature


def test_precision_by_length_and_radius_leave_them_out(case, voters):
    ranking = Ranking(*case.arrays, exclusion=Exclusion(voters))
    hits = listed_hits(ranking, np.array([1, 10]), "stable")
    counts = ranking.counts(slice(0, 6))
    for row in range(6):
        alone = Ranking(*without(case, row, voters[row]))
        assert hits[row].tolist() == listed_hits(alone, np.array([1, 10]), "stable")[0].tolist()
        assert counts.total[row].tolist() == alone.counts(slice(0, 1)).total[0].tolist()
    assert precision_recall_curve(*case.arrays).recall[-1] == 1


def test_an_attack_without_its_voters_and_training_items(attack):
    """Ten database items with the target label vote; what they add to t-MAP is gone."""
    labels = attack["database_labels"]
    voters = np.stack([np.flatnonzero((labels & t).any(1))[:10] for t in attack["target_labels"]])
    codes = AttackCodes(attack["query"], attack["attacked"], attack["target"])
    database = Codes(attack["database"], labels)

    def measured(exclusion):
        return evaluate_attack(
            codes,
            database,
            query_labels=attack["query_labels"],
            target_labels=attack["target_labels"],
            exclusion=exclusion,
        )

    whole, fewer = measured(None), measured(Exclusion(voters, np.arange(len(labels)) < 20))
    for part in ("floor", "achieved", "ceiling", "lift", "map_clean", "map_attacked"):
        assert "without:voters+training" in getattr(fewer, part).signature
        assert "without" not in getattr(whole, part).signature
    assert "without" not in fewer.wrong.signature
    assert fewer.ceiling.value != whole.ceiling.value
    with pytest.raises(HashprobeError, match="different measures"):
        _ = fewer.achieved - whole.achieved


@pytest.mark.parametrize(
    ("voters", "training", "words"),
    [
        (
            np.zeros((5, 2), int),
            None,
            r"one row of positions a query, \(6, M\); got shape \(5, 2\)",
        ),
        (np.full((6, 1), 60), None, "positions below the database's 60, or -1; got 60"),
        (np.full((6, 1), -2), None, "positions below the database's 60, or -1; got -2"),
        (None, np.zeros(5, bool), r"one bool an item, \(60,\); got bool of shape \(5,\)"),
        (None, np.ones(60, bool), "all database items are training items"),
        (None, None, "nothing is excluded"),
    ],
)
def test_what_does_not_fit_is_refused(case, voters, training, words):
    with pytest.raises(HashprobeError, match=words):
        Ranking(*case.arrays, exclusion=Exclusion(voters, training))


def test_a_code_file_names_voters_and_training_items(case, voters, tmp_path, hashprobe):
    path = tmp_path / "codes.npz"
    arrays = {
        "database_codes": case.database_codes.signs(),
        "query_codes": case.query_codes.signs(),
        "database_labels": case.database_labels,
        "query_labels": case.query_labels,
        "target_labels": case.query_labels,
    }
    np.savez(path, **arrays, voters=voters, training=TRAINING)
    file = load_code_file(path)
    whole = score_codes(file)
    fewer = score_codes(file, exclude_voters=True, exclude_training=True)
    ranking = Ranking(*case.arrays, exclusion=Exclusion(voters, TRAINING))
    expected = score_average_precision("MAP", ranking, MeasureOptions())
    assert fewer["map"].value == expected.value != whole["map"].value
    assert all("without:voters+training" in score.signature for score in fewer.values())
    said = hashprobe("evaluate", path, "--exclude-voters")
    assert said.code == 0 and "without:voters|" in said.out
    np.savez(path, **arrays)
    said = hashprobe("evaluate", path, "--exclude-training")
    assert said.code == 2 and "it lacks training" in said.error
    huge = np.full(voters.shape, 2**64 - 1, np.uint64)
    np.savez(path, **arrays, voters=huge)
    with pytest.raises(HashprobeError, match="voters must be database positions; got 18446744073"):
        load_code_file(path)
    np.savez(path, **arrays, voters=voters.astype(float))
    with pytest.raises(HashprobeError, match="voters must be database positions"):
        load_code_file(path)


def test_a_code_file_without_either_says_so(case):
    file = CodeFile(*case.arrays[:2], case.database_labels, case.query_labels)
    assert file.exclusion(False, False) is None
    with pytest.raises(HashprobeError, match="it lacks voters"):
        file.exclusion(True, False)
