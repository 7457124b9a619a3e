"""What an audit finds out about a victim beside its rates: who judges, quality gate, code leak."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hashprobe.attacks.leak import code_leak
from hashprobe.codes.packed import hamming
from hashprobe.data.arrays import by_size
from hashprobe.victims.agreement import agreement
from hashprobe.victims.perceptual._pdq import pdq_quality
from hashprobe.workflow.audit_ladder import Ladder
from hashprobe.workflow.audit_subject import Subject


AGREED = 20
"""Pictures by which the torch form of a hash is compared with what judges."""
GATE = 49
"""PDQ's quality up to which matching systems drop a picture (ThreatExchange)."""
LEAKING = 4096
"""Items at most whose distances are used to find a code."""


def victim_facts(subject: Subject) -> tuple[dict[str, Any], list[str]]:
    """What is known of the victim, for the record, and what a user should know."""
    victim, few = subject.victim, list(subject.queries.fitted[:AGREED])
    facts = {"name": victim.title, "bits": victim.bits, "contract": victim.contract.to_json()}
    notes = list(getattr(victim, "notes", ()))
    if hasattr(victim, "judged_by"):
        share = agreement(victim, few if not victim.contract.size else np.stack(few))
        facts |= {"judged_by": victim.judged_by, "agreement": share}
        notes.append(
            f"codes are judged by {victim.judged_by}; the torch form that gives gradients agrees "
            f"with it in {100 * share:.2f} % of the bits of {len(few)} pictures"
        )
    inner: Any = getattr(victim, "victim", victim)
    if hasattr(inner, "difference"):
        apart: float | None = inner.difference(torch.stack(few).float() / 255)
        if apart is not None:
            facts |= {"difference": apart}
            notes.append(
                f"the converted network and onnxruntime differ by at most {apart:.1e} in the "
                f"outputs of {len(few)} pictures"
            )
    return facts, notes


def quality_gate(subject: Subject, climbs: Sequence[Ladder]) -> dict[str, float]:
    """Share of the pictures that fall below PDQ's quality gate, and would be dropped unseen.

    Args:
        subject: what is audited.
        climbs: the goals, with their attacked pictures.

    Returns:
        The gate, and shares of the untouched queries and of the attacked pictures of each goal;
        nothing for another hash.
    """
    if getattr(subject.victim, "name", "") != "pdq":
        return {}

    def dropped(pictures: list[torch.Tensor]) -> float:
        counts = [
            (pdq_quality(torch.stack([pictures[row] for row in rows])) <= GATE).sum()
            for rows in by_size(pictures).values()
        ]
        return float(sum(counts)) / max(1, len(pictures))

    shares = {"gate": float(GATE), "queries": dropped(list(subject.queries.fitted))}
    for one in climbs:
        images = [image.cpu() for image in one.images if image is not None]
        if images:
            shares[one.plan.name] = dropped(images)
    return shares


def leak_note(subject: Subject) -> str:
    """What the distances of a search give away of a query's code, in a sentence.

    Args:
        subject: what is audited.
    """
    known = subject.database[: min(len(subject.database), LEAKING)]
    leak = code_leak(hamming(subject.clean[:1], known), known)
    bits = int((leak.codes != 0).sum())
    return (
        f"distances give codes away: a search that answers those to {len(known):,} known items "
        f"determines {bits} of the {known.bits} bits of any query's code"
    )
