"""Target codes by name: which code stands for a label, and what an adversary must know for it."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, Int8

from hashprobe.attacks.code_values import CodeValues, values_of
from hashprobe.attacks.importance import importance_codes
from hashprobe.attacks.label_codes import mean_difference, vote_of_all, weighted_centre
from hashprobe.attacks.prototypes import prototype_codes
from hashprobe.attacks.targets import TargetCode
from hashprobe.attacks.trained_parts import TrainedParts
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


KNOWLEDGE = MappingProxyType(
    {
        "vote": "L0",
        "vote-all": "L2",
        "mean-difference": "L2",
        "weighted": "L2",
        "best": "L2",
        "ascent": "L2",
        "prototype": "L2",
        "pairwise-prototype": "L2",
        "importance": "L2",
    }
)
"""What each target code takes of the database: L0 the codes of n_t items with the label, L2 all
codes with their labels. Of a labelled sample in place of the database all but vote are L1."""
DIRECT = MappingProxyType(
    {
        "vote-all": vote_of_all,
        "mean-difference": mean_difference,
        "weighted": weighted_centre,
        "importance": importance_codes,
    }
)
"""Codes that take the database and the labels and no more."""
MOST = 1000
"""Most distinct codes of a label that are tried as target codes, the commonest first."""


@checked
def target_codes(
    database: Codes,
    labels: Labels,
    code: TargetCode = "ascent",
    *,
    top: int | None = None,
    keep: TrainedParts | None = None,
) -> Int8[np.ndarray, "n k"]:
    """A target code for each label, by everything that is known of the database.

    - `vote-all`: the majority of the codes with the label, see `vote_of_all`;
    - `mean-difference`: CgAT's centre, see `mean_difference`;
    - `weighted`: SAAT's mainstay code, see `weighted_centre`;
    - `best`: of the database's own codes with the label the one with the highest AP (the anchor of
      SS-TUAA, ICASSP 2024; of more than 1,000 distinct codes the commonest 1,000);
    - `ascent`: single flips that raise the expected AP most, from each of those above on;
    - `prototype`: what a network from labels to codes gives, see `prototype_codes` (THA);
    - `pairwise-prototype`: the same of ProS-GAN, see `pairwise_prototype_codes`;
    - `importance`: a code that is found by gradients, see `importance_codes` (TTA-GAN).

    All but `ascent` are published. None asks how hard a code is to reach.

    Args:
        database: N codes with labels: all of them, or the sample that an adversary knows.
        labels: (Q, C) labels that are wanted, each shared by an item.
        code: which of them; `vote` takes n_t items a query, see `targets`.
        top: length of the list in which AP is counted; None for the whole database.
        keep: where networks that are trained for a code are kept; None: nowhere.

    Returns:
        (Q, K) of -1 and +1.

    Raises:
        HashprobeError: a database without labels, a label that no item has, or `vote`.

    Example:
        >>> database = Codes.of([[1, 1, 1], [1, 0, 0], [0, 0, 0]], [0, 0, 1])
        >>> target_codes(database, np.array([[True, False]]), "best")
        array([[1, 1, 1]], dtype=int8)
    """
    if code in DIRECT:
        return DIRECT[code](database, labels)
    if code == "prototype":
        return prototype_codes(database, labels, keep=keep)
    if code == "pairwise-prototype":
        from hashprobe.attacks.pairwise_prototypes import pairwise_prototype_codes

        return pairwise_prototype_codes(database, labels, keep=keep)
    if code not in ("best", "ascent"):
        raise HashprobeError(f"the code {code!r} is drawn for each query: see targets(n_t=)")
    values, kinds, which = values_of(database, labels, top)
    if not len(kinds):
        return np.empty((0, database.bits), np.int8)
    found = [best_stored(each) for each in values]
    if code == "ascent":
        starts = [vote_of_all(database, kinds), weighted_centre(database, kinds), np.stack(found)]
        found = [
            max((each.climb(start[row]) for start in starts), key=lambda one: one[1])[0]
            for row, each in enumerate(values)
        ]
    codes: np.ndarray = np.stack(found)[which]
    return codes


@checked
def code_ceilings(
    database: Codes, labels: Labels, codes: Int8[np.ndarray, "n k"], top: int | None = None
) -> Float64[np.ndarray, " n"]:
    """The expected AP@T that each target code has as a query: what a perfect attack would get.

    Args:
        database: N codes with labels.
        labels: (Q, C) target labels.
        codes: (Q, K) target codes; a bit that is 0 counts as +1.
        top: T; None for the whole database.

    Returns:
        (Q,) in [0, 1], ties in random order, divided by min(R, T).

    Raises:
        HashprobeError: a database without labels, or over other classes.

    Example:
        >>> database = Codes.of([[1, 1, 1], [1, 1, 0], [0, 0, 0]], [0, 0, 1])
        >>> code_ceilings(database, np.array([[False, True]]), np.array([[-1, -1, -1]], np.int8))
        array([1.])
    """
    values, _, which = values_of(database, labels, top)
    ceilings = np.empty(len(codes))
    for kind, each in enumerate(values):
        ceilings[which == kind] = each.at(codes[which == kind])
    return ceilings


def best_stored(values: CodeValues) -> Int8[np.ndarray, " k"]:
    """Of the codes that relevant items have the one with the highest AP."""
    relevant = np.flatnonzero(values.counts[1] > 0)
    if not len(relevant):
        raise HashprobeError("no database item shares a label with one of the targets")
    common = relevant[np.argsort(-values.counts[1][relevant], kind="stable")[:MOST]]
    aps = [values.at(values.signs[part]) for part in np.array_split(common, 1 + len(common) // 64)]
    code: np.ndarray = values.signs[common[np.concatenate(aps).argmax()]]
    return code
