"""The curves of a recipe's rows as numbers, query by query."""

from collections.abc import Mapping

import numpy as np

from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.evaluation.curves import listed_hits, precision_recall_curve
from hashprobe.evaluation.ranking import Ranking
from hashprobe.paper.recipe import Recipe
from hashprobe.paper.result import Curves
from hashprobe.report.rows import list_lengths
from hashprobe.types import Labels
from hashprobe.workflow.results import Finished
from hashprobe.workflow.run_io import EncodedRun


def row_codes(
    recipe: Recipe, row: int, done: Finished, victim: EncodedRun
) -> tuple[PackedCodes, Labels]:
    """The codes of a row and the labels that count as right: the own ones of `original`.

    Args:
        recipe: with one column.
        row: which row.
        done: its attack.
        victim: what was attacked.
    """
    attacked = AttackResult.load(done.folder)
    assert attacked.target_labels is not None  # every attack of a run is scored with target labels
    if recipe.cell(recipe.rows[row], recipe.columns[0]).attack != "original":
        return attacked.codes, attacked.target_labels
    rows = {int(p): place for place, p in enumerate(victim.query.positions)}
    own = victim.query.labels[[rows[int(q)] for q in attacked.query_ids]]
    return attacked.clean_codes, own


def retrieval_curves(
    recipe: Recipe, attacks: Mapping[tuple[int, int], Finished], victim: EncodedRun
) -> dict[int, Curves]:
    """The curves of every row.

    Args:
        recipe: with one column.
        attacks: the attack behind each number.
        victim: what was attacked.
    """
    found, database = {}, victim.database
    lengths = np.array(list_lengths(len(database.codes)))
    for row in range(len(recipe.rows)):
        codes, labels = row_codes(recipe, row, attacks[row, 0], victim)
        ranking = Ranking(codes, database.codes, labels, database.labels)
        precision = listed_hits(ranking, lengths, "stable") / lengths
        mean = precision_recall_curve(codes, database.codes, labels, database.labels)
        found[row] = Curves(lengths, precision, mean.recall, mean.precision)
    return found
