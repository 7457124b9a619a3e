"""A hardened network in place of the victim, as a remedy of an audit."""

from dataclasses import dataclass, replace

import torch

from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.false_matching import false_matches
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.threshold import Threshold
from hashprobe.victims.encoding import device_of
from hashprobe.victims.loading import load_victim
from hashprobe.victims.preflight import preflight
from hashprobe.workflow.audit_ladder import AttackerOf
from hashprobe.workflow.audit_numbers import false_rates, matching
from hashprobe.workflow.audit_remedies import rates_at
from hashprobe.workflow.audit_result import RemedyResult
from hashprobe.workflow.audit_subject import Subject, encoded
from hashprobe.workflow.audit_transfer import Resized, read_like


PROBED = 4
"""Queries on which a hardened network is probed."""


@dataclass(frozen=True, eq=False)
class Hardened:
    """A hardened network with the queries and the database of an audit, all encoded by it."""

    name: str
    """The file as it was given."""
    subject: Subject
    radius: int
    """Largest distance that matches."""
    place: str
    """Name of the folder of its attacks."""


def hardened(
    subject: Subject,
    names: tuple[str, ...],
    radius: int,
    threshold: Threshold | None,
    *,
    gradients: bool,
) -> list[Hardened]:
    """Hardened networks with the queries and the database of an audit, probed as the victim is.

    Where the radius comes from a false-match rate, that of a hardened network does, too: its
    distances are others. It is shown all pictures as the victim is given them, resized to its
    size.

    Args:
        subject: what is audited.
        names: files or run folders, see `load_victim`.
        radius: of the audit.
        threshold: where it comes from; None where it was asked for.
        gradients: whether it will be attacked by gradients.

    Raises:
        HashprobeError: a database of codes without pictures, codes of another length at a radius
            that was asked for, or no radius with the wanted rate.
    """
    if not names:
        return []
    if subject.again is None:
        raise HashprobeError(
            "a hardened network gives other codes, and the database is codes without pictures: "
            "give a folder of pictures, or copies"
        )
    return [
        opened(subject, name, radius, threshold, f"hardened-{place}", gradients)
        for place, name in enumerate(names)
    ]


def opened(
    subject: Subject,
    name: str,
    radius: int,
    threshold: Threshold | None,
    place: str,
    gradients: bool,
) -> Hardened:
    """One hardened network."""
    assert subject.again is not None
    victim = load_victim(name).to(device_of(subject.victim))
    if victim.contract.frames:
        raise HashprobeError(f"an audit is of pictures; {name} takes clips")
    if threshold is None and victim.bits != subject.victim.bits:
        raise HashprobeError(
            f"{name} gives {victim.bits} bits and the victim {subject.victim.bits}: radius "
            f"{radius} means something else for it; give --radius auto"
        )
    # Pictures of the database must be fitted as those of the queries are.
    like = subject.victim.contract
    if victim.contract != read_like(victim.contract, like):
        victim = Resized(victim, like)
    fitted = subject.queries.fitted
    alike = [one for one in fitted if one.shape == fitted[0].shape][:PROBED]
    preflight(victim, Queries(torch.stack(alike)), gradients=gradients)
    clean, database = encoded(victim, fitted), subject.again(victim)
    sources, by_hash = subject.sources, subject.sources.found.startswith("hash")
    if threshold is not None:
        apart = Sources.alone(len(clean), len(database)) if by_hash else sources
        found = false_matches(clean, database, apart).threshold(threshold.wanted)
        if found.radius is None:
            raise HashprobeError(
                f"no radius of {name} has a false-match rate of {threshold.wanted:g}: give "
                "--radius, or a larger --fpr"
            )
        radius = found.radius
    if by_hash:
        sources = Sources.by_hash(clean, database, radius)
    made = replace(
        subject,
        victim=victim,
        clean=clean,
        database=database,
        sources=sources,
        floats=None,
        served=None,
    )
    return Hardened(name, made, radius, place)


def in_place(one: Hardened, eps: float, item: str | None, attacker: AttackerOf) -> RemedyResult:
    """A hardened network in place of the victim, attacked at one budget with its own gradients.

    Args:
        one: the network.
        eps: the budget.
        item: what every query is to collide with; None for a random item each.
        attacker: makes who attacks.
    """
    subject, rates = one.subject, false_rates(one.subject)
    evasion, collision = rates_at(subject, one.radius, eps, item, attacker(subject, one.place))
    return RemedyResult(
        "hardened",
        f"hardened network {one.name} within {one.radius}",
        matching(subject, one.radius),
        None if rates is None else rates.rate(one.radius).value,
        eps,
        evasion,
        collision,
    )
