"""From evaluations to rows of the table, and from codes to the curves of the figures."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool

from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.curves import precision_curve, precision_recall_curve
from hashprobe.evaluation.measurement import Measurement, measure_of
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.report.content import AttackRow, Curve, Kind
from hashprobe.storage.schema import Cost
from hashprobe.types import Budget


Multihot: TypeAlias = Bool[np.ndarray, "_ _"]
"""Labels of any number of items and classes."""
UNTOUCHED = "Original"
"""The name of the untouched queries, as in the DHTA paper."""
POINTS, LONGEST = 24, 1000
"""List lengths of a precision curve: so many, up to this one."""


def untouched_rows(evaluations: Iterable[Evaluation]) -> list[AttackRow]:
    """The untouched queries, one row for each way in which they were measured.

    Args:
        evaluations: of attacks on them.

    Returns:
        Rows in the order of the evaluations; those without a t-MAP are left out where another row
        shows the same MAP.

    Example:
        >>> untouched_rows([])
        []
    """
    rows: list[AttackRow] = []
    by_tmap, by_map = set[tuple[str, float]](), set[str]()
    for result in sorted(evaluations, key=lambda one: one.floor is None):
        if result.floor is not None:
            known = way(result.floor) in by_tmap
        else:
            known = signature(result.map_clean) in by_map
        row = AttackRow(
            UNTOUCHED,
            "untouched",
            tmap=result.floor,
            own_map=result.map_clean,
            bits_wrong=result.wrong_clean,
        )
        if not known and (row.tmap or row.own_map or row.bits_wrong):
            rows.append(row)
        by_tmap.add(way(result.floor))
        by_map.add(signature(result.map_clean))
    if len(rows) < 2:
        return rows
    return [
        replace(row, name=f"{UNTOUCHED} ({how})") for row, how in zip(rows, ways(rows), strict=True)
    ]


def ways(rows: list[AttackRow]) -> list[str]:
    """What tells the measures of each row from those of the others, by their signatures."""
    parts = [signature(row.tmap or row.own_map or row.bits_wrong).split("|") for row in rows]
    common = set(parts[0]).intersection(*parts)
    own = [", ".join(part for part in each if part not in common) for each in parts]
    return [text if own.count(text) == 1 else str(place + 1) for place, text in enumerate(own)]


def signature(number: object) -> str:
    """The measure behind a number that may be missing, whatever its interval."""
    return measure_of(str(getattr(number, "signature", "")))


def way(floor: Measurement | None) -> tuple[str, float]:
    """How a floor was measured; without the items that voted it is another for other voters."""
    text = signature(floor)
    return text, floor.value if floor is not None and "without:voters" in text else 0.0


def attack_row(
    name: str, kind: Kind, budget: str, result: Evaluation, cost: Cost | None = None
) -> AttackRow:
    """One attack as a row of the table.

    Args:
        name: what the row is called.
        kind: `noise` or `attack`.
        budget: as text, such as 8/255.
        result: how the attack was evaluated; parts that are None leave their cells empty.
        cost: what it took; None where that is not known.

    Example:
        >>> from hashprobe.codes.labelled import Codes
        >>> from hashprobe.evaluation.outcome import AttackCodes
        >>> from hashprobe.evaluation.scoring import evaluate_attack
        >>> codes = PackedCodes.from_signs([[0] * 8, [1] * 8])
        >>> attack = AttackCodes(query=codes[:1], attacked=codes[1:], target=codes[1:])
        >>> done = evaluate_attack(attack, Codes.of(codes, [0, 1]), target_labels=[1])
        >>> attack_row("DHTA", "attack", "8/255", done).tmap.value
        1.0
    """
    visible, unrounded = result.perceptibility, result.perceptibility_float
    return AttackRow(
        name,
        kind,
        budget=budget,
        tmap=result.achieved,
        tmap_runs=result.achieved_runs,
        tmap_float=result.achieved_float,
        floor=result.floor,
        ceiling=result.ceiling,
        lift=result.lift,
        own_map=result.map_attacked,
        bits_wrong=result.wrong,
        bits_wrong_float=result.wrong_float,
        tmap_codec=result.achieved_codec,
        own_map_codec=result.map_codec,
        rmse=visible.rmse if visible else None,
        rmse_float=unrounded.rmse if unrounded else None,
        rmse_frames=visible.rmse_frames if visible else None,
        linf=visible.linf_255 if visible else None,
        psnr=visible.psnr if visible else None,
        ssim=visible.ssim if visible else None,
        steps=round(cost.backwards) or None if cost else None,
        seconds=cost.seconds if cost else None,
    )


def budget_text(budget: Budget) -> str:
    """A budget in as few words as possible.

    Args:
        budget: of an attack.

    Example:
        >>> budget_text(Budget(8 / 255, frames=2)), budget_text(Budget(0.1, "normalised"))
        ('8/255, at most 2 frames', '0.1 in normalised units')
    """
    return budget.size.removesuffix(" in pixels").split(" (")[0] + budget.where


def list_lengths(size: int) -> list[int]:
    """The list lengths of a precision curve over a database of some size.

    Example:
        >>> list_lengths(3)
        [1, 2, 3]
    """
    return sorted({int(n) for n in np.geomspace(1, min(LONGEST, size), POINTS)})


def curves_of(
    sets: Sequence[tuple[str, PackedCodes, Multihot]], database: PackedCodes, labels: Multihot
) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """Precision over recall, and precision of the first N results, for several sets of queries.

    Args:
        sets: name, Q codes, and the (Q, C) labels that count as right.
        database: N codes.
        labels: (N, C) labels of the database.

    Returns:
        The curves of both figures, one a set.

    Example:
        >>> import numpy as np
        >>> codes, labels = PackedCodes.from_signs(np.ones((2, 8))), np.ones((2, 1), bool)
        >>> pr, precision = curves_of([("DHTA", codes, labels)], codes, labels)
        >>> precision[0].y.tolist()
        [1.0, 1.0]
    """
    lengths = list_lengths(len(database))
    pr, precision = [], []
    for name, codes, right in sets:
        both = precision_recall_curve(codes, database, right, labels)
        pr.append(Curve(name, both.recall, both.precision, both.signature))
        found = precision_curve(lengths, codes, database, right, labels)
        precision.append(Curve(name, found.at.astype(float), found.value, found.signature))
    return tuple(pr), tuple(precision)
