"""NES: gradients estimated from the answers of a service (Ilyas et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashprobe.attacks.climb import Climb, QueryOptions, QueryTrace, chances, climb_of
from hashprobe.attacks.contract import Attack, Hasher
from hashprobe.attacks.goal import Goal
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Tensor
from hashprobe.types import Budget, Runtime, check_whole


@checked
@dataclass(frozen=True)
class NesOptions(QueryOptions):
    """Options of NES.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> NesOptions().samples
        20
    """

    samples: int = 20
    """Queries for one estimate, in antithetic pairs."""
    spread: float = 0.75
    """sigma: deviation of the samples, in units of eps. Distances are whole numbers, so it is
    larger than for scores."""
    step_size: float = 0.25
    """l-infinity length of a step along the sign of the estimate, in units of eps."""
    momentum: float = 0.9
    """Share of the last estimate that is kept, from 0 to below 1."""
    tiles: int = 16
    """Samples are drawn on a grid of so many tiles a side, and enlarged."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("samples", self.samples, least=2)
        check_whole("tiles", self.tiles)
        for name in ("spread", "step_size"):
            if not 0 < getattr(self, name) < float("inf"):
                raise HashprobeError(f"{name} must be above 0; got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise HashprobeError(f"momentum must be from 0 to below 1; got {self.momentum}")


@checked
def nes(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: NesOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steps along the sign of a gradient that is estimated from answers (NES, section 2.2).

    g = mean over pairs of (s(x + sigma u) - s(x - sigma u)) u / 2 with Gaussian u; the score s is
    read off the answers. A query leaves when its goal is reached or its queries are used up. The
    victim stands for the service: it is asked for codes of 8-bit pictures, each counted, and for
    nothing else.

    Args:
        victim: answers by its judged codes; no gradient is taken.
        queries: N clean images or clips with floating pixels in [0, 1]. All frames of a clip move
            alike; where only some may change, these are the first.
        goal: with a `search`, that service's lists; otherwise target codes, or untargeted.
        budget: l-infinity radius and the space it counts in.
        options: see `NesOptions`.
        seed: 0 or above; with the queries' ids it decides on every draw.
        runtime: batch size, who is told.

    Returns:
        (N, 3, H, W) the best pictures shown, multiples of 1/255 in the budget.

    Raises:
        HashprobeError: queries, goal or budget that do not fit.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> nes(ImageHasher("small", 16), queries, Goal.untargeted(), budget=Budget(8 / 255),
        ...     options=NesOptions(query_budget=5)).shape
        torch.Size([2, 3, 32, 32])
    """
    return nes_search(
        victim, queries, goal, budget=budget, options=options, seed=seed, runtime=runtime
    ).images


@checked
def nes_search(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: NesOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> QueryTrace:
    """The same as `nes`, with the queries that each picture took.

    Args:
        victim: answers by its judged codes; no gradient is taken.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: as `nes`.
        budget: l-infinity radius and the space it counts in.
        options: see `NesOptions`.
        seed: 0 or above; with the queries' ids it decides on every draw.
        runtime: batch size, who is told.

    Returns:
        Pictures, queries asked, and queries to success.

    Raises:
        HashprobeError: queries, goal or budget that do not fit.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> nes_search(ImageHasher("small", 16), Queries(torch.rand(1, 3, 32, 32)),
        ...            Goal.untargeted(), budget=Budget(8 / 255),
        ...            options=NesOptions(query_budget=5)).asked
        array([5])
    """
    import torch

    climb = climb_of(victim, queries, goal, budget, options, runtime)
    draws, every = chances(seed, queries), list(range(len(queries)))
    with torch.no_grad():
        climb.begin()
        current = climb.first()
        if climb.start is not None and (rows := climb.open(every)):
            climb.offer(rows, current[rows])
        reach = (climb.box.high - climb.box.low).amax((-1, -2), keepdim=True) / 2
        momentum = torch.zeros_like(current)
        while rows := climb.open(every):
            estimate = estimated(climb, current, reach, options, draws)
            rows = [row for row in climb.open(rows) if estimate[row].any()]
            if not rows:
                continue
            momentum[rows] = options.momentum * momentum[rows] + estimate[rows]
            move = options.step_size * reach[rows] * momentum[rows].sign()
            current[rows] = climb.box.rows(torch.tensor(rows)).clip(current[rows] + move)
            climb.offer(rows, current[rows])
    return climb.trace()


def estimated(
    climb: Climb,
    current: Images,
    reach: Tensor,
    options: NesOptions,
    draws: list[np.random.Generator],
) -> Images:
    """One estimate of the gradient of each query's score; 0 where no answer differs."""
    import torch

    total = torch.zeros_like(current)
    for _ in range(options.samples // 2):
        rows = climb.open(list(range(len(current))))
        if not rows:
            break
        noise = torch.stack([tiled(current[row], options.tiles, draws[row]) for row in rows])
        found = {}
        for sign in (1.0, -1.0):
            asked = climb.open(rows)
            if not asked:
                break
            picked = [rows.index(row) for row in asked]
            moved = current[asked] + sign * options.spread * reach[asked] * noise[picked]
            box = climb.box.rows(torch.tensor(asked))
            found[sign] = dict(zip(asked, climb.offer(asked, box.clip(moved)), strict=True))
        for place, row in enumerate(rows):
            if row in found.get(-1.0, {}):
                total[row] += float(found[1.0][row] - found[-1.0][row]) / 2 * noise[place]
    return total


def tiled(like: Tensor, tiles: int, draw: np.random.Generator) -> Tensor:
    """Gaussian noise on a coarse grid, enlarged to a picture; the same for all frames of a clip."""
    import torch

    channels, height, width = like.shape[-3:]
    grid = draw.standard_normal((channels, min(tiles, height), min(tiles, width)))
    rows, columns = (np.arange(side) * min(tiles, side) // side for side in (height, width))
    noise = torch.from_numpy(grid[:, rows][:, :, columns]).to(like)
    return noise.expand_as(like)


ATTACK = Attack("nes", nes, NesOptions, title="NES", access="query", needs=frozenset())
