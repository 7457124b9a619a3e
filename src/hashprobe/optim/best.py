"""The best image of each query so far, and how much work is done."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.optim.problem import Problem, Rows
from hashprobe.optim.rule import UpdateRule
from hashprobe.tensors import Images, Logits, TargetSets
from hashprobe.victims.passes import attend


ENOUGH = 8
"""Queries without a gradient at their first step that end an attack; fewer are the queries' own."""
LARGE = 10.0
"""Mean size of outputs from which tanh has no gradient left."""


@runtime_checkable
class Watch(Protocol):
    """Who is told while an attack runs; the runner is, and keeps what is finished."""

    def step(self, done: int, most: int) -> None:
        """Says how many query steps are done, of how many at most."""

    def finished(self, rows: list[int], images: Images) -> None:
        """Hands over queries that are finished, by their places among those of the attack."""


class Best:
    """The best image of each query so far, judged by its 8-bit pixels.

    Args:
        images: (N, ...) clean queries in [0, 1].
        targets: (N, K) or (N, F).
        watch: who is told; None for nobody.
        most: steps that a query may take in all attempts.
    """

    def __init__(self, images: Images, targets: TargetSets, watch: Any, most: int) -> None:
        self.targets, self.watch, self.most = targets, watch, most
        self.images = images.clone()
        self.wrong = images.new_full((len(images),), torch.inf)
        self.margin = images.new_full((len(images),), -torch.inf)
        self.spent = 0
        self.steps_left = most
        self.retry_narrow = False
        self.moved = False
        self.size = 0.0

    def see(self, rows: Rows, outputs: Tensor, gradient: Images, rule: UpdateRule) -> None:
        """Notes whether any query has a gradient; a zero gradient is no robustness.

        Raises:
            HashprobeError: none of many queries, or of all, has one.
        """
        targets = self.targets[rows].to(outputs)
        if rule.score is not None:
            away = rule.score(outputs, targets) > 0
        elif rule.compared == "anything":
            away = torch.ones_like(outputs)
        elif rule.compared == "codes":
            away = judge(outputs, targets, rule.enough)[0] > 0
        else:
            away = outputs != targets
        self.moved = bool(gradient.any() or not away.any())
        self.size = float(outputs.double().abs().mean())
        if len(rows) >= min(ENOUGH, len(self.images)):
            self.check_moved()

    def check_moved(self) -> None:
        """Refuses an attack in which no query had a gradient at any step so far."""
        if not self.moved:
            why = "look for a step function, detach() or dead units in the network"
            if self.size > LARGE:
                why = (
                    f"outputs of a mean size of {self.size:.3g} saturate the attack's tanh: divide "
                    "them by it"
                )
            raise HashprobeError(
                f"the gradient of the loss is 0 at every query, so that nothing is attacked: {why}"
            )

    def begin(self, steps: int, retry_narrow: bool) -> None:
        """Begins an attempt of so many steps.

        A code that is reached without a margin is worth a longer descent (`retry_narrow`), but not
        another start.
        """
        self.steps_left -= steps
        self.retry_narrow = retry_narrow

    def look(
        self, problem: Problem, rows: Rows, shown: Images, logits: Logits, rule: UpdateRule
    ) -> Bool[Tensor, " n"]:
        """Keeps what is better than before; says whose code is reached with a margin."""
        targets = self.targets[rows]
        if rule.score is not None:
            return self.look_by_score(problem, rows, shown, rule.score(logits, targets))
        wrong, margin = judge(logits.to(targets), targets, rule.enough)
        if problem.confirm:
            right = (wrong == 0) & (margin > rule.margin)
            if right.any():
                # A lower precision takes the code for reached: float32 decides.
                with attend(rows[right].tolist()):
                    exact = problem.exact(rows[right], shown[right])
                wrong[right], margin[right] = judge(exact.to(targets), targets[right], rule.enough)
        before = self.wrong[rows], self.margin[rows]
        better = (wrong < before[0]) | ((wrong == before[0]) & (margin > before[1]))
        if better.any():
            self.keep(problem, rows[better], shown[better])
            self.wrong[rows[better]], self.margin[rows[better]] = wrong[better], margin[better]
        return (wrong == 0) & (margin > rule.margin)

    def look_by_score(
        self, problem: Problem, rows: Rows, shown: Images, score: Float[Tensor, " n"]
    ) -> Bool[Tensor, " n"]:
        """Keeps the latest of the iterates with the smallest score; says who is at 0."""
        score = score.to(self.wrong)
        better = score <= self.wrong[rows]
        self.keep(problem, rows[better], shown[better])
        # A query that is not there yet is handed over changed: the first iterate is the clean one.
        first = self.wrong[rows].isinf()
        self.wrong[rows[better]] = score.masked_fill(first, torch.finfo(score.dtype).max)[better]
        return score <= 0

    def keep(self, problem: Problem, rows: Rows, shown: Images) -> None:
        """Takes images for the best of their queries."""
        self.images[rows] = problem.paste(rows, shown)

    def leave(self, rows: Rows, reached: Bool[Tensor, " n"], unused: Tensor) -> list[int]:
        """Lets go of queries whose attempt is over.

        Args:
            rows: which.
            reached: whose code is reached with a margin.
            unused: steps of this attempt that each did not need.

        Returns:
            Those that are worth a later attempt; the others are finished.
        """
        again = torch.zeros_like(reached)
        if self.steps_left:
            again = ~reached if self.retry_narrow else self.wrong[rows] > 0
        done = ~again
        self.spent += int((unused[done] + self.steps_left).sum())
        if self.watch is not None and done.any():
            self.watch.finished(rows[done].tolist(), self.images[rows[done]])
        left: list[int] = rows[again].tolist()
        return left

    def tell(self) -> None:
        """Says how far the work has come."""
        if self.watch is not None:
            self.watch.step(self.spent, len(self.images) * self.most)


