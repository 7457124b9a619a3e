"""The numbers of an audit: from codes before and after to measures with signatures."""

import numpy as np

from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.evaluation.false_matching import FalseMatches, false_matches
from hashprobe.evaluation.few_sources import Numbered
from hashprobe.evaluation.instances import Sources, survey
from hashprobe.evaluation.lists import list_overlap, list_recall, nearest_items, source_rank
from hashprobe.evaluation.matching import match_rate
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.evaluation.minimal_eps import needed_eps
from hashprobe.workflow.audit_ladder import Ladder
from hashprobe.workflow.audit_result import GoalResult
from hashprobe.workflow.audit_subject import Subject


SEARCH_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of the searches of a picture at which success is reported."""


def false_rates(subject: Subject) -> FalseMatches | None:
    """False matches, where somebody says which pictures are different."""
    if subject.sources.found.startswith("hash") or not has_others(subject.sources):
        return None
    return false_matches(subject.clean, subject.database, subject.sources)


def has_others(sources: Sources) -> bool:
    """Whether any query and item show different pictures."""
    return Numbered(sources.queries, sources.items).total > 1


def matching(subject: Subject, radius: int) -> Measurement | None:
    """The share of untouched queries that match their own source; None where none has one.

    Where the hash itself says what a source is, a query without a match counts as 0.
    """
    sources = subject.sources
    if sources.found.startswith("hash"):
        sizes = {"q": len(subject), "db": len(subject.database), "bits": subject.clean.bits}
        signature = sign(f"match@r{radius}", src=sources.found, **sizes)
        values = survey(subject.clean, subject.database, sources).matched(radius)
        return Measurement.of(np.nan_to_num(values), signature)
    if not subject.sources.known.any():
        return None
    return match_rate(subject.clean, subject.database, subject.sources, radius)


def goal_result(done: Ladder, by: str = "", searches: int = 0) -> GoalResult:
    """The numbers of one goal at every budget.

    Args:
        done: how far each query has come.
        by: by which other means the adversary works, such as a surrogate.
        searches: that the adversary may make for a picture; 0 for one that has the network.
    """
    plan = done.plan
    return GoalResult(
        plan.name,
        len(plan.rows),
        tuple((eps, plan.rate(codes)) for eps, codes in done.codes.items()),
        tuple(needed_eps(done.least, goal=plan.name)),
        tuple(float(paired_hamming(done.start, codes).mean()) for codes in done.codes.values()),
        done.passes,
        within_searches(done, searches) if searches else (),
        by,
    )


def within_searches(done: Ladder, most: int) -> tuple[tuple[int, Measurement], ...]:
    """The share of the queries that have a goal within so many searches, at the largest budget.

    A query that has it at a smaller budget counts with its searches there.
    """
    counts = sorted({max(1, round(most * share)) for share in SEARCH_SHARES})
    eps, name = f"{max(done.codes) * 255:.4g}/255", done.plan.name
    found = []
    for count in counts:
        signature = sign(f"{name}@searches{count}", eps=eps, q=len(done.took), round="uint8")
        values = (done.took <= count).astype(np.float64)
        found.append((count, Measurement.of(values, signature)))
    return tuple(found)


def list_measures(subject: Subject, done: Ladder | None, top: int) -> dict[str, Measurement]:
    """Result lists before and after evasion at the largest budget.

    Args:
        subject: what is audited.
        done: the goal `evade`; None where it was not attacked.
        top: length of a list.
    """
    # A list of all items holds every source, whatever is asked.
    if not subject.sources.known.any() or top >= len(subject.database):
        return {}
    k, sources, database = top, subject.sources, subject.database
    first = nearest_items(subject.clean, database, k)
    found = {
        "recall": list_recall(first, sources),
        "rank": source_rank(subject.clean, database, sources),
    }
    if done is None:
        return found
    data = subject.clean.data.copy()
    data[done.plan.rows] = done.codes[max(done.codes)].data
    moved = PackedCodes(data, subject.clean.bits)
    after = nearest_items(moved, database, k)
    return found | {
        "recall_attacked": list_recall(after, sources, rounding="uint8"),
        "rank_attacked": source_rank(moved, database, sources, rounding="uint8"),
        "overlap": list_overlap(first, after, rounding="uint8"),
    }


def best_budget(goals: list[GoalResult]) -> float:
    """The smallest budget at which an adversary reaches as many queries as at any.

    It is the largest where no budget reaches any.
    """
    goal = goals[0]
    top = max(rate.value for _, rate in goal.rates)
    if not top:
        return max(eps for eps, _ in goal.rates)
    return min(eps for eps, rate in goal.rates if np.isclose(rate.value, top))
