"""Several victims as one, for attacks that are to work on others: their codes end to end."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Logits
from hashprobe.victims.base import Hasher


class Ensemble(Hasher):
    """Victims whose outputs stand one after the other, each divided by its own mean |z|.

    A target code of an ensemble is that of each victim, end to end: every victim has a code of its
    own for the same label, and of its own length. It is for gradients; nothing is judged by it.

    Args:
        victims: two or more, for pictures of one size.

    Raises:
        HashprobeError: fewer than two, clips, or pictures of different sizes.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> both = Ensemble([ImageHasher("small", 16), ImageHasher("small", 12)])
        >>> both(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 28])
    """

    def __init__(self, victims: Sequence[Hasher]) -> None:
        if len(victims) < 2:
            raise HashprobeError(f"an ensemble has two or more victims; got {len(victims)}")
        sizes = sorted({(each.contract.size, each.contract.frames) for each in victims})
        if len(sizes) > 1 or sizes[0][1]:
            raise HashprobeError(
                "an ensemble takes pictures of one size; got victims of "
                + " and ".join(f"{side} pixels, {frames} frames" for side, frames in sizes)
            )
        super().__init__(sum(each.bits for each in victims), victims[0].contract)
        self.victims = nn.ModuleList(victims)

    def forward(self, images: Tensor) -> Logits:
        """Outputs of all victims.

        Args:
            images: (N, 3, H, W) in [0, 1].

        Returns:
            (N, sum of K).
        """
        parts = []
        for each in self.victims:
            logits = each(images)
            mean = logits.detach().abs().mean(1, keepdim=True)
            parts.append(logits / torch.where(mean > 0, mean, torch.ones_like(mean)))
        return torch.cat(parts, dim=1)
