"""A median filter in front of a victim."""

from dataclasses import dataclass
from itertools import product

import torch

from hashprobe.checked import checked
from hashprobe.data.arrays import as_bytes
from hashprobe.defenses.preprocessors.base import Preprocessor, check_number, straight_through
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Images8


EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
"""Pairs of places that are put in order, one after another; the median of nine ends in the fourth
(Smith, "Implementing median filters in XC4000E FPGAs", 1996)."""


@checked
@dataclass(frozen=True)
class Median(Preprocessor):
    """The median of the square around every pixel, by channel (Xu et al., NDSS 2018).

    Raises:
        HashprobeError: a size that is even or out of range.

    Example:
        >>> Median().apply(torch.rand(2, 3, 16, 24)).shape
        torch.Size([2, 3, 16, 24])
    """

    name = "median"

    size: int = 3
    """Side of the neighbourhood in pixels, odd, 3 to 15; edge pixels are repeated around."""

    def __post_init__(self) -> None:
        check_number(self, "size", 3, 15)
        if self.size % 2 == 0:
            raise HashprobeError(f"median: size must be odd; got {self.size}")

    @property
    def title(self) -> str:
        """Its name and size."""
        return f"median of {self.size}x{self.size}"

    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """Filtered pictures."""
        return middle(self.neighbours(as_bytes(pixels.detach()))).to(pixels) / 255

    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same; the gradient goes to the nearest pixel that is the median."""
        around = self.neighbours(as_bytes(pixels.detach()))
        wanted, reach = middle(around), self.size // 2
        chosen = torch.zeros_like(wanted)
        moves = list(product(range(-reach, reach + 1), repeat=2))
        for place in sorted(range(len(moves)), key=lambda i: -sum(map(abs, moves[i]))):
            chosen.masked_fill_(around[place] == wanted, place)
        height, width = pixels.shape[-2:]
        chosen = chosen.long()
        rows = chosen // self.size - reach + torch.arange(height, device=pixels.device)[:, None]
        columns = chosen % self.size - reach + torch.arange(width, device=pixels.device)
        places = rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)
        found = pixels.flatten(2).gather(2, places.flatten(2)).view_as(pixels)
        return straight_through(found, wanted.to(pixels) / 255)

    def neighbours(self, pixels: Images8) -> list[Images8]:
        """The values at each place of the square around every pixel."""
        height, width = pixels.shape[-2:]
        reach = self.size // 2
        rows, columns = (
            (torch.arange(n + 2 * reach, device=pixels.device) - reach).clamp_(0, n - 1)
            for n in (height, width)
        )
        around = pixels[:, :, rows][:, :, :, columns]
        corners = product(range(self.size), repeat=2)
        return [around[..., y : y + height, x : x + width] for y, x in corners]


def middle(around: list[Images8]) -> Images8:
    """The median of some 8-bit values at each place."""
    rows = list(around)
    if len(rows) != 9:
        return torch.stack(rows).median(0).values
    for low, high in EXCHANGES:
        first, second = rows[low], rows[high]
        rows[low], rows[high] = torch.minimum(first, second), torch.maximum(first, second)
    return rows[4]
