"""Which queries of a run are attacked, and where each is steered, by the protocol's seed."""

from dataclasses import replace

import numpy as np

from hashprobe.attacks._target_codes import target_codes
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import draw_target_codes, draw_target_labels
from hashprobe.attacks.trained_parts import TrainedParts
from hashprobe.codes.labelled import Codes
from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import Encoded, EncodedRun


TRAINED = "trained"
"""The folder of a run that holds them."""


def draw_queries(available: int, protocol: Protocol) -> np.ndarray:
    """Rows of the encoded queries to attack, drawn without replacement, in order."""
    if protocol.queries > available:
        raise HashprobeError(
            f"queries must be from 1 to {available}, the encoded ones; got {protocol.queries}"
        )
    rng = np.random.default_rng([protocol.seed, 0])
    return np.sort(rng.choice(available, protocol.queries, replace=False))


def draw_goal(victim: EncodedRun, rows: np.ndarray, spec: AttackSpec, protocol: Protocol) -> Goal:
    """Target labels and codes of some queries; an untargeted attack is only scored with them."""
    data, database = victim.data, victim.database
    labels, ids = victim.query.labels[rows], victim.query.positions[rows]
    n_t = getattr(spec.options, "n_t", 1)
    target, needed = None, max(protocol.minimum, n_t)
    if protocol.target is not None:
        if protocol.target not in data.label_names:
            known = ", ".join(data.label_names[:12]) + (
                ", ..." if len(data.label_names) > 12 else ""
            )
            raise HashprobeError(f"unknown target label {protocol.target!r}: choose from {known}")
        target = data.label_names.index(protocol.target)
        only = np.arange(len(data.label_names)) == target
        count = int((database.labels == only).all(1).sum())
        if count < needed:
            raise HashprobeError(
                f"target label {protocol.target!r} has {count} database items that carry it alone; "
                f"n_t or minimum ask for {needed}"
            )
    among = None
    if protocol.pool == "unseen":
        if not data.unseen:
            raise HashprobeError(
                f"{data.name} holds no class back: pool unseen needs data with unseen classes"
            )
        among = np.isin(data.label_names, data.unseen)
    chosen = draw_target_labels(
        labels,
        database.labels,
        pool="disjoint" if protocol.pool == "unseen" else protocol.pool,
        target=target,
        among=among,
        minimum=needed,
        seed=protocol.seed,
        query_ids=ids,
    )
    goal = draw_target_codes(
        database.codes,
        database.labels,
        chosen,
        n_t=n_t,
        tie=getattr(spec.options, "tie", "plus"),
        seed=protocol.seed,
        query_ids=ids,
    )
    items = known_items(database, protocol)
    code = protocol.code_of(spec.options)
    if protocol.exclude_voters and code != "vote":
        raise HashprobeError(
            f"exclude_voters leaves out the items of a vote of n_t, and target code {code} has "
            "none: leave one of them out"
        )
    if spec.attack.goal == "targeted" and code != "vote":
        codes = target_codes(
            items,
            chosen,
            code,  # type: ignore[arg-type]
            top=protocol.top,
            keep=trained_parts(victim),
        )
        goal = replace(goal, codes=codes)
    return replace(goal, own_labels=labels, known=items)


def known_items(database: Encoded, protocol: Protocol) -> Codes:
    """What of the database the adversary knows: all, or a random sample of it."""
    rows = known_rows(database, protocol)
    if len(rows) == len(database.codes):
        return Codes(database.codes, database.labels)
    return Codes(database.codes[rows], database.labels[rows])


def known_rows(database: Encoded, protocol: Protocol) -> np.ndarray:
    """The rows of the database that the adversary knows."""
    if protocol.knows is None or protocol.knows >= len(database.codes):
        return np.arange(len(database.codes))
    rng = np.random.default_rng([protocol.seed, 1])
    return np.sort(rng.choice(len(database.codes), protocol.knows, replace=False))


def trained_parts(victim: EncodedRun, progress: Progress | None = None) -> TrainedParts:
    """Where a run keeps the networks that attacks on it trained."""
    return TrainedParts(victim.run.path / TRAINED, progress)
