"""What each choice in the default attack is worth: one thing changed at a time.

python benchmarks/ablation.py --runs runs/small runs/vgg11
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attack_engine import TOP, Bench
from common import Results, arguments, interval
from torch.nn import functional as F

from hashprobe.attacks._bit_margin import (
    MOMENTUM,
    SHARP,
    SOFT,
    BitMarginOptions,
    bit_margin,
    bit_margin_loss,
    sharpness_at,
    steps_within,
)
from hashprobe.attacks._dhta import alpha_at, inner_product_loss
from hashprobe.attacks.registry import AttackSpec
from hashprobe.evaluation.measurement import Measurement, paired_difference
from hashprobe.optim.attempts import solve
from hashprobe.optim.rule import UpdateRule
from hashprobe.types import Budget


def grown(soft: float, sharp: float) -> Callable[..., torch.Tensor]:
    """A loss that sharpens by steps alone, between two ends."""

    def objective(logits: Any, targets: Any, step: Any, steps: int) -> torch.Tensor:
        done = (step.to(logits.dtype) / steps).unsqueeze(1)
        return bit_margin_loss(logits, targets, soft * (sharp / soft) ** done)

    return objective


def default(logits: Any, targets: Any, step: Any, steps: int) -> torch.Tensor:
    """The default's objective: it sharpens with the steps and as bits come right."""
    sharp = sharpness_at(logits, targets, step.to(logits.dtype) / steps)
    return bit_margin_loss(logits, targets, sharp)


DEFAULT_OBJECTIVE = default


@dataclass(frozen=True)
class Variant:
    """The default attack with a part exchanged."""

    name: str
    objective: Callable[..., torch.Tensor] = DEFAULT_OBJECTIVE
    momentum: float = MOMENTUM
    size: float = 1.0
    falling: bool = True
    eight_bit: bool = True

    def __call__(
        self, victim: Any, queries: Any, goal: Any, *, budget: Budget, options: Any, **common: Any
    ) -> Any:
        steps = steps_within(budget)

        def step(momentum: Any, done: Any) -> Any:
            left = 1 - done.to(momentum.dtype) / steps if self.falling else torch.ones(len(done))
            size = self.size * budget.eps * left
            return -size.view(-1, *[1] * (momentum.ndim - 1)) * momentum.sign()

        rule = UpdateRule(
            objective=partial(self.objective, steps=steps),
            step=step,
            steps=steps,
            momentum=self.momentum,
            eight_bit=self.eight_bit,
        )
        codes = goal.codes_for(queries.pixels, victim.bits)
        return solve(victim, queries, codes, rule, budget=budget, fold=True, **common)


def of_margin(loss: Callable[[Any], Any]) -> Callable[..., torch.Tensor]:
    """A loss of the margins b z / mean |z|, added up over the bits."""

    def objective(logits: Any, targets: Any, step: Any, steps: int) -> torch.Tensor:
        total: torch.Tensor = loss(
            targets * logits / logits.detach().abs().mean(1, keepdim=True)
        ).mean(1)
        return total

    return objective


def paper(logits: Any, targets: Any, step: Any, steps: int) -> torch.Tensor:
    """The objective of DHTA with its schedule, in so many steps."""
    alpha = logits.new_tensor([alpha_at(done, steps) for done in step.tolist()])
    return inner_product_loss(logits, targets, alpha.unsqueeze(1))


VARIANTS = (
    Variant("default"),
    Variant("rounded to 8 bits afterwards, last iterate", eight_bit=False),
    Variant("sharpness 0.1 to 8, by steps alone", grown(SOFT, SHARP)),
    Variant("sharpness 0.5 to 4", grown(0.5, 4.0)),
    Variant("sharpness 0.1 to 16", grown(0.1, 16.0)),
    Variant("sharpness 4 from the start", lambda z, b, *_, **__: bit_margin_loss(z, b, 4.0)),
    Variant("sharpness 1 to the end", lambda z, b, *_, **__: bit_margin_loss(z, b, 1.0)),
    Variant("squared hinge of the margin, 0.5", of_margin(lambda m: F.relu(0.5 - m).square())),
    Variant("hinge of the margin, 0.5", of_margin(lambda m: F.relu(0.5 - m))),
    Variant("inner product with the code", of_margin(lambda m: -m)),
    Variant("tanh of the paper, alpha by its schedule", paper),
    Variant("no momentum", momentum=0.0),
    Variant("momentum 0.9", momentum=0.9),
    Variant("first step eps / 2", size=0.5),
    Variant("first step eps / 4", size=0.25),
    Variant("steps of eps / 4 that do not fall", size=0.25, falling=False),
)
LENGTHS = ((10, 0), (20, 0), (50, 0), (100, 0), (None, 3))
"""Steps, None for those of the default, and more starts."""


def compare(results: Results, victim: Bench, precision: str, most: int | None = None) -> None:
    """All variants on one victim, or the first so many."""
    attacks: list[tuple[str, Any, Any]] = [(v.name, v, None) for v in VARIANTS]
    for steps, restarts in LENGTHS:
        name = f"{restarts} more starts" if restarts else f"{steps} steps"
        options = replace(BitMarginOptions(), steps=steps, restarts=restarts)
        attacks.append((name, bit_margin, options))
    rows = []
    attacks = attacks[:most]
    default: dict[int, Measurement] = {}
    for name, attack, options in attacks:
        row: dict[str, Any] = {"variant": name}
        for eps in (2, 8):
            start = time.perf_counter()
            spec = AttackSpec.of(attack, options, budget=Budget(eps / 255))
            done = victim.craft(spec, precision=precision)
            wrong = (done.codes.signs() != victim.goal.codes).sum(1)
            tmap = victim.tmap(done.codes)
            against = default.setdefault(eps, tmap)
            row |= {
                f"t-MAP at {eps}/255": 100 * tmap.value,
                f"less default, {eps}/255": interval(paired_difference(tmap, against)),
                f"bits wrong at {eps}/255": float(wrong.mean()),
                f"steps a query at {eps}/255": float(done.backwards.mean()),
            }
            print(f"{victim.path.name} {name} {eps}/255: {time.perf_counter() - start:.0f} s")
        rows.append(row)
    results.table(
        f"{victim.path.name}, t-MAP@{TOP} in per cent, {len(victim.queries)} queries; differences "
        "are paired, with 95 % intervals",
        rows,
    )


def main() -> None:
    """All victims."""
    given = arguments(
        (__doc__ or "").splitlines()[0],
        runs={"nargs": "+", "type": Path, "required": True, "help": "run folders of victims"},
        precision={"default": "bfloat16", "help": "float32 or bfloat16"},
    )
    results = Results("ablation")
    for path in given.runs:
        victim = Bench(path, 3 if given.tiny else 100)
        compare(results, victim, given.precision, 2 if given.tiny else None)
    results.write(given.json)


if __name__ == "__main__":
    main()
