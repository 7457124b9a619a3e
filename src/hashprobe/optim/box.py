"""Where an adversarial query may lie: the l-infinity ball of the budget, cut to valid pixels."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.optim.frames import check_frame_rule, keep_rule, kept_frames, spread
from hashprobe.tensors import Images, Images8
from hashprobe.types import Budget, InputContract


HAIR = 5e-5
"""What a multiple of 1/255, times 255, may be off in float32."""


@dataclass(frozen=True, eq=False)
class Box:
    """The pixels that a budget allows around clean images (DHTA, section 3.2, equation 8).

    Both constraints are intervals per pixel and the clean pixel is in both, so clamping to one
    and then to the other gives the same in either order: one clamp to their intersection.

    Example:
        >>> box = Box.around(torch.full((1, 3, 1, 1), 0.99), Budget(0.25), InputContract())
        >>> box.low.flatten().tolist(), box.high.flatten().tolist()
        ([0.74..., 0.74..., 0.74...], [1.0, 1.0, 1.0])
    """

    low: Images
    """Lowest pixels, (N, 3, H, W) in [0, 1]; below 0 where a change is shared by frames."""
    high: Images
    """Highest pixels, likewise."""
    unit: Float[Tensor, "1 3 1 1"]
    """How many [0, 1] pixels one unit of the budget's space is, per channel."""
    shared: bool = False
    """Whether all frames of a clip change alike."""

    @classmethod
    def around(cls, images: Images, budget: Budget, contract: InputContract) -> "Box":
        """The box around clean images.

        A change that frames share is cut at black and white only where a frame is `shown`: cut
        earlier, the frames would not be changed alike any more.

        Args:
            images: (N, 3, H, W) in [0, 1], or clips.
            budget: radius and the space it counts in.
            contract: its std says how large a normalised unit is.

        Raises:
            HashprobeError: a budget that speaks of frames, for images.
        """
        check_frame_rule(budget, images)
        one = (1.0, 1.0, 1.0)
        unit = images.new_tensor(one if budget.space == "pixel" else contract.std)
        unit = unit.view(1, 3, 1, 1)
        low, high = images - budget.eps * unit, images + budget.eps * unit
        if not budget.shared:
            low, high = low.clamp(0, 1), high.clamp(0, 1)
        return cls(low, high, unit, budget.shared)

    def clamp(self, images: Images) -> Images:
        """The nearest images inside the box."""
        return torch.maximum(torch.minimum(images, self.high), self.low)

    def within(self, clean: Images, open: Bool[Tensor, "n t"]) -> "Box":
        """The box with no room in frames that may not change."""
        if open.all():
            return self
        mask = spread(open)
        low, high = (torch.where(mask, bound, clean) for bound in (self.low, self.high))
        return Box(low, high, self.unit, self.shared)

    def of(self, rows: Int64[Tensor, " m"]) -> "Box":
        """The box of some of the images."""
        return Box(self.low[rows], self.high[rows], self.unit, self.shared)

    def eight_bit(self, images: Images) -> Images:
        """The nearest images inside the box whose values are multiples of 1/255.

        Where no multiple lies in the box, a pixel becomes the box's centre: the clean one. A change
        that frames share is rounded once for all of them: near a half each frame's own pixels would
        go one way or the other.

        Example:
            >>> clean = torch.full((1, 3, 1, 1), 100 / 255)
            >>> box = Box.around(clean, Budget(8 / 255), InputContract())
            >>> 255 * box.eight_bit(torch.full((1, 3, 1, 1), 0.7)).flatten()
            tensor([108., 108., 108.])
        """
        if self.shared:
            return self.eight_bit_alike(images)
        # 255 * (100/255 - 8/255) may lie a hair above 92 in floating point.
        low = (255 * self.low - HAIR).ceil().clamp(0)
        high = (255 * self.high + HAIR).floor().clamp(None, 255)
        rounded = torch.maximum(torch.minimum((255 * images).round(), high), low) / 255
        return torch.where(low <= high, rounded, (self.low + self.high) / 2)

    def eight_bit_alike(self, images: Images) -> Images:
        """Clean clips and the same whole number of grey levels on all frames that may change."""
        clean = 255 * (self.low + self.high) / 2
        clean = torch.where((clean - clean.round()).abs() < HAIR, clean.round(), clean)
        levels = (255 * images - clean).round()
        levels = levels.gather(1, levels.abs().argmax(1, keepdim=True))
        reach = (255 * (self.high - self.low) / 2 + HAIR).floor()
        return (clean + torch.maximum(torch.minimum(levels, reach), -reach)).clamp(0, 255) / 255

    @staticmethod
    def cut(images: Images, gradient: Images) -> Bool[Tensor, "n *t 3 h w"]:
        """Values beyond black or white, which going on downhill would not show any more."""
        return ((images < 0) & (gradient > 0)) | ((images > 1) & (gradient < 0))

    @staticmethod
    def shown(images: Images) -> Images:
        """Pixels of the box as a network is shown them: cut at black and white."""
        return images.clamp(0, 1)

    @staticmethod
    def check_eight_bit(budget: Budget, contract: InputContract) -> None:
        """Refuses a budget within which no 8-bit pixel can change.

        Raises:
            HashprobeError: no channel can change by a whole 1/255.
        """
        if max(reach_of(budget, contract)) < 1:
            raise HashprobeError(
                f"no 8-bit pixel can change within {budget}: take at least 1/255, or an attack "
                "that works in floats, such as dhta"
            )


