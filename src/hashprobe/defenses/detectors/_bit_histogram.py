"""A detector by the histogram of bit margins."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.detectors.base import Detector, Penalty, Score
from hashprobe.tensors import Images, Logits
from hashprobe.types import check_whole
from hashprobe.victims.base import Hasher


@checked
@dataclass(frozen=True)
class BitHistogram(Detector):
    """How unlikely the margins |z_k| of a query are among those of clean pictures.

    An attack stops at the border, or pushes all bits far beyond it: either way the margins of its
    bits are not those of clean pictures. The score is the mean of -log h(|z_k|), h being the
    histogram of clean margins over equally filled bins; a penalty is that between bins, linearly.

    Raises:
        HashprobeError: fewer than two bins.

    Example:
        >>> BitHistogram().bins
        16
    """

    name = "bit-histogram"
    title = "Histogram of bit margins"

    bins: int = 16
    """Bins of the histogram, 2 to 1000."""

    def __post_init__(self) -> None:
        check_whole("bins", self.bins, 2, 1000)

    def made(
        self, victim: Hasher, logits: Logits, database: PackedCodes | None
    ) -> tuple[Score, Penalty]:
        """Score and penalty: the same of other logits, with a gradient."""
        margins = logits.abs().flatten().sort().values
        places = torch.linspace(0, len(margins) - 1, self.bins + 1).round().long()
        ends = margins[places.to(margins.device)]
        widths = (ends[1:] - ends[:-1]).clamp_min(1e-6 * float(ends[-1]) + 1e-12)
        # Bins are filled alike: the density of one is 1 over its width.
        unlikely, middles = widths.log(), (ends[1:] + ends[:-1]) / 2
        scale = float(ends[-1]) / 4 + 1e-12

        def suspicion(_: Images, z: Logits) -> Float[Tensor, " n"]:
            size = z.abs()
            beyond = (size - ends[-1]).clamp_min(0) / scale
            return (interpolated(size, middles, unlikely) + beyond).mean(1)

        def score(images: Images) -> Float[Tensor, " n"]:
            return suspicion(images, victim.operator_logits(images))

        return score, suspicion


def interpolated(
    x: Float[Tensor, "n k"], places: Float[Tensor, " b"], values: Float[Tensor, " b"]
) -> Float[Tensor, "n k"]:
    """A function given at places that rise, linear between them and constant beyond.

    Example:
        >>> ends = torch.tensor([0.0, 2.0])
        >>> interpolated(torch.tensor([[-1.0, 0.5, 3.0]]), ends, torch.tensor([0.0, 8.0]))
        tensor([[0., 2., 8.]])
    """
    right = torch.searchsorted(places, x.detach().contiguous()).clamp(1, len(places) - 1)
    low, high = places[right - 1], places[right]
    share = ((x - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return values[right - 1] + share * (values[right] - values[right - 1])
