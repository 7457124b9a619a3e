"""The goal `show` of an audit: queries are steered to the results of another label."""

import numpy as np
import torch

from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import targets
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.types import Budget
from hashprobe.workflow.audit_ladder import Attacker
from hashprobe.workflow.audit_subject import Subject


def steered(subject: Subject, attacker: Attacker, eps: float) -> Evaluation:
    """MAP and t-MAP of queries that are steered to the anchor code of a random other label.

    Args:
        subject: what is audited; its labels are known.
        attacker: who attacks.
        eps: the budget.

    Raises:
        HashprobeError: no other label has enough items.
    """
    own = subject.labels
    database = Codes(subject.database, subject.item_labels)
    goal = targets(database, avoid=own, seed=attacker.seed)
    spec = AttackSpec.of(attacker.attack, attacker.options, budget=Budget(eps), seed=attacker.seed)
    codes, _, _ = attacker.crafted("show", np.arange(len(subject)), goal, spec)
    assert goal.codes is not None
    return evaluate_attack(
        AttackCodes(
            query=subject.clean,
            attacked=codes,
            target=PackedCodes.from_logits(torch.from_numpy(goal.codes).float()),
        ),
        database,
        query_labels=own,
        target_labels=goal.labels,
    )