def judge(
    logits: Logits, targets: TargetSets, enough: int | None = None
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Bits that each query still lacks, and the margin of the weakest bit that counts.

    A bit that the target leaves alone (0) is never wrong. Logits of exactly 0 give +1. Where so
    many bits are enough, those with the largest margins count, and of several target codes the one
    that lacks most.

    Args:
        logits: (N, K).
        targets: (N, K) or (N, S, K) with entries -1, 0 and +1.
        enough: bits of each target code that have to be right; None: all.

    Returns:
        Missing bits, and the margin in units of the query's mean |logit|.

    Example:
        >>> judge(torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, -1.0]]))
        (tensor([0.]), tensor([0.5000]))
        >>> judge(torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 1.0]]), enough=1)
        (tensor([0.]), tensor([1.5000]))
    """
    mean = logits.abs().mean(1, keepdim=True)
    scaled = logits / torch.where(mean > 0, mean, torch.ones_like(mean))
    signs = torch.where(logits >= 0, 1.0, -1.0).to(targets)
    if targets.ndim == 3:
        scaled, signs = scaled.unsqueeze(1), signs.unsqueeze(1)
    right = (signs == targets) & (targets != 0)
    if enough is None:
        wrong = ((signs != targets) & (targets != 0)).sum(-1).to(targets)
        margin = torch.where(targets != 0, targets * scaled, torch.inf).amin(-1)
    else:
        most = min(enough, targets.shape[-1])
        wrong = (enough - right.sum(-1)).clamp_min(0).to(targets)
        # A margin of exactly 0 may be right or wrong: what is wrong comes last.
        margins = torch.where(right, (targets * scaled).abs(), targets * scaled - 1e-30)
        margin = margins.topk(most, dim=-1).values[..., -1]
    if targets.ndim == 3:
        wrong, margin = wrong.amax(1), margin.amin(1)
    return wrong, margin
