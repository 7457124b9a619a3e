"""The best image of each query so far, and how much work is done."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.optim.problem import Problem, Rows
from hashprobe.optim.rule import Compared
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.victims.passes import attend


ENOUGH = 8
"""Queries without a gradient at their first step that end an attack; fewer are the queries' own."""
LARGE = 10.0
"""Mean size of outputs from which tanh has no gradient left."""
MARGIN = 0.05
"""A code counts as reached when its weakest bit has this share of the mean |logit| behind it."""


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

    def __init__(self, images: Images, targets: Targets, watch: Any, most: int) -> None:
        self.targets, self.watch, self.most = targets, watch, most
        self.images = images.clone()
        self.wrong = images.new_full((len(images),), torch.inf)
        self.margin = images.new_full((len(images),), -torch.inf)
        self.spent = 0
        self.steps_left = most
        self.retry_narrow = False
        self.moved = False
        self.size = 0.0

    def see(self, rows: Rows, outputs: Tensor, gradient: Images, compared: Compared) -> None:
        """Notes whether any query has a gradient; a zero gradient is no robustness.

        Raises:
            HashprobeError: none of many queries, or of all, has one.
        """
        targets = self.targets[rows].to(outputs)
        away = outputs != targets
        if compared == "codes":
            away = (torch.where(outputs >= 0, 1.0, -1.0).to(targets) != targets) & (targets != 0)
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
        self, problem: Problem, rows: Rows, shown: Images, logits: Logits
    ) -> Bool[Tensor, " n"]:
        """Keeps what is better than before; says whose code is reached with a margin."""
        targets = self.targets[rows]
        wrong, margin = judge(logits.to(targets), targets)
        if problem.victim is not problem.judge:
            right = (wrong == 0) & (margin > MARGIN)
            if right.any():
                # A lower precision takes the code for reached: float32 decides.
                with attend(rows[right].tolist()):
                    exact = problem.exact(rows[right], shown[right])
                wrong[right], margin[right] = judge(exact.to(targets), targets[right])
        before = self.wrong[rows], self.margin[rows]
        better = (wrong < before[0]) | ((wrong == before[0]) & (margin > before[1]))
        if better.any():
            self.keep(problem, rows[better], shown[better])
            self.wrong[rows[better]], self.margin[rows[better]] = wrong[better], margin[better]
        return (wrong == 0) & (margin > MARGIN)

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


def judge(logits: Logits, targets: Targets) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Wrong bits of each query, and the margin of its weakest bit in units of its mean |logit|.

    A bit that the target leaves alone (0) is never wrong. Logits of exactly 0 give +1.

    Args:
        logits: (N, K).
        targets: (N, K) with entries -1, 0 and +1.

    Example:
        >>> judge(torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, -1.0]]))
        (tensor([0.]), tensor([0.5000]))
    """
    signs = torch.where(logits >= 0, 1.0, -1.0).to(targets)
    wrong = ((signs != targets) & (targets != 0)).sum(1).to(targets)
    mean = logits.abs().mean(1, keepdim=True)
    margins = targets * logits / torch.where(mean > 0, mean, torch.ones_like(mean))
    return wrong, torch.where(targets != 0, margins, torch.inf).amin(1)
