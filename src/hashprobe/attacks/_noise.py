"""Noise: the baseline of the DHTA paper that knows nothing of the victim."""

from dataclasses import dataclass

import numpy as np

from hashprobe.attacks.contract import Attack, Hasher
from hashprobe.attacks.goal import Goal
from hashprobe.checked import checked
from hashprobe.data.queries import NOISE_STREAM, Queries, seed_of
from hashprobe.tensors import Images
from hashprobe.types import Budget, Runtime


@checked
@dataclass(frozen=True)
class NoiseOptions:
    """Noise has no options but its budget.

    Example:
        >>> NoiseOptions()
        NoiseOptions()
    """


@checked
def noise(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: NoiseOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Adds one draw of U(-eps, eps) to each value of a query (DHTA, section 4.2).

    The draw is made on the CPU in float64 from (seed, query id), so it is the same on every
    device and in every batch. Pixels that would leave [0, 1] are clamped. Where only some frames
    of a clip may change, those with the largest draw do.

    Args:
        victim: only asked for its std.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: plays no part; `Goal.untargeted()`.
        budget: l-infinity radius and the space it counts in.
        options: has none.
        seed: 0 or above; with the queries' ids it decides on the draw.
        runtime: who is told.

    Returns:
        (N, 3, H, W) noisy queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or seed that do not fit.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries = Queries(torch.full((2, 3, 32, 32), 0.5))
        >>> noisy = noise(ImageHasher("small", 16), queries, Goal.untargeted(),
        ...               budget=Budget(8 / 255), options=NoiseOptions(), seed=3)
        >>> bool(noisy.min() >= 0.5 - 8 / 255), bool((noisy[0] != noisy[1]).any())
        (True, True)
    """
    import torch

    from hashprobe.optim.box import project, unit_of
    from hashprobe.victims.checks import check_images

    images = queries.pixels
    check_images(images)
    drawn = []
    for query_id in queries.ids:
        state = seed_of(seed, query_id, NOISE_STREAM).generate_state(1, np.uint64)
        chance = torch.Generator().manual_seed(int(state[0]))
        one = torch.rand(images.shape[1:], generator=chance, dtype=torch.float64)
        drawn.append(one[:1].expand_as(one) if budget.shared else one)
    uniform = (2 * torch.stack(drawn) - 1).to(images)
    noisy = images + budget.eps * unit_of(budget, victim.contract, images) * uniform
    noisy = project(noisy, images, budget, victim.contract, queries.lengths)
    if runtime.watch is not None:
        runtime.watch.step(len(images), len(images))
    return noisy


ATTACK = Attack(
    "noise",
    noise,
    NoiseOptions,
    title="Noise",
    goal="untargeted",
    needs=frozenset(),
    baseline=True,
    demo=True,
)
