"""The inner attack of a training: its rule, its start, its items after some steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashprobe.data.queries import Queries
from hashprobe.defenses.trainers.base import Mode, Trainer
from hashprobe.optim.best import Best
from hashprobe.optim.box import Box
from hashprobe.optim.descend import descend
from hashprobe.optim.problem import Problem
from hashprobe.optim.rule import UpdateRule
from hashprobe.optim.steps import SignStep
from hashprobe.tensors import Images
from hashprobe.training.hardening import Batch


@contextmanager
def in_mode(network: nn.Module, mode: Mode) -> Iterator[None]:
    """A network that is frozen in evaluation mode, in one of the modes for a while.

    In training mode its passes leave no trace in the statistics of batch normalisation.
    """
    if mode == "eval":
        yield
        return
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        network.train()
        yield
    finally:
        for module in network.modules():
            module.training = False
        for buffer, kept in buffers:
            buffer.copy_(kept)


def random_point(batch: Batch, box: Box, eps: float) -> Images:
    """A random point within eps of each item."""
    clean = batch.given[0]
    noise = torch.rand(clean.shape, generator=batch.draws).to(clean)
    return box.clip(clean + eps * (2 * noise - 1))


def trainer_rule(trainer: Trainer, steps: int, length: float | None) -> UpdateRule:
    """The inner attack of a defence as a rule of descent."""

    def objective(z: Tensor, towards: Tensor, step: Tensor) -> Float[Tensor, " b"]:
        return trainer.inner(z.float(), towards.float(), (step.float() / steps)[:, None])

    def falling(done: Tensor) -> Tensor:
        return trainer.eps * (1 - done / steps) if length is None else 0 * done + length

    return UpdateRule(
        objective, SignStep(falling), steps, momentum=trainer.momentum, compared="logits"
    )


def descended(
    hasher: Any,
    given: tuple[Tensor, ...],
    box: Box,
    start: Images,
    rule: UpdateRule,
    towards: Float[Tensor, "b k"],
) -> Images:
    """Items after an inner attack that begins at `start`; the network is frozen already."""
    queries = Queries(given[0], lengths=given[1] if len(given) > 1 else None)
    problem = Problem(hasher, hasher, queries, box)
    best = Best(queries.pixels, towards, None, rule.steps)
    best.begin(rule.steps, retry_narrow=False)
    rows = list(range(len(queries)))
    descend(
        problem,
        rule,
        rows=rows,
        start=lambda row: start[row : row + 1],
        size=len(rows),
        best=best,
    )
    return best.images


def short_of_eps(trainer: Trainer) -> str | None:
    """A line where the inner steps together are shorter than eps; None where they are not."""
    length = None if trainer.replays > 1 else trainer.length
    if length is None or trainer.steps * length >= trainer.eps * (1 - 1e-6):
        return None
    many = "1 inner step" if trainer.steps == 1 else f"{trainer.steps} inner steps"
    return (
        f"{trainer.name}: {many} of {255 * length:.3g}/255 cannot cross eps, "
        f"{255 * trainer.eps:.3g}/255: take a larger step_size, or leave it out"
    )
