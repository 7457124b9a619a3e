"""A Gaussian blur in front of a victim."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.defenses.preprocessors.base import Preprocessor, check_number, eight_bits
from hashprobe.tensors import Images


@checked
@dataclass(frozen=True)
class Blur(Preprocessor):
    """Blurs every picture by a Gaussian, with its edge pixels repeated around it.

    Raises:
        HashprobeError: a sigma out of range.

    Example:
        >>> Blur(2.0).apply(torch.rand(2, 3, 16, 24)).shape
        torch.Size([2, 3, 16, 24])
    """

    name = "blur"

    sigma: float = 1.0
    """Standard deviation in pixels, 0.1 to 20."""

    def __post_init__(self) -> None:
        check_number(self, "sigma", 0.1, 20)

    @property
    def title(self) -> str:
        """Its name and sigma."""
        return f"blur of {self.sigma:g} px"

    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """Blurred pictures."""
        return eight_bits(self.differentiable(pixels.detach()))

    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same without rounding."""
        down, across = (
            blurring(n, self.sigma, pixels.dtype, pixels.device) for n in pixels.shape[-2:]
        )
        return (down @ (pixels @ across.T)).clamp(0, 1)


@lru_cache(maxsize=64)
def blurring(n: int, sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(n, n): the blur of an axis of n pixels, up to three standard deviations."""
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    seen = (torch.arange(n).unsqueeze(1) + places.long()).clamp(0, n - 1)
    with torch.inference_mode(False):
        matrix = torch.zeros(n, n, dtype=torch.float64)
        matrix.scatter_add_(1, seen, (weights / weights.sum()).expand(n, -1))
        return matrix.to(device, dtype)
