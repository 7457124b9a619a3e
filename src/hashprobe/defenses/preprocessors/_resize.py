"""A smaller picture in front of a victim."""

from dataclasses import dataclass

from torch.nn.functional import interpolate

from hashprobe.checked import checked
from hashprobe.defenses.preprocessors.base import Preprocessor, check_number, eight_bits
from hashprobe.tensors import Images


@checked
@dataclass(frozen=True)
class Resize(Preprocessor):
    """Makes every picture smaller and large again (Xie et al., ICLR 2018, without chance).

    Raises:
        HashprobeError: a share out of range.

    Example:
        >>> import torch
        >>> Resize(0.25).apply(torch.rand(2, 3, 16, 24)).shape
        torch.Size([2, 3, 16, 24])
    """

    name = "resize"

    share: float = 0.5
    """Sides of the smaller picture, as a share of the picture's own, 0.05 to 1."""

    def __post_init__(self) -> None:
        check_number(self, "share", 0.05, 1)

    @property
    def title(self) -> str:
        """Its name and share."""
        return f"resize to {self.share:.0%} and back"

    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """Pictures made smaller and large again."""
        return eight_bits(there_and_back(pixels, self.share))

    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same without rounding."""
        return there_and_back(pixels, self.share)


def there_and_back(pixels: Images, share: float) -> Images:
    """Pictures at a share of their sides, then at their own size, both bilinear with antialiasing.

    Example:
        >>> import torch
        >>> there_and_back(torch.ones(1, 3, 5, 4), 0.5).mean()
        tensor(1.)
    """
    size = list(pixels.shape[-2:])
    small = [max(1, round(share * side)) for side in size]
    made = interpolate(pixels, small, mode="bilinear", antialias=True)
    return interpolate(made, size, mode="bilinear", antialias=True).clamp(0, 1)
