"""Codes that stand for labels, in closed form: all use every database item that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int8

from hashprobe.attacks.goal import Goal
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


Weights: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]
"""(which items are relevant to each label, the labels) -> weights of the relevant items, and of the
mean of the others."""


@checked
def vote_of_all(database: Codes, labels: Labels) -> Int8[np.ndarray, "n k"]:
    """The majority of all codes that share a label (DHTA, algorithm 1, with every item).

    Args:
        database: N codes with labels.
        labels: (Q, C) labels that are wanted; each must have an item that shares one.

    Returns:
        (Q, K) of -1 and +1; a tie is +1.

    Raises:
        HashprobeError: a database without labels, or labels that no item has.

    Example:
        >>> database = Codes.of([[1, 1, 1], [1, 1, 0], [0, 0, 0]], [0, 0, 1])
        >>> vote_of_all(database, np.array([[True, False]]))
        array([[1, 1, 1]], dtype=int8)
    """
    return from_means(database, labels, lambda relevant, labels: (relevant, 0.0))


@checked
def mean_difference(database: Codes, labels: Labels) -> Int8[np.ndarray, "n k"]:
    """sign(mean of the codes that share a label - mean of the others): CgAT's centre code.

    It has the largest mean distance to the others less the mean distance to those that share a
    label, because the Hamming distance is linear in each bit (Wang et al., WWW 2023, section 3.2).
    The paper weighs items by the likeness of their labels; its released code does not, nor does
    this.

    Args:
        database: N codes with labels.
        labels: (Q, C) labels; each must have an item that shares one.

    Returns:
        (Q, K) of -1 and +1; a tie is +1.

    Raises:
        HashprobeError: a database without labels, or labels that no item has.

    Example:
        >>> database = Codes.of([[1, 1, 1], [1, 0, 0], [1, 0, 1]], [0, 0, 1])
        >>> mean_difference(database, np.array([[True, False]]))
        array([[ 1,  1, -1]], dtype=int8)
    """
    return from_means(database, labels, lambda relevant, labels: (relevant, 1.0))


@checked
def weighted_centre(database: Codes, labels: Labels) -> Int8[np.ndarray, "n k"]:
    """sign(weighted mean of the codes that share a label - mean of the others): mainstay codes.

    The weights are the cosines of the label vectors, so that with one label an item it is
    `mean_difference` (SAAT: Yuan et al., TIFS 2023; "pharos codes" in arXiv 2303.12658).

    Args:
        database: N codes with labels.
        labels: (Q, C) labels; each must have an item that shares one.

    Returns:
        (Q, K) of -1 and +1; a tie is +1.

    Raises:
        HashprobeError: a database without labels, or labels that no item has.

    Example:
        >>> database = Codes.of([[1, 1], [0, 0]], np.array([[True, True], [True, False]]))
        >>> weighted_centre(database, np.array([[True, True]]))
        array([[1, 1]], dtype=int8)
    """

    def weights(relevant: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
        known = labels_of(database).astype(np.float64)
        sizes = np.sqrt(np.outer(labels.sum(1), known.sum(1)))
        return np.divide(labels @ known.T, sizes, out=np.zeros_like(sizes), where=sizes > 0), 1.0

    return from_means(database, labels, weights)


def relevance(database: Codes, labels: Labels) -> Bool[np.ndarray, "n d"]:
    """Which items share a label with each query.

    Raises:
        HashprobeError: a database without labels, or over other classes.
    """
    known = labels_of(database)
    if labels.shape[1] != known.shape[1]:
        raise HashprobeError(
            f"labels have {labels.shape[1]} classes but the database has {known.shape[1]}"
        )
    shared: np.ndarray = labels.astype(np.float32) @ known.T.astype(np.float32) > 0
    return shared


def from_means(database: Codes, labels: Labels, rule: Weights) -> Int8[np.ndarray, "n k"]:
    """The signs of means of codes, computed once for each label vector."""
    distinct, where = np.unique(labels, axis=0, return_inverse=True)
    relevant = relevance(database, distinct)
    if len(distinct) and not relevant.any(axis=1).all():
        row = int((~relevant.any(axis=1)).argmax())
        name = "+".join(map(str, np.flatnonzero(distinct[row]))) or "(empty)"
        raise HashprobeError(f"no database item shares a label with {name}")
    signs = database.packed.signs().astype(np.float64)
    weights, others = rule(relevant, distinct.astype(np.float64))
    mean = averaged(np.asarray(weights, np.float64), signs)
    mean -= others * averaged((~relevant).astype(np.float64), signs)
    # What is 0 but for rounding is a tie.
    codes = np.where(mean >= -1e-12, 1, -1).astype(np.int8)
    return codes[where.reshape(-1)]


def averaged(
    weights: Float64[np.ndarray, "u n"], signs: Float64[np.ndarray, "n k"]
) -> Float64[np.ndarray, "u k"]:
    """Weighted means of codes; 0 where there are no weights."""
    total = weights.sum(axis=1, keepdims=True)
    sums: np.ndarray = weights @ signs
    means: np.ndarray = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return means


def known_of(goal: Goal, labels: Labels | None, attack: str, count: int) -> tuple[Codes, Labels]:
    """What an attack by labels on so many queries is given; refuses a goal without it."""
    if goal.known is None or labels is None:
        raise HashprobeError(
            f"attack {attack} needs codes with labels of the database, and labels of the queries: "
            "make a goal by targets(database, avoid=labels)"
        )
    if len(labels) != count:
        raise HashprobeError(f"{len(labels)} labels for {count} queries: give one per query")
    return goal.known, labels
