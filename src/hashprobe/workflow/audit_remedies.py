"""What helps: the same audit behind remedies that need no training, and at other radii."""

from collections.abc import Callable
from dataclasses import replace

from hashprobe.defenses.defended import defended
from hashprobe.defenses.preprocessors.registry import PREPROCESSORS, preprocessor_named
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.workflow.audit_ladder import Attacker, AttackerOf, Plan, climb
from hashprobe.workflow.audit_numbers import false_rates, matching
from hashprobe.workflow.audit_plans import collide, evade
from hashprobe.workflow.audit_result import RadiusPoint, RemedyResult
from hashprobe.workflow.audit_subject import Subject, encoded


RADII = (0.5, 1, 1.5, 2)
"""Other radii, in units of the audit's."""


def remedies(
    subject: Subject, radius: int, eps: float, item: str | None, attacker: AttackerOf
) -> list[RemedyResult]:
    """Every remedy, attacked at one budget by an adversary who knows it.

    Queries go through the remedy; the codes of the database stay as they are stored.

    Args:
        subject: what is audited.
        radius: largest distance that matches.
        eps: the budget.
        item: what every query is to collide with; None for a random item each.
        attacker: makes who attacks.
    """
    found = []
    for name in PREPROCESSORS:
        behind = defended(subject.victim, name)
        through = replace(subject, victim=behind, clean=encoded(behind, subject.queries.fitted))
        rates = false_rates(through)
        evasion, collision = rates_at(
            through, radius, eps, item, attacker(through, f"behind-{name}")
        )
        found.append(
            RemedyResult(
                name,
                preprocessor_named(name).title,
                matching(through, radius),
                None if rates is None else rates.rate(radius).value,
                eps,
                evasion,
                collision,
            )
        )
    return found


def attacks_of_remedies(*, steered: bool) -> int:
    """How many attacks of every query remedies and other radii take, as long as one without them.

    Args:
        steered: whether by gradients; queries alone meet the copies of a remedy instead.
    """
    known = [preprocessor_named(name) for name in PREPROCESSORS]
    if not steered:
        return sum(one.copies for one in known) + len(RADII)
    return sum(one.draws for one in known) + len(RADII) + 2  # a second hash: twice


def rates_at(
    subject: Subject, radius: int, eps: float, item: str | None, attacker: Attacker
) -> tuple[Measurement | None, Measurement | None]:
    """Evasion and collision at one radius and one budget; None where there is nothing to reach."""
    found: list[Measurement | None] = []
    makes: tuple[Callable[[], Plan], ...] = (
        lambda: evade(subject, radius),
        lambda: collide(subject, radius, attacker.seed, item),
    )
    for make in makes:
        try:
            plan = make()
        except HashprobeError:
            found.append(None)
            continue
        plan = replace(plan, name=f"{plan.name}-r{radius}")
        found.append(plan.rate(climb(attacker, plan, (eps,), exact=False).codes[eps]))
    return found[0], found[1]


def other_radii(
    subject: Subject, radius: int, eps: float, item: str | None, attacker: AttackerOf
) -> list[RadiusPoint]:
    """Tighter and wider radii, each attacked anew at one budget."""
    rates, points = false_rates(subject), []
    wanted = {int(factor * radius) for factor in RADII}
    for other in sorted(r for r in wanted if 0 < r < subject.victim.bits // 2):
        evasion, collision = rates_at(subject, other, eps, item, attacker(subject, "radii"))
        match = matching(subject, other)
        points.append(
            RadiusPoint(
                other,
                eps,
                None if evasion is None else evasion.value,
                None if collision is None else collision.value,
                None if match is None else match.value,
                None if rates is None else rates.rate(other).value,
            )
        )
    return points
