"""A second hash that must agree, as a remedy: its cost, and the attacks of who knows both."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from hashprobe.attacks._bit_margin import HEAVY, radius_loss
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import PackedCodes, hamming, paired_hamming
from hashprobe.codes.sharded_codes import in_memory
from hashprobe.data.queries import Queries
from hashprobe.defenses.both import BothHashes, match_both
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.optim.attempts import solve
from hashprobe.optim.rule import Steps, UpdateRule
from hashprobe.optim.steps import SignStep
from hashprobe.tensors import Images, Logits, TargetSets, Tensor
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.workflow.audit_ladder import Attacker, AttackerOf
from hashprobe.workflow.audit_numbers import has_others
from hashprobe.workflow.audit_plans import chosen_items, evade
from hashprobe.workflow.audit_prepare import USUAL
from hashprobe.workflow.audit_result import RemedyResult
from hashprobe.workflow.audit_subject import Subject, encoded
from hashprobe.workflow.audit_transfer import Resized


@dataclass(frozen=True)
class BothOptions:
    """Options of the attack on two hashes."""

    steps: int = 50


@dataclass(frozen=True, eq=False, repr=False)
class CollideBoth:
    """Brings a query within a radius of one item by both hashes at once.

    The loss is the sum of `radius_loss` over both parts of the code. All steps are taken.
    """

    split: int
    """Bits of the first hash."""
    enough: tuple[int, int]
    """Bits that have to be right, of the first and of the second."""

    title = "two hashes"

    def __repr__(self) -> str:
        return f"CollideBoth({self.split}, {self.enough})"

    def __call__(
        self,
        victim: Hasher,
        queries: Queries,
        goal: Goal,
        *,
        budget: Budget,
        options: BothOptions,
        **how: Any,
    ) -> Images:
        """Adversarial queries; see `AttackFunction`."""
        split, (first, second) = self.split, self.enough

        def objective(z: Logits, aims: TargetSets, step: Steps) -> Float[Tensor, " n"]:
            return radius_loss(z[:, :split], aims[:, :split], first) + radius_loss(
                z[:, split:], aims[:, split:], second
            )

        steps = options.steps
        falling = SignStep(lambda done: budget.eps * (1 - done / steps))
        rule = UpdateRule(objective, falling, steps, momentum=HEAVY, compared="logits")
        targets = goal.codes_for(queries.pixels, victim.bits)
        return solve(victim, queries, targets, rule, budget=budget, **how)


@dataclass(frozen=True, eq=False)
class Agreed:
    """A search in which two hashes must agree: an item matches where it matches by both."""

    subject: Subject
    """What is audited, with the first hash."""
    both: BothHashes
    database: PackedCodes
    """Codes of the items by both hashes."""
    radii: tuple[int, int]

    @classmethod
    def of(cls, subject: Subject, second: Hasher, radii: tuple[int, int | None]) -> "Agreed":
        """The search of a subject with a second hash beside its own.

        Args:
            subject: what is audited.
            second: another victim; it is shown the pictures as the first one is given them,
                resized to its size.
            radii: of both; None takes the usual one of a perceptual hash.

        Raises:
            HashprobeError: the database is codes without pictures, the radius of the second hash is
                not known or beyond its code, or it takes clips.
        """
        if subject.again is None:
            raise HashprobeError(
                "a second hash needs the pictures of the database, to encode them by it: give a "
                "folder of pictures, or copies"
            )
        name = getattr(second, "name", "")
        other = USUAL.get(name) if radii[1] is None else radii[1]
        if other is None:
            raise HashprobeError(
                "no radius is usual for the second hash: give --second-radius N, the largest "
                "distance at which it matches"
            )
        if other >= second.bits:
            raise HashprobeError(
                f"the second radius must be below the {second.bits} bits of the second hash; got "
                f"{other}"
            )
        if second.contract.size not in (0, subject.victim.contract.size):
            second = Resized(second)
        both = BothHashes(subject.victim, second).eval()
        # The codes that are stored count, even where a picture would be encoded differently.
        made = both.parts(subject.again(both))[1]
        database = side_by_side(in_memory(subject.database), made)
        return cls(subject, both, database, (radii[0], other))

    @cached_property
    def clean(self) -> PackedCodes:
        """Codes of the untouched queries by both hashes."""
        return encoded(self.both, self.subject.queries.fitted)

    @cached_property
    def halves(self) -> tuple[Subject, Subject]:
        """What is audited, by each hash alone."""
        codes, stored = self.both.parts(self.clean), self.both.parts(self.database)
        victims = (self.both.first, self.both.second)
        first, second = (
            replace(self.subject, victim=victim, clean=clean, database=held)
            for victim, clean, held in zip(victims, codes, stored, strict=True)
        )
        return first, second

    def agree(self, codes: PackedCodes, place: int, items: Any) -> Bool[np.ndarray, " n"]:
        """Which of some items match one code by both hashes."""
        one, some = self.both.parts(codes[place : place + 1]), self.both.parts(self.database[items])
        first, second = (hamming(a, b)[0] for a, b in zip(one, some, strict=True))
        found: Bool[np.ndarray, " n"] = match_both(first, second, *self.radii)
        return found

    def matched(self, codes: PackedCodes, rows: np.ndarray) -> Bool[np.ndarray, " n"]:
        """Whether any item of a query's own source matches by both hashes."""
        own = self.subject.own
        found = [
            len(own[row]) > 0 and bool(self.agree(codes, at, own[row]).any())
            for at, row in enumerate(rows.tolist())
        ]
        return np.array(found, bool)

    @property
    def signed(self) -> dict[str, Any]:
        """What every signature holds."""
        sizes = {"q": len(self.subject), "db": len(self.database), "bits": self.both.bits}
        return {"src": self.subject.sources.found, **sizes}

    def named(self, measure: str) -> str:
        """A measure with both radii."""
        return f"{measure}@r{self.radii[0]}+r{self.radii[1]}"

    def match(self) -> Measurement | None:
        """The share of untouched queries that match their own source; None where none has one."""
        sources, every = self.subject.sources, np.arange(len(self.subject))
        values = self.matched(self.clean, every).astype(np.float64)
        if not sources.found.startswith("hash"):
            values[[not len(own) for own in self.subject.own]] = np.nan
        if np.isnan(values).all():
            return None
        return Measurement.of(values, sign(self.named("match"), **self.signed))

    def false_match(self) -> float | None:
        """The share of pairs of different pictures that match by both; None where none is known."""
        subject = self.subject
        if subject.sources.found.startswith("hash") or not has_others(subject.sources):
            return None
        pairs = wrong = 0
        for row, own in enumerate(subject.own):
            other = np.ones(len(self.database), bool)
            other[own] = False
            pairs += int(other.sum())
            wrong += int(self.agree(self.clean, row, slice(None))[other].sum())
        return wrong / pairs if pairs else None

    def evasion(self, attacker: AttackerOf, eps: float) -> Measurement | None:
        """Of the queries that match, the share that does not after the better of two attacks.

        To leave one of the hashes is enough: each is attacked alone.
        """
        rows = np.flatnonzero(self.matched(self.clean, np.arange(len(self.subject))))
        if not len(rows):
            return None
        gone = np.zeros(len(rows), bool)
        for part, radius, place in zip(self.halves, self.radii, ("first", "second"), strict=True):
            plan = evade(part, radius)
            places = np.searchsorted(plan.rows, rows)
            _, images, _ = attacker(part, f"both-{place}").run(plan, places, eps)
            gone |= ~self.matched(encoded(self.both, images), rows)
        signature = sign(self.named("evasion"), **self.signed, round="uint8")
        values = np.full(len(self.subject), np.nan)
        values[rows] = gone
        return Measurement.of(values, signature)

    def collision(self, attacker: Attacker, eps: float, item: str | None) -> Measurement | None:
        """The share of queries that are brought to an item of another source by both hashes."""
        subject = self.subject
        chosen = chosen_items(subject, attacker.seed, item)
        there = [
            bool(self.agree(self.clean, row, chosen[row : row + 1])[0])
            for row in range(len(subject))
        ]
        own = [place in subject.own[row] for row, place in enumerate(chosen)]
        rows = np.flatnonzero(~np.array(there) & ~np.array(own))
        if not len(rows):
            return None
        aims = self.database[chosen[rows]]
        split = self.both.first.bits
        enough = split - self.radii[0], self.both.second.bits - self.radii[1]
        spec = AttackSpec.of(
            CollideBoth(split, enough),
            BothOptions(attacker.options.steps),
            budget=Budget(eps),
            seed=attacker.seed,
        )
        goal = Goal.targeted(aims.signs())
        codes, _, _ = attacker.crafted("collide-both", rows, goal, spec)
        parts = zip(self.both.parts(codes), self.both.parts(aims), strict=True)
        first, second = (paired_hamming(a, b) for a, b in parts)
        met = match_both(first, second, *self.radii)
        signature = sign(self.named("collision"), q=len(rows), bits=self.both.bits, round="uint8")
        return Measurement.of(met.astype(np.float64), signature)


def side_by_side(first: PackedCodes, second: PackedCodes) -> PackedCodes:
    """Codes of two hashes as one."""
    return PackedCodes.from_signs(np.hstack([first.signs(), second.signs()]))


def second_hash(agreed: Agreed, eps: float, item: str | None, attacker: AttackerOf) -> RemedyResult:
    """A second hash that must agree, attacked at one budget by an adversary who knows both.

    Args:
        agreed: the search.
        eps: the budget.
        item: what every query is to collide with; None for a random item each.
        attacker: makes who attacks.
    """
    subject = agreed.subject
    whole = replace(subject, victim=agreed.both, clean=agreed.clean, database=agreed.database)
    try:
        collision = agreed.collision(attacker(whole, "both"), eps, item)
    except HashprobeError:
        collision = None
    return RemedyResult(
        "second-hash",
        f"second hash: {agreed.both.second.title} within {agreed.radii[1]} must agree",
        agreed.match(),
        agreed.false_match(),
        eps,
        agreed.evasion(attacker, eps),
        collision,
    )
