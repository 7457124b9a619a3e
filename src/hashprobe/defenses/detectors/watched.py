"""The attacker who knows the detector: one loss of both, and the weight that serves best."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from hashprobe.attacks._bit_margin import MOMENTUM, SHARP, SOFT, bit_margin_loss
from hashprobe.attacks.goal import Goal
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.defenses.detectors.base import Fitted
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import solve
from hashprobe.optim.rule import Steps, UpdateRule
from hashprobe.optim.steps import SignStep
from hashprobe.tensors import Images, Logits
from hashprobe.types import Budget, check_whole
from hashprobe.victims.base import Hasher


class Watched(Hasher):
    """A victim with one more output: the penalty of a detector."""

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted.victim.bits + 1, fitted.victim.contract)
        self.victim, self.fitted = fitted.victim, fitted

    def forward(self, images: Images) -> Logits:
        """Logits, and the penalty behind them."""
        logits: Tensor = self.victim(images)
        return torch.cat([logits, self.fitted.penalty(images, logits)[:, None]], 1)


@dataclass(frozen=True, eq=False)
class Evaded:
    """Queries of an attacker who knows a detector.

    Example:
        >>> Evaded(torch.zeros(1, 3, 8, 8), np.zeros(1), np.ones(1, bool)).reached
        array([ True])
    """

    images: Images
    """(Q, 3, H, W) adversarial queries in 8-bit levels, each at the weight that served it best."""
    scores: Float64[np.ndarray, " q"]
    """What the detector says of them."""
    reached: Bool[np.ndarray, " q"]
    """Whose target code is reached up to the bits that may be wrong."""


@checked
def evade_detector(
    fitted: Fitted,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    steps: int = 50,
    weights: tuple[float, ...] = (0.0, 0.1, 1.0, 10.0),
    wrong: int | None = None,
) -> Evaded:
    """Steers queries to target codes and keeps a detector quiet (Carlini and Wagner, AISec 2017).

    The bit-margin loss plus a weight times the detector's penalty, by momentum sign steps that fall
    from eps. Each query is kept at that weight whose result the detector finds least suspicious
    among those that reach the goal; if none does, at the one with fewest wrong bits. A weight of 0
    is the attacker who does not know the detector.

    Args:
        fitted: the detector.
        queries: Q clean images with floating pixels in [0, 1].
        goal: target codes.
        budget: l-infinity radius.
        steps: forward and backward passes for each weight.
        weights: of the penalty, each 0 or above.
        wrong: bits of a target code that may be wrong; by default a tenth.

    Returns:
        The queries, their scores, and who reached the goal.

    Raises:
        HashprobeError: no weights, or queries or a goal that do not fit.

    Example:
        >>> from hashprobe.defenses import BitHistogram
        >>> from hashprobe.victims import ImageHasher
        >>> victim = ImageHasher("small", 16, size=8).eval()
        >>> queries = Queries(torch.rand(2, 3, 8, 8))
        >>> fitted = BitHistogram().fit(victim, torch.rand(9, 3, 8, 8))
        >>> goal = Goal.targeted(torch.ones(2, 16))
        >>> found = evade_detector(fitted, queries, goal, budget=Budget(8 / 255), steps=2)
        >>> found.scores.shape
        (2,)
    """
    check_whole("steps", steps)
    if not weights or not all(0 <= weight < float("inf") for weight in weights):
        raise HashprobeError(f"weights of a penalty are 0 or above, one or more; got {weights}")
    bits = fitted.victim.bits
    codes = goal.codes_for(queries.pixels, bits)
    allowed = bits // 10 if wrong is None else check_whole("wrong", wrong, 0, bits)
    watched = Watched(fitted)
    watched.training = False
    targets = torch.cat([codes, torch.zeros(len(codes), 1).to(codes)], 1)
    best: Evaded | None = None
    left = np.full(len(queries), np.inf)
    for weight in weights:
        rule = UpdateRule(
            Objective(weight, steps),
            SignStep(lambda done: budget.eps * (1 - done / steps)),
            steps,
            momentum=MOMENTUM,
            compared="logits",
        )
        moved = solve(watched, queries, targets, rule, budget=budget)
        moved = kept_levels(moved, queries.pixels, budget)
        lacking = missing(fitted, moved, codes)
        scores, reached = fitted.scores(moved), lacking <= allowed
        if best is None:
            best, left = Evaded(moved, scores, reached), lacking
            continue
        better = (reached & ~best.reached) | (reached & best.reached & (scores < best.scores))
        better |= ~reached & ~best.reached & (lacking < left)
        pick = torch.from_numpy(better).to(moved.device).view(-1, 1, 1, 1)
        best = Evaded(
            torch.where(pick, moved, best.images),
            np.where(better, scores, best.scores),
            np.where(better, reached, best.reached),
        )
        left = np.where(better, lacking, left)
    assert best is not None
    return best


@dataclass(frozen=True)
class Objective:
    """The loss of goal and detector."""

    weight: float
    steps: int

    def __call__(self, outputs: Tensor, targets: Tensor, step: Steps) -> Float[Tensor, " n"]:
        """One loss a query."""
        done = (step.to(outputs.dtype) / self.steps)[:, None]
        sharpness = SOFT * (SHARP / SOFT) ** done
        loss = bit_margin_loss(outputs[:, :-1], targets[:, :-1], sharpness)
        return loss + self.weight * outputs[:, -1]


def kept_levels(moved: Images, clean: Images, budget: Budget) -> Images:
    """Pixels in whole 8-bit levels that stay within a budget: rounded towards the clean ones."""
    low = (255 * (clean - budget.eps) - 1e-3).ceil().clamp_min(0)
    high = (255 * (clean + budget.eps) + 1e-3).floor().clamp_max(255)
    return (255 * moved).round().clamp(low, high) / 255


def missing(
    fitted: Fitted, images: Images, codes: Float[Tensor, "n k"]
) -> Float64[np.ndarray, " n"]:
    """Wrong bits of each query, by the judged code."""
    signs = fitted.victim.codes(images).signs()
    wanted = codes.cpu().numpy()
    count: np.ndarray = ((signs != wanted) & (wanted != 0)).sum(1).astype(np.float64)
    return count
