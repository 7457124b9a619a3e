"""Square: random search on the answers of a service (Andriushchenko et al., ECCV 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hashprobe.attacks.climb import Climb, QueryOptions, QueryTrace, chances, climb_of
from hashprobe.attacks.contract import Attack, Hasher
from hashprobe.attacks.goal import Goal
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Tensor
from hashprobe.types import Budget, Runtime


HALVINGS = np.array([10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000])
"""Queries of 10,000 at which the area of the squares is halved (section 3.3)."""


@checked
@dataclass(frozen=True)
class SquareOptions(QueryOptions):
    """Options of the square attack.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> SquareOptions(query_budget=1000).area
        0.8
    """

    area: float = 0.8
    """p: share of a picture's pixels in the first squares; it is halved nine times."""
    start: Literal["stripes", "noise"] = "stripes"
    """The first perturbation: vertical stripes of +-eps, or +-eps at every value."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.area <= 1:
            raise HashprobeError(f"area must be above 0 and at most 1; got {self.area}")
        if self.start not in ("stripes", "noise"):
            raise HashprobeError(f"start must be stripes or noise; got {self.start!r}")


@checked
def square(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: SquareOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Sets random squares to +-eps and keeps what a service's answers like (Square, algorithm 1).

    Starts from vertical stripes of +-eps. Each query of the service shows the picture with one more
    square, at a random place and with a random sign a channel; it is kept if the score is not
    lower. A query leaves when its goal is reached or its queries are used up. The victim stands for
    the service: it is asked for codes of 8-bit pictures, each counted, and for nothing else.

    Args:
        victim: answers by its judged codes; no gradient is taken.
        queries: N clean images or clips with floating pixels in [0, 1]. Of a clip every frame gets
            the same squares; where only some may change, these are the first.
        goal: with a `search`, that service's lists; otherwise target codes, or untargeted.
        budget: l-infinity radius and the space it counts in.
        options: see `SquareOptions`.
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
        >>> square(ImageHasher("small", 16), queries, Goal.untargeted(), budget=Budget(8 / 255),
        ...        options=SquareOptions(query_budget=5)).shape
        torch.Size([2, 3, 32, 32])
    """
    return square_search(
        victim, queries, goal, budget=budget, options=options, seed=seed, runtime=runtime
    ).images


@checked
def square_search(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: SquareOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> QueryTrace:
    """The same as `square`, with the queries that each picture took.

    Args:
        victim: answers by its judged codes; no gradient is taken.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: as `square`.
        budget: l-infinity radius and the space it counts in.
        options: see `SquareOptions`.
        seed: 0 or above; with the queries' ids it decides on every draw.
        runtime: batch size, who is told.

    Returns:
        Pictures, queries asked, and queries to success.

    Raises:
        HashprobeError: queries, goal or budget that do not fit.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> square_search(ImageHasher("small", 16), Queries(torch.rand(1, 3, 32, 32)),
        ...               Goal.untargeted(), budget=Budget(8 / 255),
        ...               options=SquareOptions(query_budget=5)).asked
        array([5])
    """
    import torch

    climb = climb_of(victim, queries, goal, budget, options, runtime)
    draws = chances(seed, queries)
    with torch.no_grad():
        climb.begin()
        rows = climb.open(list(range(len(queries))))
        current = climb.first()
        if climb.start is None:
            for row in rows:
                current[row] = start_of(climb, row, options.start, draws[row])
        score = np.full(len(queries), -np.inf)
        if rows:
            score[rows] = climb.offer(rows, current[rows])
        while rows := climb.open(rows):
            tried = current[rows]
            for place, row in enumerate(rows):
                side = side_of(climb, row, options)
                add_square(tried[place], climb, row, side, draws[row])
            scores = climb.offer(rows, tried)
            kept = [place for place, row in enumerate(rows) if scores[place] >= score[row]]
            taken = [rows[place] for place in kept]
            current[taken] = tried[kept]
            score[taken] = scores[kept]
    return climb.trace()


def start_of(climb: Climb, row: int, start: str, draw: np.random.Generator) -> Tensor:
    """The first perturbation of a query, in grey levels."""
    import torch

    low, high = climb.box.low[row], climb.box.high[row]
    channels, height, width = low.shape[-3:]
    shape = (channels, 1, width) if start == "stripes" else (channels, height, width)
    up = torch.from_numpy(draw.random(shape) < 0.5).to(low.device)
    return torch.where(up, high, low)


def side_of(climb: Climb, row: int, options: SquareOptions) -> int:
    """The side of the next square of a query."""
    height, width = climb.box.low.shape[-2:]
    spent = climb.oracle.asked[row] / options.query_budget * 10_000
    area = options.area / 2 ** int((spent > HALVINGS).sum())
    side = round((area * height * width) ** 0.5)
    return int(min(max(side, 1), height, width))


def add_square(
    pixels: Tensor, climb: Climb, row: int, side: int, draw: np.random.Generator
) -> None:
    """Sets a square of one query to +-eps, one sign a channel, in place; never as it was."""
    import torch

    low, high = climb.box.low[row], climb.box.high[row]
    channels, height, width = low.shape[-3:]
    top = int(draw.integers(height - side + 1))
    left = int(draw.integers(width - side + 1))
    signs = draw.random(channels) < 0.5
    here = (..., slice(top, top + side), slice(left, left + side))
    up = torch.from_numpy(signs).to(low.device)[:, None, None]
    new = torch.where(up, high[here], low[here])
    if torch.equal(new, pixels[here]):
        new = torch.where(up, low[here], high[here])
    pixels[here] = new


ATTACK = Attack(
    "square",
    square,
    SquareOptions,
    title="Square",
    access="query",
    needs=frozenset(),
)
