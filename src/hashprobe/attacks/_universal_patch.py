"""A patch for all queries: a small part of the picture, replaced without a bound (AdvHash)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, Int8

from hashprobe.attacks._universal import Lesson, Shared, check_queries, learnt
from hashprobe.attacks.contract import Hasher
from hashprobe.checked import checked
from hashprobe.data.queries import START_STREAM, Queries, seed_of
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Tensor


if TYPE_CHECKING:
    from collections.abc import Sequence

Place = Literal["fixed", "random"]
PLACE_STREAM = START_STREAM + 2**22
"""Which random numbers say where a picture gets its patch."""


@checked
@dataclass(frozen=True, eq=False)
class Patch:
    """A square of pixels that is pasted into pictures.

    It has no eps: inside the square a pixel may become anything, outside nothing changes. What
    bounds it is its share of the picture.

    Example:
        >>> import torch
        >>> patch = Patch(torch.ones(3, 7, 7), (32, 32))
        >>> round(patch.share, 3), patch.place
        (0.048, 'fixed')
    """

    pixels: Float[Tensor, "3 s s"]
    """In [0, 1]."""
    sides: tuple[int, int]
    """Height and width of the pictures that it was made for."""
    place: Place = "fixed"
    """fixed: the lower right corner; random: for each picture somewhere else."""
    seed: int = 0
    """With the queries' ids it decides on random places."""

    @property
    def share(self) -> float:
        """Its area, over that of the picture."""
        return float(self.pixels.shape[-1] ** 2 / (self.sides[0] * self.sides[1]))

    @checked
    def on(self, queries: Queries) -> Images:
        """Queries with the patch, in whole 255ths.

        Args:
            queries: pictures of the size that it was made for, whole 255ths in [0, 1].

        Returns:
            The same shape, in [0, 1].

        Raises:
            HashprobeError: clips, or pictures of another size.

        Example:
            >>> import torch
            >>> patch = Patch(torch.ones(3, 2, 2), (8, 8), "random")
            >>> patch.on(Queries(torch.zeros(2, 3, 8, 8))).sum()
            tensor(24.)
        """
        if queries.pixels.ndim != 4 or tuple(queries.pixels.shape[-2:]) != self.sides:
            seen = tuple(queries.pixels.shape)
            raise HashprobeError(f"the patch is for pictures of {self.sides} pixels; got {seen}")
        draws = [np.random.default_rng(seed_of(self.seed, i, PLACE_STREAM)) for i in queries.ids]
        side = self.pixels.shape[-1]
        places = [corner(self.sides, side, self.place, draw) for draw in draws]
        whole = (255 * self.pixels).round() / 255
        return pasted(queries.pixels, whole.to(queries.pixels), places)


@checked
def universal_patch(
    victim: Hasher,
    queries: Queries,
    codes: Int8[np.ndarray, "q k"],
    *,
    share: float = 0.05,
    place: Place = "fixed",
    epochs: int = 10,
    batch_size: int = 24,
    step: float = 4 / 255,
    seed: int = 0,
) -> Patch:
    """One patch that steers all queries to their codes (AdvHash: Hu et al., MM 2021).

    Momentum sign steps on the mean bit-margin loss of a batch, as `universal_perturbation`, with a
    square of the picture in place of a bounded change of all of it; it begins grey. Deviations from
    AdvHash: the loss, where it masks a product of codes and weighs pictures by it; 10 epochs with a
    step of 4/255, where it takes up to 1,000 steps of 1/255 a batch, 5 epochs; a place that may be
    random.

    A patch is made on some queries and measured on others: use `Patch.on` there.

    Args:
        victim: of pictures; left as it was.
        queries: N clean pictures in [0, 1] of one size, to learn from.
        codes: (N, K) of -1, 0 and +1.
        share: of the picture's area, above 0 and at most 1; the square's side is rounded.
        place: `fixed` or `random`, see `Patch`.
        epochs: passes over the queries.
        batch_size: queries of a step.
        step: length of a step, in [0, 1] pixels.
        seed: of the order and of random places.

    Raises:
        HashprobeError: clips, no queries, a share or a step out of range, or codes that do not fit.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries, codes = Queries(torch.rand(4, 3, 32, 32)), np.ones((4, 16), np.int8)
        >>> patch = universal_patch(ImageHasher("small", 16), queries, codes, epochs=1)
        >>> tuple(patch.pixels.shape)
        (3, 7, 7)
    """
    import torch

    if queries.pixels.ndim != 4:
        raise HashprobeError("a universal patch is for pictures")
    check_queries(queries)
    check_share(share)
    if not 0 < step <= 1:
        raise HashprobeError(f"step must be above 0 and at most 1; got {step}")
    height, width = queries.pixels.shape[-2:]
    side = min(height, width, max(1, round(sqrt(share * height * width))))

    def show(clean: Images, square: Tensor, draw: np.random.Generator) -> Images:
        places = [corner((height, width), side, place, draw) for _ in clean]
        return pasted(clean, square, places)

    start = torch.full_like(queries.pixels[0, :, :side, :side], 0.5)
    lesson = Lesson(epochs, batch_size, 1.0, seed)
    pixels = learnt(victim, queries, codes, Shared(show, step, 0.0, 1.0), start, lesson)
    return Patch(pixels, (height, width), place, seed)


def check_share(share: float) -> None:
    """Refuses a part of a picture that is none."""
    if not 0 < share <= 1:
        raise HashprobeError(f"share must be above 0 and at most 1; got {share}")


def corner(
    sides: tuple[int, int], side: int, place: Place, draw: np.random.Generator
) -> tuple[int, int]:
    """Row and column where a square begins."""
    free = sides[0] - side, sides[1] - side
    if place == "fixed":
        return free
    return int(draw.integers(free[0] + 1)), int(draw.integers(free[1] + 1))


def pasted(clean: Images, square: Tensor, places: Sequence[tuple[int, int]]) -> Images:
    """Pictures with a square at a place of each."""
    shown, side = clean.clone(), square.shape[-1]
    for row, (top, left) in enumerate(places):
        shown[row, :, top : top + side, left : left + side] = square
    return shown
