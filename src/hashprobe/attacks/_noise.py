"""Noise: the baseline of the DHTA paper that knows nothing of the hasher."""

from dataclasses import dataclass

import numpy as np
import torch

from hashprobe.attacks.contract import NOISE_STREAM, QueryIds, checked_ids, seed_of
from hashprobe.attacks.targets import Tie
from hashprobe.optim.box import Box, project
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Targets
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.checks import check_images, check_targets


@dataclass(frozen=True)
class NoiseOptions:
    """Noise can be told nothing but its budget.

    Example:
        >>> NoiseOptions().n_t
        1
    """

    @property
    def n_t(self) -> int:
        """The target code plays no part; one item gives it."""
        return 1

    @property
    def tie(self) -> Tie:
        """One code has no ties."""
        return "plus"


def noise(
    hasher: Hasher,
    images: Images,
    targets: Targets,
    *,
    budget: Budget,
    options: NoiseOptions,
    seed: int = 0,
    query_ids: QueryIds | None = None,
    session: Session | None = None,
) -> Images:
    """Adds one draw of U(-eps, eps) to each value of a query (DHTA, section 4.2).

    The draw is made on the CPU in float64 from (seed, query id), so it is the same on every
    device and in every batch. Pixels that would leave [0, 1] are clamped. Where only some frames
    of a clip may change, those with the largest draw do.

    Args:
        hasher: only asked for its code length and its std.
        images: (N, 3, H, W) clean queries in [0, 1], float32 or float64.
        targets: (N, K) target codes; checked, but they play no part.
        budget: l-infinity radius and the space it counts in.
        options: see `NoiseOptions`.
        seed: 0 or above.
        query_ids: one whole number per query; by default 0 to N - 1.
        session: is told of the one step; there is nothing else to compute.

    Returns:
        (N, 3, H, W) noisy queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: images, targets, seed or ids that do not fit.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> images = torch.full((2, 3, 32, 32), 0.5)
        >>> noisy = noise(ImageHasher("small", 16), images, torch.ones(2, 16),
        ...               budget=Budget(8 / 255), options=NoiseOptions(), seed=3)
        >>> bool(noisy.min() >= 0.5 - 8 / 255), bool((noisy[0] != noisy[1]).any())
        (True, True)
    """
    check_images(images)
    check_targets(targets, len(images), hasher.bits)
    box = Box.around(images, budget, hasher.contract)
    drawn = []
    for query_id in checked_ids(query_ids, len(images)):
        state = seed_of(seed, query_id, NOISE_STREAM).generate_state(1, np.uint64)
        chance = torch.Generator().manual_seed(int(state[0]))
        one = torch.rand(images.shape[1:], generator=chance, dtype=torch.float64)
        drawn.append(one[:1].expand_as(one) if budget.shared else one)
    uniform = (2 * torch.stack(drawn) - 1).to(images)
    lengths = None if session is None else session.lengths
    noisy = images + budget.eps * box.unit * uniform
    noisy = project(noisy, images, budget, hasher.contract, lengths)
    if session is not None and session.on_step is not None:
        session.on_step(len(images), len(images))
    return noisy
