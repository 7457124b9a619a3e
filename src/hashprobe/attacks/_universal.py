"""Universal perturbations: one change for all queries, which others can add without the victim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from hashprobe.attacks._bit_margin import SOFT, bit_margin_loss
from hashprobe.attacks.contract import Hasher
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Tensor
from hashprobe.types import Budget, check_seed, check_whole


@checked
def universal_perturbation(
    victim: Hasher,
    queries: Queries,
    codes: Int8[np.ndarray, "q k"],
    *,
    budget: Budget = Budget(10 / 255),
    epochs: int = 10,
    batch_size: int = 24,
    momentum: float = 1.0,
    seed: int = 0,
) -> Float[Tensor, "3 h w"]:
    """One perturbation that steers all queries to their codes (UAP: Li et al., ICCV 2019).

    Momentum sign steps of eps / 10 on the mean bit-margin loss of a batch, over all queries in an
    order of the seed's, projected onto the budget after each. With one code for all it is the
    universal attack on a target label (SS-TUAA, ICASSP 2024); with the opposite of each query's own
    code it leads away from everything. Deviation: a margin loss in place of UAP's ranking losses.

    A perturbation is made on some queries and measured on others: use `perturbed` there.

    Args:
        victim: of pictures; left as it was.
        queries: N clean pictures in [0, 1] of one size, to learn from.
        codes: (N, K) of -1, 0 and +1.
        budget: l-infinity radius in pixels.
        epochs: passes over the queries.
        batch_size: queries of a step.
        momentum: what is kept of earlier gradients.
        seed: of the order.

    Returns:
        (3, H, W) in [-eps, eps], on the device of the queries.

    Raises:
        HashprobeError: clips, no queries, another budget space, or codes that do not fit.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries, codes = Queries(torch.rand(4, 3, 32, 32)), np.ones((4, 16), np.int8)
        >>> delta = universal_perturbation(ImageHasher("small", 16), queries, codes, epochs=1)
        >>> tuple(delta.shape), bool(delta.abs().max() <= 10 / 255 + 1e-6)
        ((3, 32, 32), True)
    """
    from hashprobe.optim.frames import check_frame_rule

    if queries.pixels.ndim != 4 or budget.space != "pixel":
        what = "clips" if queries.pixels.ndim != 4 else f"eps in the space {budget.space}"
        raise HashprobeError(
            f"a universal perturbation is for pictures, with eps in the space pixel; got {what}"
        )
    check_frame_rule(budget, queries.pixels)
    check_queries(queries)
    eps = budget.eps
    change = Shared(lambda clean, delta, _: (clean + delta).clamp(0, 1), eps / 10, -eps, eps)
    lesson = Lesson(epochs, batch_size, momentum, seed)
    return learnt(victim, queries, codes, change, queries.pixels[0] * 0, lesson)


@dataclass(frozen=True)
class Shared:
    """A change that many queries share."""

    show: Callable[[Images, Tensor, np.random.Generator], Images]
    """What pictures become by it; it may draw places."""
    step: float
    """Length of a sign step."""
    low: float
    high: float
    """Between which its values stay."""


@dataclass(frozen=True)
class Lesson:
    """How long a change is learnt."""

    epochs: int
    batch_size: int
    momentum: float
    seed: int

    def __post_init__(self) -> None:
        check_whole("epochs", self.epochs)
        check_whole("batch_size", self.batch_size)
        check_seed(self.seed)
        if not 0 <= self.momentum < float("inf"):
            raise HashprobeError(f"momentum must be 0 or above; got {self.momentum}")


def check_queries(queries: Queries) -> None:
    """Refuses to learn from nothing."""
    if not len(queries):
        raise HashprobeError("there are no queries to learn from: give one or more")


def learnt(
    victim: Hasher,
    queries: Queries,
    codes: Int8[np.ndarray, "q k"],
    change: Shared,
    start: Tensor,
    lesson: Lesson,
) -> Tensor:
    """A change after momentum sign steps on the mean bit-margin loss of batches."""
    import torch

    from hashprobe.optim.descend import mean_size
    from hashprobe.optim.gradients import check_finite
    from hashprobe.victims.base import frozen_eval, in_own_dtype
    from hashprobe.victims.checks import check_images, check_targets

    check_images(queries.pixels)
    wanted = torch.from_numpy(codes).to(queries.pixels)
    check_targets(wanted, len(queries), victim.bits)
    order = np.random.default_rng(lesson.seed)
    parts = -(-len(queries) // lesson.batch_size)
    with frozen_eval(victim), torch.inference_mode(False), torch.enable_grad():
        clean, wanted = queries.pixels.clone(), wanted.clone()
        made = start.clone()
        kept = torch.zeros_like(made)
        for _ in range(lesson.epochs):
            for rows in np.array_split(order.permutation(len(queries)), parts):
                given = made.detach().requires_grad_()
                logits = victim(in_own_dtype(victim, change.show(clean[rows], given, order)))
                loss = bit_margin_loss(logits.to(clean), wanted[rows], SOFT).mean()
                (gradient,) = torch.autograd.grad(loss, given)
                check_finite(gradient, "gradient", torch.zeros(1, dtype=torch.long))
                kept = lesson.momentum * kept + gradient / mean_size(gradient[None])[0][0]
                made = (made - change.step * kept.sign()).clamp(change.low, change.high)
    return made.detach()


@checked
def perturbed(images: Images, delta: Float[Tensor, "3 h w"]) -> Images:
    """Pictures with a universal perturbation, rounded to 8 bits towards the clean pixels.

    Args:
        images: (N, 3, H, W), whole 255ths in [0, 1].
        delta: from `universal_perturbation`.

    Returns:
        The same shape, whole 255ths in [0, 1].

    Raises:
        HashprobeError: pictures of another size.

    Example:
        >>> import torch
        >>> perturbed(torch.full((1, 3, 1, 1), 0.2), torch.full((3, 1, 1), 2.6 / 255)).mean() * 255
        tensor(53.)
    """
    if images.shape[-3:] != delta.shape:
        sides = " and ".join(str(tuple(each.shape[-2:])) for each in (images, delta))
        raise HashprobeError(f"pictures and perturbation must have one size; got {sides}")
    return ((255 * images).round() + (255 * delta).trunc()).clamp(0, 255) / 255
