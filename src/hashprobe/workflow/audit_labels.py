"""The goal `show` of an audit: queries are steered to the results of another label."""

import numpy as np
import torch

from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import targets
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import in_memory
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.text import nearest, shortened
from hashprobe.types import Budget, Labels
from hashprobe.workflow.audit_ladder import Attacker
from hashprobe.workflow.audit_subject import Subject


VOTERS = 9
"""Codes that vote on an anchor code; fewer where labels are rare."""


def steered(
    subject: Subject, attacker: Attacker, eps: float, label: str | None = None
) -> Evaluation:
    """MAP and t-MAP of queries that are steered to the anchor code of another label.

    Args:
        subject: what is audited; its labels are known.
        attacker: who attacks.
        eps: the budget.
        label: which label, for all queries that do not have it; None takes a random one each.

    Raises:
        HashprobeError: no other label has enough items, or there is no such label.
    """
    own, held, rows = subject.labels, subject.item_labels, np.arange(len(subject))
    assert own is not None and held is not None
    target, n_t = None, min(VOTERS, second_most(held))
    if label is not None:
        target = label_place(label, subject.label_names, held.shape[1])
        n_t = min(VOTERS, max(1, int(held[:, target].sum())))
        rows = np.flatnonzero(~own[:, target])
        if not len(rows):
            raise HashprobeError(f"every query has the label {label!r:.80}: there is none to steer")
    database = Codes(in_memory(subject.database), held)
    goal = targets(
        database, avoid=own[rows], n_t=n_t, target=target, seed=attacker.seed, ids=rows.tolist()
    )
    spec = AttackSpec.of(attacker.attack, attacker.options, budget=Budget(eps), seed=attacker.seed)
    codes, _, _ = attacker.crafted("show", rows, goal, spec)
    assert goal.codes is not None
    return evaluate_attack(
        AttackCodes(
            query=subject.clean[rows],
            attacked=codes,
            target=PackedCodes.from_logits(torch.from_numpy(goal.codes).float()),
        ),
        database,
        query_labels=own[rows],
        target_labels=goal.labels,
    )


def second_most(held: Labels) -> int:
    """Items of the second most common set of labels: so many may vote for any two; at least 1."""
    sets, counts = np.unique(held, axis=0, return_counts=True)
    counts = np.sort(counts[sets.any(axis=1)])[::-1]
    return int(counts[min(1, len(counts) - 1)]) if len(counts) else 1


def label_place(label: str, names: tuple[str, ...], classes: int) -> int:
    """The place of a label among those of the items, by its name or its number.

    Raises:
        HashprobeError: there is no such label.
    """
    known = names or tuple(map(str, range(classes)))
    if label not in known:
        close = nearest(label, known)
        hint = f"did you mean {close}?" if close else f"there are {shortened(', '.join(known))}"
        raise HashprobeError(f"no label is called {label!r:.80}: {hint}")
    return known.index(label)
