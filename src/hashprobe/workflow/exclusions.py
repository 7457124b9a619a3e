"""Measures of a run's attacks without the items that voted or without the training items."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.evaluation.outcome import AttackCodes
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.storage.schema import AttackRecord
from hashprobe.workflow.drawing import draw_goal
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.results import Finished
from hashprobe.workflow.run_io import EncodedRun


def training_items(
    data: RetrievalData, positions: Int64[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Which database items the network was trained on, by their content.

    Args:
        data: the splits.
        positions: of the database items that were encoded.

    Returns:
        (N,) bool.

    Example:
        >>> from hashprobe.data.datasets.digits import load_digits
        >>> data = load_digits()
        >>> int(training_items(data, np.arange(len(data.database))).sum())
        0
    """
    known = set(data.train.digests())
    same = np.array([digest in known for digest in data.database.digests()])
    found: np.ndarray = same[positions]
    return found


def exclusion_of(
    victim: EncodedRun, members: Int64[np.ndarray, "q m"] | None, protocol: Protocol
) -> Exclusion | None:
    """What the measures of an attack leave out, as its protocol says.

    Args:
        victim: the run.
        members: database rows whose codes voted for each query.
        protocol: of the attack.

    Raises:
        HashprobeError: voters are to be left out and not known.
    """
    if not protocol.exclude_voters and not protocol.exclude_training:
        return None
    if protocol.exclude_voters and members is None:
        raise HashprobeError("the items that voted are not known: attack without --exclude-voters")
    training = None
    if protocol.exclude_training:
        training = training_items(victim.data, victim.database.positions)
    return Exclusion(members if protocol.exclude_voters else None, training)


def measured_without(
    finished: Finished, victim: EncodedRun, *, voters: bool, training: bool
) -> Finished:
    """An attack of a run, measured again without some database items; nothing is attacked again.

    The items that voted are drawn again from the seed. Parts after a video codec are left out, as
    no code of theirs is kept.

    Args:
        finished: the attack.
        victim: its run.
        voters: whether the items that voted for a query's target code are left out for it.
        training: whether the items of the training split are left out.

    Raises:
        HashprobeError: the items that voted are no longer known.
    """
    record, attacked = finished.record, AttackResult.load(finished.folder)
    options = record.protocol or {}
    protocol = Protocol(**{**options, "exclude_voters": voters, "exclude_training": training})
    place = {int(position): row for row, position in enumerate(victim.query.positions)}
    rows = np.array([place[int(query)] for query in attacked.query_ids])
    members = voters_of(finished, attacked, victim, rows, protocol) if voters else None
    result = evaluate_attack(
        AttackCodes(
            query=victim.query.codes[rows],
            attacked=attacked.codes,
            target=None
            if attacked.target_codes is None
            else PackedCodes.from_logits(attacked.target_codes),
            attacked_float=attacked.codes_float,
        ),
        victim.database.labelled,
        query_labels=victim.query.labels[rows],
        target_labels=attacked.target_labels,
        options=protocol.measures(),
        perceptibility=finished.evaluation.perceptibility,
        perceptibility_float=finished.evaluation.perceptibility_float,
        exclusion=exclusion_of(victim, members, protocol),
        knowledge=protocol.knowledge(options_of(record)),
    )
    return replace(finished, evaluation=result, record=replace(record, protocol=protocol.to_json()))


def options_of(record: AttackRecord) -> object:
    """The options of a kept attack; None where it is not registered."""
    known = ATTACKS.get(record.attack)
    return None if known is None else known.options(**record.options)


def voters_of(
    finished: Finished,
    attacked: AttackResult,
    victim: EncodedRun,
    rows: Sequence[int] | np.ndarray,
    protocol: Protocol,
) -> Int64[np.ndarray, "q m"]:
    """The database rows whose codes voted, drawn again; they must give the same target codes."""
    record = finished.record
    if record.attack not in ATTACKS:
        raise HashprobeError(
            f"{finished.folder}: {record.attack} is not registered, so the items that voted are "
            "not known: report without --exclude-voters"
        )
    spec = AttackSpec(
        record.attack, ATTACKS[record.attack].options(**record.options), seed=protocol.seed
    )
    goal = draw_goal(victim, np.asarray(rows), spec, protocol)
    if goal.members is None or not np.array_equal(goal.codes, attacked.target_codes):  # type: ignore[arg-type]
        raise HashprobeError(
            f"{finished.folder}: the database does not give the target codes of this attack, so "
            "the items that voted are not known: attack again"
        )
    return goal.members
