"""Two-stage search, a short list by codes ordered anew by the cosine of floats, and its attack."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import in_memory
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.lists import list_recall, two_stage_items
from hashprobe.evaluation.measurement import Measurement
from hashprobe.optim.attempts import solve
from hashprobe.optim.rule import Steps, UpdateRule
from hashprobe.optim.steps import SignStep
from hashprobe.storage.files import sha256_array
from hashprobe.tensors import Images, Logits
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.embedding import Embedding
from hashprobe.victims.encoding import device_of, judging
from hashprobe.workflow.audit_ladder import Attacker, Ladder, Plan
from hashprobe.workflow.audit_plans import own_distances
from hashprobe.workflow.audit_subject import Subject, encoded, in_batches


Wish: TypeAlias = Literal["leave", "enter"]
Vectors: TypeAlias = Float32[np.ndarray, "n f"]
MOMENTUM, SHARP = 0.9, 4.0


class WithFloats(Hasher):
    """A victim whose outputs are its logits and, behind them, the floats that are ordered anew.

    Args:
        victim: an `Embedding`, whose floats are those before its binariser; of any other victim
            the logits are its floats.
    """

    def __init__(self, victim: Hasher) -> None:
        super().__init__(min(2 * victim.bits, 4096), victim.contract)
        self.victim, self.split = victim, victim.bits

    def forward(self, images: Tensor) -> Logits:
        """Logits and floats side by side.

        Args:
            images: (N, 3, H, W) in [0, 1].
        """
        if not isinstance(self.victim, Embedding):
            logits: Tensor = self.victim(images)
            return torch.cat([logits, logits], 1)
        seen: list[Tensor] = []
        hook = self.victim.victim.register_forward_hook(lambda _, __, made: seen.append(made))
        try:
            logits = self.victim(images)
        finally:
            hook.remove()
        return torch.cat([logits, seen[0]], 1)


def floats_of(victim: Hasher, pictures: list[Tensor]) -> Vectors:
    """Floats of uint8 pictures, by which a short list is ordered anew."""
    both = WithFloats(victim)
    found: dict[int, np.ndarray] = {}
    with judging(victim, device_of(victim)):
        for places, some in in_batches(victim, pictures):
            floats = both(some.pixels)[:, victim.bits :].float().cpu().numpy()
            found |= dict(zip(places, floats, strict=True))
    return np.stack([found[place] for place in range(len(pictures))])


@dataclass(frozen=True)
class JointOptions:
    """Options of the joint attack."""

    steps: int = 50
    weight: float = 1.0
    """Of the cosine, beside the mean loss of a bit."""


@dataclass(frozen=True, eq=False, repr=False)
class Joint:
    """Steers the bits of a code and the cosine of the floats at once.

    Bits are pushed by the softplus of their margins, as the bit-margin attack does; the cosine to a
    float vector is lowered (leave) or raised (enter). The query has to get out of the short list or
    lose the second stage, or into the list and win it.
    """

    wish: Wish
    vectors: dict[int, np.ndarray]
    """Float vector of the item that each query is about, by query id."""

    title = "bits and cosine"

    def __repr__(self) -> str:
        rows = np.stack([self.vectors[each] for each in sorted(self.vectors)])
        return f"Joint({self.wish}, {sha256_array(rows)})"

    def __call__(
        self,
        victim: Hasher,
        queries: Queries,
        goal: Goal,
        *,
        budget: Budget,
        options: JointOptions,
        **how: Any,
    ) -> Images:
        """Adversarial queries; see `AttackFunction`."""
        both = WithFloats(victim)
        codes = goal.codes_for(queries.pixels, victim.bits)
        wanted = torch.stack([torch.from_numpy(self.vectors[each]) for each in queries.ids])
        sign = -1.0 if self.wish == "enter" else 1.0

        def objective(z: Logits, aims: Any, step: Steps) -> Float[Tensor, " n"]:
            logits, floats = z[:, : victim.bits], z[:, victim.bits :]
            bits, vectors = aims[:, : victim.bits], aims[:, victim.bits :]
            mean = logits.detach().abs().mean(1, keepdim=True).clamp_min(1e-30)
            margins = torch.nn.functional.softplus(-SHARP * bits * logits / mean).mean(1) / SHARP
            cosine = torch.nn.functional.cosine_similarity(floats, vectors, dim=1)
            return margins + options.weight * sign * cosine

        steps = options.steps
        rule = UpdateRule(
            objective,
            SignStep(lambda done: budget.eps * (1 - done / steps)),
            steps,
            momentum=MOMENTUM,
            compared="logits",
        )
        targets = torch.cat([codes, wanted.to(codes)], 1)
        return solve(both, queries, targets, rule, budget=budget, **how)


@dataclass(frozen=True, eq=False)
class TwoStage:
    """A search that orders a short list by codes anew by the cosine of floats."""

    subject: Subject
    held: Vectors
    """Floats of the database items."""
    top: int
    oversample: int

    @classmethod
    def of(cls, subject: Subject, stored: Any, top: int, oversample: int) -> "TwoStage":
        """The search of a subject.

        Args:
            subject: what is audited.
            stored: (N, F) floats that are stored with the codes; None takes those of the pictures.
            top: k.
            oversample: how many times longer the short list is.

        Raises:
            HashprobeError: neither floats nor pictures of the items are at hand, or floats of
                another number.
        """
        if stored is None and subject.item_pictures is None:
            raise HashprobeError(
                "two-stage search needs the floats of the database: a file of codes with floats, "
                "a folder of pictures, or copies"
            )
        held = stored
        if stored is None:
            held = floats_of(subject.victim, list(subject.item_pictures or ()))
        own = floats_of(subject.victim, list(subject.queries.fitted[:1])).shape[1]
        if held.shape[1] != own:
            raise HashprobeError(
                f"the database stores {held.shape[1]} floats an item and the victim gives {own}"
            )
        return cls(subject, np.asarray(held, np.float32), min(top, len(held)), oversample)

    def items(self, codes: PackedCodes, floats: Vectors) -> np.ndarray:
        """The lists of some queries."""
        vectors, database = (floats, self.held), in_memory(self.subject.database)
        return two_stage_items(codes, database, vectors, self.top, self.oversample)

    def measures(
        self, climbs: list[Ladder], attacker: Attacker, eps: float
    ) -> dict[str, Measurement]:
        """Recall of the source before and after, and how often a chosen item enters the list.

        The attack on all bits alone and the joint one have the same budget, steps and loss of bits.

        Args:
            climbs: evasion and collision.
            attacker: who attacks.
            eps: the budget.
        """
        found = {}
        for plan in (one.plan for one in climbs):
            noun = "recall" if plan.name == "evade" else "hit"
            clean = [self.subject.queries.fitted[row] for row in plan.rows.tolist()]
            found[f"two_stage_{noun}"] = self.recall(plan, clean, noun)
            for way, weight in (("bits", 0.0), ("joint", 1.0)):
                moved = self.joint(plan, attacker, eps, weight)
                found[f"two_stage_{noun}_{way}"] = self.recall(plan, moved, noun, way)
        return found

    def recall(self, plan: Plan, shown: list[Tensor], noun: str, way: str = "") -> Measurement:
        """recall@k of the items that a plan is about, for pictures of its queries."""
        codes = encoded(self.subject.victim, shown)
        lists = self.items(codes, floats_of(self.subject.victim, shown))
        parts = f"two-stage-{noun}:cosine:x{self.oversample}{f':{way}' if way else ''}"
        aims, rounding = aims_of(self.subject, plan), "uint8" if way else None
        return list_recall(lists, aims, measure=parts, rounding=rounding)

    def joint(self, plan: Plan, attacker: Attacker, eps: float, weight: float) -> list[Tensor]:
        """Pictures of the attack on all bits and, with a weight, on the cosine."""
        members = plan.goal.members
        wish: Wish = "leave" if members is None else "enter"
        positions = [own_nearest(self.subject, row) for row in plan.rows.tolist()]
        if members is not None:
            positions = members[:, 0].tolist()
        vectors = {int(r): self.held[p] for r, p in zip(plan.rows, positions, strict=True)}
        attack = Joint(wish, vectors)
        options = JointOptions(attacker.options.steps, weight)
        spec = AttackSpec.of(attack, options, budget=Budget(eps), seed=attacker.seed)
        goal = replace(plan.goal, enough=None, all_of=None, search=None)
        way = "joint" if weight else "bits"
        return attacker.crafted(f"two-stage-{way}-{plan.name}", plan.rows, goal, spec)[1]


def aims_of(subject: Subject, plan: Plan) -> Sources:
    """Which items count for each query: those of its own source, or the one that it is to enter."""
    if plan.goal.members is None:
        return subject.sources.take(plan.rows)
    chosen = plan.goal.members[:, 0].astype(np.int64)
    return Sources(chosen, np.arange(len(subject.database)), "chosen")


def own_nearest(subject: Subject, row: int) -> int:
    """The nearest item of a query's own source."""
    near = own_distances(subject, subject.clean, row, row)
    return int(subject.own[row][near.argmin()])
