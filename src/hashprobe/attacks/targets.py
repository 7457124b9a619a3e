"""From labels to target codes: which label a query is steered to, and which code stands for it."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int8, Int64

from hashprobe.attacks.goal import Goal
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import (
    LABEL_STREAM,
    MEMBER_STREAM,
    Queries,
    QueryIds,
    checked_ids,
    seed_of,
)
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels, check_whole


Tie = Literal["plus", "zero"]
Pool = Literal["differs", "disjoint"]
TargetCode = Literal[
    "vote",
    "vote-all",
    "mean-difference",
    "weighted",
    "best",
    "ascent",
    "prototype",
    "pairwise-prototype",
    "importance",
]
"""Which code stands for a target label; see `target_codes`."""


@checked
def targets(
    database: Codes,
    *,
    avoid: Any = None,
    n_t: int = 9,
    tie: Tie = "plus",
    pool: Pool = "differs",
    target: int | None = None,
    minimum: int | None = None,
    seed: int = 0,
    ids: QueryIds | None = None,
    code: TargetCode = "vote",
) -> Goal:
    """A goal for each query: the vote of n_t codes of a random other label (DHTA, section 3.2).

    Args:
        database: codes with labels, from `Victim.encode`.
        avoid: labels of the Q queries, (Q,) classes or (Q, C) multi-hot: each query is steered to
            another label. They are kept with the goal, for MAP by the queries' own labels.
        n_t: how many codes vote on a target code; 1 is the point-to-point attack P2P.
        tie: what a bit becomes for which as many codes vote +1 as -1: `plus`, or `zero`.
        pool: `differs`: another label vector than the query's; `disjoint`: no label in common.
        target: one class for all queries, instead of a draw.
        minimum: fewest database items that must carry a target label; by default n_t.
        seed: 0 or above.
        ids: (Q,) one whole number per query; with the seed they decide on what is drawn. By default
            0 to Q - 1.
        code: which code stands for a label: `vote`, or one of `target_codes`, which know codes and
            labels of the whole database that is given.

    Returns:
        Target codes (Q, K), target labels, and what is known of the queries' own labels.

    Raises:
        HashprobeError: a database without labels, neither `avoid` nor `target` with `ids`, or as
            `draw_target_labels` and `draw_target_codes`.

    Example:
        >>> codes = PackedCodes.from_signs(np.repeat([[1] * 12, [0] * 12], 9, axis=0))
        >>> goal = targets(Codes.of(codes, [0] * 9 + [1] * 9), avoid=[0, 1])
        >>> goal.labels.argmax(1), goal.codes[:, 0]
        (array([1, 0]), array([-1,  1], dtype=int8))
    """
    known = labels_of(database)
    classes = known.shape[1]
    if avoid is None and (target is None or ids is None):
        raise HashprobeError("say which labels the queries have (avoid=), or target= and ids=")
    own = np.zeros((len(ids or ()), classes), bool) if avoid is None else as_labels(avoid, classes)
    chosen = draw_target_labels(
        own,
        known,
        pool=pool,
        target=target,
        minimum=n_t if minimum is None else max(n_t, minimum),
        seed=seed,
        query_ids=ids,
    )
    goal = draw_target_codes(
        database.packed, known, chosen, n_t=n_t, tie=tie, seed=seed, query_ids=ids
    )
    if code != "vote":
        from hashprobe.attacks._target_codes import target_codes

        goal = replace(goal, codes=target_codes(database, chosen, code))
    return replace(
        goal,
        own_labels=None if avoid is None else own,
        images=examples(database, goal),
        known=Codes(database.packed, known, database.pictures),
    )


def examples(database: Codes, goal: Goal) -> Queries | None:
    """One picture with the target label for each query, where the database has pictures."""
    if database.pictures is None or len(database.pictures.shape) != 4:
        return None
    from hashprobe.data.arrays import as_queries

    assert goal.members is not None
    return as_queries(database.pictures[goal.members[:, 0]])


@checked
def vote(signs: Int8[np.ndarray, "*q n k"], *, tie: Tie = "plus") -> Int8[np.ndarray, "*q k"]:
    """The majority of n codes in each bit (DHTA, section 3.2, algorithm 1, equations 6 and 7).

    Of all codes it has the smallest mean Hamming distance to the n codes (theorem 1).

    Args:
        signs: (..., n, K) with entries -1 and +1.
        tie: what a bit becomes for which as many codes have +1 as -1, which takes an even n:
            `plus` is +1, as in the paper; `zero` is 0, as in its released code: an objective gets
            no gradient from that bit. What is searched for or counted in bits, as a target code's
            own t-MAP is, has no third value: there a 0 is +1, the sign of zero.

    Returns:
        (..., K) with entries -1 and +1, and 0 only for `zero`.

    Raises:
        HashprobeError: no codes, or an unknown tie.

    Example:
        >>> signs = np.array([[1, 1, -1], [1, -1, -1]], np.int8)
        >>> vote(signs), vote(signs, tie="zero")
        (array([ 1,  1, -1], dtype=int8), array([ 1,  0, -1], dtype=int8))
    """
    if not signs.shape[-2]:
        raise HashprobeError("there are no codes to vote: n_t must be at least 1")
    if tie not in ("plus", "zero"):
        raise HashprobeError(f"tie must be plus or zero; got {tie!r}")
    balance = signs.sum(axis=-2, dtype=np.int64)
    winner = np.sign(balance) if tie == "zero" else np.where(balance >= 0, 1, -1)
    return winner.astype(np.int8)


@checked
def anchor_code(codes: PackedCodes, *, tie: Tie = "plus") -> Int8[np.ndarray, " k"]:
    """The anchor code of a set of codes: `vote` over all of them (DHTA, algorithm 1).

    Args:
        codes: n codes of K bits, n at least 1.
        tie: what a tied bit becomes, `plus` or `zero`; see `vote`.

    Returns:
        (K,) with entries -1 and +1, and 0 only for `zero`.

    Raises:
        HashprobeError: no codes, or an unknown tie.

    Example:
        >>> anchor_code(PackedCodes.from_signs([[1] * 8, [0] * 8, [0, 1] * 4]))
        array([-1,  1, -1,  1, -1,  1, -1,  1], dtype=int8)
    """
    return vote(codes.signs(), tie=tie)


@checked
def draw_target_labels(
    query_labels: Labels,
    database_labels: Bool[np.ndarray, "d c"],
    *,
    pool: Pool = "differs",
    target: int | None = None,
    among: Bool[np.ndarray, " c"] | None = None,
    minimum: int = 9,
    seed: int = 0,
    query_ids: QueryIds | None = None,
) -> Labels:
    """A random target label for each query (DHTA, section 4.2).

    Candidates are the distinct label vectors of the database that are not empty, fit the pool and
    are carried by at least `minimum` items. The draw is uniform over these vectors, not over
    items, and depends only on seed, query id and the two sets of labels. To compare attacks on the
    same target labels, keep `minimum` the same for all (P2P needs 1 item, DHTA needs n_t).

    Args:
        query_labels: (Q, C) multi-hot.
        database_labels: (D, C) multi-hot.
        pool: `differs`: another label vector than the query's, which may share labels with it (as
            the paper and its released code); `disjoint`: no label in common.
        target: instead of a draw, the class index from 0 to C - 1 of the one label that every
            query gets. Queries that carry it already are not left out.
        among: classes that a target label may carry; by default all. The open set of DHTA, section
            4.5, draws among classes that the hasher never saw.
        minimum: fewest database items that must carry exactly the target label, at least 1.
        seed: 0 or above.
        query_ids: one whole number per query; by default 0 to Q - 1.

    Returns:
        (Q, C) multi-hot.

    Raises:
        HashprobeError: an empty database, label sets of different C, an unknown target label, or
            a query for which no candidate is left.

    Example:
        >>> database = np.repeat(np.eye(3, dtype=bool), 9, axis=0)
        >>> draw_target_labels(np.eye(3, dtype=bool), database, seed=1).argmax(1)
        array([2, 0, 0])
    """
    ids = checked_ids(query_ids, len(query_labels))
    check_label_sets(query_labels, database_labels)
    vectors, _, counts = groups(database_labels)
    if target is not None:
        classes = database_labels.shape[1]
        if not 0 <= target < classes:
            raise HashprobeError(
                f"unknown target label {target}: labels run from 0 to {classes - 1}"
            )
        wanted = np.arange(classes) == target
        carriers = counts[(vectors == wanted).all(1)].sum()
        if carriers < max(1, minimum):
            raise too_few(wanted, carriers, minimum)
        return np.repeat(wanted[None], len(ids), axis=0)
    if pool not in ("differs", "disjoint"):
        raise HashprobeError(f"target label pool must be differs or disjoint; got {pool!r}")
    fitting = vectors.any(1) if among is None else vectors.any(1) & ~(vectors & ~among).any(1)
    enough = fitting & (counts >= max(1, minimum))
    if not enough.any():
        most = int(counts[fitting].max(initial=0))
        raise HashprobeError(
            f"no target label has {minimum} database items or more, which n_t or minimum ask for: "
            f"the most common one has {most}" + lower(most)
        )
    chosen = np.zeros_like(query_labels)
    for row, (query_id, label) in enumerate(zip(ids, query_labels, strict=True)):
        away = (vectors != label).any(1) if pool == "differs" else ~(vectors & label).any(1)
        candidates = np.flatnonzero(enough & away)
        if not len(candidates):
            most = int(counts[fitting & away].max(initial=0))
            raise HashprobeError(
                f"no target label for query {query_id}: of {len(vectors)} label vectors in the "
                f"database {enough.sum()} have {minimum} items or more and none of them "
                + ("differs from its own" if pool == "differs" else "is disjoint with its own")
                + lower(most)
            )
        rng = np.random.default_rng(seed_of(seed, query_id, LABEL_STREAM))
        chosen[row] = vectors[candidates[rng.integers(len(candidates))]]
    return chosen


@checked
def draw_target_codes(
    database_codes: PackedCodes,
    database_labels: Bool[np.ndarray, "d c"],
    target_labels: Labels,
    *,
    n_t: int = 9,
    tie: Tie = "plus",
    seed: int = 0,
    query_ids: QueryIds | None = None,
) -> Goal:
    """The vote of n_t random database items with exactly the target label (DHTA, section 4.2).

    Items are drawn without replacement. The draw depends only on seed, query id and the database,
    and a smaller n_t takes the first of those that a larger one takes: with the same seed P2P
    aims at the first of the nine codes that DHTA lets vote, so the two are compared in pairs.

    Args:
        database_codes: D codes of K bits.
        database_labels: (D, C) multi-hot, row by row those of `database_codes`.
        target_labels: (Q, C) multi-hot.
        n_t: how many codes vote, from 1 to the number of items with the target label.
        tie: what a tied bit becomes, `plus` or `zero`; see `vote`.
        seed: 0 or above.
        query_ids: one whole number per query; by default 0 to Q - 1.

    Returns:
        Target codes (Q, K), their labels (Q, C) and members (Q, n_t).

    Raises:
        HashprobeError: n_t below 1 or above the number of items with a target label, a target
            label that no item carries, labels of another length than codes or of another C.

    Example:
        >>> database = PackedCodes.from_signs(np.repeat([[1] * 8, [0] * 8], 9, axis=0))
        >>> labels = np.repeat(np.eye(2, dtype=bool), 9, axis=0)
        >>> drawn = draw_target_codes(database, labels, np.array([[False, True]]), n_t=3)
        >>> drawn.codes, drawn.members.shape
        (array([[-1, -1, -1, -1, -1, -1, -1, -1]], dtype=int8), (1, 3))
    """
    check_whole("n_t", n_t)
    ids = checked_ids(query_ids, len(target_labels))
    check_label_sets(target_labels, database_labels)
    if n_t > len(database_labels):
        raise HashprobeError(f"n_t is {n_t} but the database has {len(database_labels)} items")
    if len(database_codes) != len(database_labels):
        raise HashprobeError(
            f"{len(database_labels)} database labels for {len(database_codes)} database codes"
        )
    vectors, group_of, counts = groups(database_labels)
    items = np.argsort(group_of, kind="stable")
    ends = np.cumsum(counts)
    known = {vector.tobytes(): group for group, vector in enumerate(vectors)}
    members = np.empty((len(ids), n_t), np.int64)
    for row, (query_id, label) in enumerate(zip(ids, target_labels, strict=True)):
        group = known.get(label.tobytes())
        count = 0 if group is None else int(counts[group])
        if group is None or count < n_t:
            raise too_few(label, count, n_t, query_id)
        rng = np.random.default_rng(seed_of(seed, query_id, MEMBER_STREAM))
        members[row] = items[ends[group] - count + rng.permutation(count)[:n_t]]
    signs = database_codes[members.reshape(-1)].signs()
    codes = vote(signs.reshape(len(ids), n_t, database_codes.bits), tie=tie)
    return Goal(codes=codes, labels=target_labels.copy(), members=members)


def groups(
    labels: Labels,
) -> tuple[Bool[np.ndarray, "u c"], Int64[np.ndarray, " n"], Int64[np.ndarray, " u"]]:
    """Distinct label vectors in an order of their own, the vector of each item, items of each."""
    packed = np.packbits(labels, axis=1)
    distinct, group_of, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
    vectors = np.unpackbits(distinct, axis=1, count=labels.shape[1]).astype(bool)
    return vectors, group_of.reshape(-1).astype(np.int64), counts.astype(np.int64)


def lower(most: int) -> str:
    """What to do where no target label has as many items as asked for."""
    return f"; lower n_t, and minimum where there is one, to {most}" if most else ""


def too_few(
    label: Bool[np.ndarray, " c"], count: int | np.integer, n_t: int, query_id: int | None = None
) -> HashprobeError:
    """The sentence for a target label that fewer than n_t database items carry."""
    name = "+".join(map(str, np.flatnonzero(label))) or "(empty)"
    whose = "" if query_id is None else f" (query {query_id})"
    if not count:
        return HashprobeError(
            f"unknown target label {name}{whose}: no database item carries exactly that"
        )
    return HashprobeError(
        f"n_t is {n_t} but only {count} database items carry exactly target label {name}{whose}"
    )


def check_label_sets(some: Labels, database: Bool[np.ndarray, "d c"]) -> None:
    """Refuses an empty database and labels over another number of classes."""
    if not len(database):
        raise HashprobeError("the database is empty: there is nothing to steer a query to")
    if some.shape[1] != database.shape[1]:
        raise HashprobeError(
            f"queries have {some.shape[1]} classes but the database has {database.shape[1]}"
        )
