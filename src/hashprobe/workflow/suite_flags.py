"""What speaks against reading a suite as robustness: checks that a sound defence passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hashprobe.codes.packed import paired_hamming
from hashprobe.types import Budget


if TYPE_CHECKING:
    from hashprobe.workflow.suite import Case

FEW = 12
"""Queries that each check takes."""
SHOWN = 300
"""Pictures that an adversary without gradients shows the service."""
SATURATED, ZERO = 0.5, 0.05
"""Most bits with |tanh z| above 0.999, and most queries without a gradient, as shares."""
LARGE = 64 / 255
"""The budget at which a target code must be reached."""
WRONG = 0.05
"""Share of the bits that may be wrong there."""
LESS = 0.05
"""By how much MAP may be lower under a weaker adversary, or in another run."""
BITS = 0.5
"""By how many wrong bits more eps or more steps may be worse, in the mean."""


@dataclass(frozen=True)
class Flag:
    """One check: what was measured, up to where that is sound, and what it means.

    Example:
        >>> Flag("randomness", 0.0, 0.0, "codes differ between two passes").raised
        False
    """

    name: str
    value: float
    limit: float
    meaning: str
    """What it says where it is raised."""

    @property
    def raised(self) -> bool:
        """Whether the value is beyond the limit, or no number."""
        return not self.value <= self.limit


def flags_of(case: Case, worst: np.ndarray) -> list[Flag]:
    """Every check on a few of the queries."""
    rows = np.arange(min(FEW, len(case.queries)))
    saturated, zero = gradient_health(case, rows)
    half = Budget(case.budget.eps / 2, case.budget.space)
    double = Budget(min(1.0, case.budget.eps * 2), case.budget.space)
    large = Budget(max(LARGE, case.budget.eps))
    wrong = {
        name: wrong_bits(case, rows, budget, steps)
        for name, budget, steps in (
            ("half", half, 50),
            ("whole", case.budget, 50),
            ("double", double, 50),
            ("large", large, 50),
            ("short", case.budget, 10),
        )
    }
    more_eps = max(wrong["whole"] - wrong["half"], wrong["double"] - wrong["whole"])
    asked = map_after(case, rows, "square", query_budget=SHOWN)
    two = [map_after(case, rows, "mainstay", seed=case.seed + 1 + run) for run in range(2)]
    return [
        Flag("saturated outputs", saturated, SATURATED, "tanh of the outputs has no gradient"),
        Flag("zero gradients", zero, ZERO, "queries without a gradient are not attacked at all"),
        Flag("randomness", differing(case, rows), 0.0, "codes differ between two passes"),
        Flag(
            "query-only stronger than white-box",
            float(worst[rows].mean()) - asked,
            LESS,
            "an adversary without gradients does better: the gradients are poor",
        ),
        Flag(
            "target unreachable at 64/255",
            wrong["large"] / case.victim.bits,
            WRONG,
            "a budget that can draw any picture does not reach a code: gradients are masked",
        ),
        Flag("not monotone in eps", more_eps, BITS, "a larger budget leaves more bits wrong"),
        Flag(
            "not monotone in steps",
            wrong["whole"] - wrong["short"],
            BITS,
            "more steps leave more bits wrong",
        ),
        Flag("spread of runs", abs(two[0] - two[1]), LESS, "two runs of one attack differ"),
    ]


def gradient_health(case: Case, rows: np.ndarray) -> tuple[float, float]:
    """Shares of saturated outputs, and of queries whose loss has no gradient."""
    import torch

    from hashprobe.victims.base import frozen_eval
    from hashprobe.victims.encoding import device_of

    some = case.queries.take(rows).on(device_of(case.victim))
    codes = case.goal.take(rows).codes_for(some.pixels, case.victim.bits)
    with frozen_eval(case.victim), torch.inference_mode(False), torch.enable_grad():
        given = some.pixels.clone().requires_grad_()
        more = () if some.lengths is None else (some.lengths,)
        logits = case.victim(given, *more)
        (gradient,) = torch.autograd.grad((codes * logits).sum(), given)
    saturated = float((logits.detach().tanh().abs() > 0.999).float().mean())
    return saturated, float((gradient.flatten(1).abs().amax(1) == 0).float().mean())


def differing(case: Case, rows: np.ndarray) -> float:
    """The share of bits that differ between two passes of the same queries."""
    from hashprobe.victims.encoding import device_of, encode

    some = case.queries.take(rows).on(device_of(case.victim))
    first, second = encode(case.victim, some), encode(case.victim, some)
    return float(paired_hamming(first, second).mean()) / first.bits


def wrong_bits(case: Case, rows: np.ndarray, budget: Budget, steps: int) -> float:
    """Mean bits that the default attack leaves wrong."""
    from hashprobe.codes.packed import PackedCodes

    name = f"flag-{budget.eps * 255:g}-{steps}"
    found = case.craft("bit-margin", rows, budget=budget, steps=steps, name=name)
    codes = case.goal.take(rows).codes
    assert codes is not None
    return float(paired_hamming(found.codes, PackedCodes.from_logits(codes)).mean())


def map_after(case: Case, rows: np.ndarray, attack: str, **more: Any) -> float:
    """MAP of some queries after one attack."""
    name = "-".join(["flag", attack, *(str(value) for value in more.values())])
    aps = case.aps(case.craft(attack, rows, name=name, **more).codes, rows).per_query
    return float(aps.mean())
