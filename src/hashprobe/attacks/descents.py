"""Update rules that several attacks share: sign steps of one length, and the best iterate by AP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jaxtyping import Float

from hashprobe.attacks._bit_margin import MOMENTUM, bit_margin_loss, sharpness_by_steps
from hashprobe.attacks.code_values import IterateScore
from hashprobe.tensors import Logits, Targets, Tensor
from hashprobe.types import Budget


if TYPE_CHECKING:
    from hashprobe.optim.rule import Objective, Steps, UpdateRule


def sign_descent(objective: Objective, options: Any) -> UpdateRule:
    """Sign steps of one length from where the options say; the last iterate is returned."""
    from hashprobe.optim.rule import UpdateRule
    from hashprobe.optim.steps import SignStep

    return UpdateRule(
        objective,
        SignStep.steady(options.step_size),
        options.steps,
        random_start=options.start == "random",
    )


def ap_descent(
    codes_of: Callable[[Logits, Tensor], Targets],
    score: IterateScore,
    options: Any,
    budget: Budget,
) -> UpdateRule:
    """The bit-margin attack's steps; the iterate whose own code has the best AP is returned."""
    from hashprobe.optim.rule import UpdateRule
    from hashprobe.optim.steps import SignStep

    def objective(z: Logits, given: Tensor, step: Steps) -> Float[Tensor, " n"]:
        sharpness = sharpness_by_steps(step.to(z.dtype) / options.steps)
        return bit_margin_loss(z, codes_of(z, given), sharpness)

    return UpdateRule(
        objective,
        SignStep.falling(options.step_size * budget.eps, options.steps),
        options.steps,
        momentum=MOMENTUM,
        compared="anything",
        eight_bit=True,
        score=score,
    )