def project(
    adversarial: Images,
    clean: Images,
    budget: Budget,
    contract: InputContract,
    lengths: Int64[Tensor, " n"] | None = None,
) -> Images:
    """Brings what an attack returns into its budget and into [0, 1]; padding stays clean.

    Args:
        adversarial: (N, 3, H, W), or clips.
        clean: what the budget counts from, in [0, 1].
        budget: radius, its space, and which frames may change.
        contract: its std says how large a normalised unit is.
        lengths: (N,) frames of each clip; None for images, and where all have T.

    Example:
        >>> clean = torch.full((1, 3, 1, 1), 0.5)
        >>> project(torch.ones(1, 3, 1, 1), clean, Budget(0.25), InputContract()).flatten()
        tensor([0.7500, 0.7500, 0.7500])
    """
    moved = Box.around(clean, budget, contract).clamp(adversarial)
    if budget.shared:
        moved = clean + keep_rule(moved - clean, budget, lengths)
    elif clean.ndim == 5:
        kept = kept_frames(moved - clean, budget, lengths)
        moved = torch.where(spread(kept), moved, clean)
    return Box.shown(moved)


def round_to_bytes(
    adversarial: Images,
    clean: Images8,
    budget: Budget,
    contract: InputContract,
    lengths: Int64[Tensor, " n"] | None = None,
) -> Images8:
    """Adversarial pixels as 8-bit integers that keep the budget after rounding, too.

    A pixel goes to the nearest of the integers from ceil(255 (x - r)) to floor(255 (x + r)), r
    being eps in pixels (times the channel's std in normalised space): near the budget that is
    towards the clean pixel. Below 1/255 the only such integer is the clean pixel itself.

    Args:
        adversarial: (N, 3, H, W) in [0, 1], or clips; `project` has been over them.
        clean: the same shape, the 8-bit images that the budget counts from.
        budget: radius, its space, and which frames may change.
        contract: its std says how large a normalised unit is.
        lengths: (N,) frames of each clip; None for images, and where all have T.

    Returns:
        The same shape, in 0..255.

    Raises:
        HashprobeError: a pixel that is not a number.

    Example:
        >>> clean = torch.full((1, 3, 1, 1), 250, dtype=torch.uint8)
        >>> round_to_bytes(torch.ones(1, 3, 1, 1), clean, Budget(2.5 / 255), InputContract()).max()
        tensor(252, dtype=torch.uint8)
    """
    if not torch.isfinite(adversarial).all():
        raise HashprobeError("the attack returned pixels that are not numbers")
    reach, start = reach_of(budget, contract), clean.to(torch.int16)
    radius = torch.tensor(reach, dtype=torch.int16, device=clean.device).view(1, 3, 1, 1)
    wanted = (adversarial.double() * 255).round_().clamp_(0, 255).to(torch.int16)
    low, high = (start - radius).clamp(min=0), (start + radius).clamp(max=255)
    rounded = torch.maximum(torch.minimum(wanted, high), low)
    if budget.shared:
        # Halves may have been rounded up in one frame and down in another.
        rounded = (start + keep_rule(rounded - start, budget, lengths)).clamp(0, 255)
    return rounded.to(torch.uint8)


def reach_of(budget: Budget, contract: InputContract) -> list[int]:
    """By how many grey levels the budget lets each channel change.

    Example:
        >>> reach_of(Budget(0.032), InputContract()), reach_of(Budget(0.003), InputContract())
        ([8, 8, 8], [0, 0, 0])
    """
    std = (1.0, 1.0, 1.0) if budget.space == "pixel" else contract.std
    # 8/255 * 255 may fall a hair below 8 in floating point.
    return [min(255, int(255 * budget.eps * s + 1e-6)) for s in std]
