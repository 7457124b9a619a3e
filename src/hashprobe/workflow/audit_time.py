"""How long the attacks of an audit take at most."""

from collections.abc import Sequence

from hashprobe.attacks.climb import QueryOptions
from hashprobe.data.queries import Queries
from hashprobe.victims.encoding import device_of
from hashprobe.workflow.audit_ladder import Plan, halvings
from hashprobe.workflow.audit_options import AuditFiles, AuditOptions
from hashprobe.workflow.audit_remedies import attacks_of_remedies
from hashprobe.workflow.audit_subject import Subject, encoded
from hashprobe.workflow.expected import attack_seconds, timed


TIMED = 16
"""Pictures on which an attack is timed."""


def seconds_each(subject: Subject, options: object) -> float:
    """Seconds that one attack of one query takes at most.

    Args:
        subject: what is audited.
        options: of the attack.
    """
    pixels = subject.queries.fitted[0][None].repeat(TIMED, 1, 1, 1)
    if isinstance(options, QueryOptions):
        shown = timed(lambda: encoded(subject.victim, list(pixels)), device_of(subject.victim))
        return shown * options.query_budget / TIMED
    return attack_seconds(subject.victim, Queries(pixels), options) / TIMED


def attacks_in_all(
    subject: Subject, plans: Sequence[Plan], asked: AuditOptions, files: AuditFiles
) -> int:
    """Attacks of single queries that an audit makes at most.

    Args:
        subject: what is audited.
        plans: what the adversary wants.
        asked: what is measured.
        files: surrogates and hardened networks count.
    """
    rows = sum(len(plan.rows) for plan in plans)
    # Behind a remedy every query is to evade and to collide, whatever the goals are.
    remedied = 2 * len(subject) if plans else 0
    white = asked.access == "white"
    attacks = rows * len(asked.eps)
    if asked.exact:
        attacks += rows * halvings(asked.eps)
    if asked.rerank != "none":  # bits alone, and bits with floats
        attacks += 2 * rows
    if asked.mitigate:
        attacks += remedied * attacks_of_remedies(steered=white)
    attacks += remedied * len(files.hardened)
    evaded = sum(len(plan.rows) for plan in plans if plan.name == "evade")
    attacks += evaded * len(files.surrogates)
    if subject.labels is not None and white and asked.wants("show"):
        attacks += len(subject)
    return attacks
