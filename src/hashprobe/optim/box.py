"""Where an adversarial query may lie: the l-infinity ball of the budget, cut to valid pixels."""

import copy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.optim.frames import check_frame_rule, keep_rule, kept_frames, spread
from hashprobe.tensors import Frames, Images, Images8, Lengths
from hashprobe.types import Budget, InputContract, Space


HAIR = 5e-5
"""What a multiple of 1/255, times 255, may be off in float32."""


@checked
@dataclass(frozen=True, eq=False)
class Box:
    """The pixels that a budget allows around clean images (DHTA, section 3.2, equation 8).

    Both constraints are intervals per pixel and the clean pixel is in both, so clamping to one
    and then to the other gives the same in either order: one clamp to their intersection. An
    attack that rounds its iterates counts in grey levels, where rounding is one operation.

    Example:
        >>> box = Box.around(torch.full((1, 3, 1, 1), 0.99), Budget(0.25), InputContract())
        >>> box.low.flatten().tolist(), box.high.flatten().tolist()
        ([0.74..., 0.74..., 0.74...], [1.0, 1.0, 1.0])
    """

    low: Images
    """Lowest pixels, (N, 3, H, W); below black where a change is shared by frames."""
    high: Images
    """Highest pixels, likewise."""
    unit: Float[Tensor, "1 3 1 1"]
    """How many [0, 1] pixels one unit of the budget's space is, per channel."""
    space: Space = "pixel"
    """What the budget counts in."""
    scale: float = 1.0
    """What white is: 1, or 255 where iterates are rounded to whole grey levels."""
    shared: bool = False
    """Whether all frames of a clip change alike."""
    whole: tuple[Images, Images] | None = None
    """Bounds of whole grey levels, where `low` and `high` are not whole themselves. Where no whole
    level lies between them, both are the clean pixel."""

    @classmethod
    @checked
    def around(
        cls, images: Images, budget: Budget, contract: InputContract, *, eight_bit: bool = False
    ) -> "Box":
        """The box around clean images.

        A change that frames share is cut at black and white only where a frame is `show`n: cut
        earlier, the frames would not be changed alike any more.

        Args:
            images: (N, 3, H, W) in [0, 1], or clips.
            budget: radius and the space it counts in.
            contract: its std says how large a normalised unit is.
            eight_bit: count in grey levels, so that iterates can be rounded to 8 bits.

        Raises:
            HashprobeError: a budget that speaks of frames, for images; or one within which no 8-bit
                pixel can change.
        """
        check_frame_rule(budget, images)
        if eight_bit:
            check_eight_bit(budget, contract)
        unit = unit_of(budget, contract, images)
        scale = 255.0 if eight_bit else 1.0
        clean, reach = scale * images, scale * budget.eps * unit
        if eight_bit:
            clean = snapped(clean)
        low, high = clean - reach, clean + reach
        if not budget.shared:
            low, high = low.clamp_(0, scale), high.clamp_(0, scale)
        if eight_bit:
            low, high = snapped(low), snapped(high)
        whole = whole_bounds(low, high, scale)
        return cls(low, high, unit, budget.space, scale, budget.shared, whole)

    def rows(self, rows: Int64[Tensor, " m"] | slice) -> "Box":
        """The box of some of the images; of a slice, without a copy."""
        some = copy.copy(self)  # several times a step: what is checked already is taken as it is
        some.__dict__.update(low=self.low[rows], high=self.high[rows])
        if self.whole is not None:
            some.__dict__["whole"] = self.whole[0][rows], self.whole[1][rows]
        return some

    def within(self, clean: Images, open: Frames) -> "Box":
        """The box with no room in frames that may not change."""
        if open.all():
            return self
        fixed = self.scale * clean
        fixed = snapped(fixed) if self.scale > 1 else fixed
        mask = spread(open)
        low, high = (torch.where(mask, bound, fixed) for bound in (self.low, self.high))
        return self.bounded(low, high)

    def bounded(self, low: Images, high: Images) -> "Box":
        """The same with other bounds."""
        return replace(self, low=low, high=high, whole=whole_bounds(low, high, self.scale))

    @property
    def plain(self) -> bool:
        """Whether the budget counts in pixels, so that nothing needs to be converted."""
        return self.space == "pixel"

    def clip(self, images: Images) -> Images:
        """The nearest images inside the box, in place."""
        return torch.clamp(images, self.low, self.high, out=images)

    def show(self, images: Images, out: Images) -> Images:
        """Writes what a network is shown of images in the box: pixels in [0, 1].

        In grey levels these are the nearest whole ones inside the box, and the clean pixel where no
        whole level lies in it. A change that frames share is rounded once for all of them: near a
        half each frame's own pixels would go one way or the other.

        Example:
            >>> clean = torch.full((1, 3, 1, 1), 100 / 255)
            >>> box = Box.around(clean, Budget(8 / 255), InputContract(), eight_bit=True)
            >>> inside = box.clip(torch.full((1, 3, 1, 1), 107.6))
            >>> 255 * box.show(inside, torch.empty_like(clean)).flatten()
            tensor([108., 108., 108.])
        """
        if self.scale == 1:
            return torch.clamp(images, 0, 1, out=out)
        if self.shared:
            return out.copy_(self.rounded_alike(images)).div_(self.scale)
        torch.round(images, out=out)
        if self.whole is not None:
            torch.clamp(out, *self.whole, out=out)
        return out.div_(self.scale)

    def rounded_alike(self, images: Images) -> Images:
        """Clean clips and the same whole number of grey levels on all frames that may change."""
        clean = snapped((self.low + self.high) / 2)
        levels = (images - clean).round()
        levels = levels.gather(1, levels.abs().argmax(1, keepdim=True))
        reach = ((self.high - self.low) / 2 + HAIR).floor()
        return (clean + torch.maximum(torch.minimum(levels, reach), -reach)).clamp(0, self.scale)

    def cut(self, images: Images, gradient: Images) -> Bool[Tensor, "n *t 3 h w"]:
        """Values beyond black or white, where going on downhill would show nothing more."""
        # A grey level that is black or white but for rounding is not beyond.
        slack = HAIR if self.scale > 1 else 0.0
        beyond = (images < -slack) & (gradient > 0)
        return beyond | ((images > self.scale + slack) & (gradient < 0))


def unit_of(budget: Budget, contract: InputContract, like: Tensor) -> Float[Tensor, "1 3 1 1"]:
    """How many [0, 1] pixels one unit of a budget's space is, per channel."""
    unit = (1.0, 1.0, 1.0) if budget.space == "pixel" else contract.std
    return like.new_tensor(unit).view(1, 3, 1, 1)


def whole_bounds(low: Tensor, high: Tensor, scale: float) -> tuple[Tensor, Tensor] | None:
    """The whole grey levels between two bounds; None where both are whole, or in pixels."""
    inner = low.ceil(), high.floor()
    if scale == 1 or (torch.equal(inner[0], low) and torch.equal(inner[1], high)):
        return None
    none, centre = inner[0] > inner[1], (low + high) / 2
    return torch.where(none, centre, inner[0]), torch.where(none, centre, inner[1])


def snapped(levels: Tensor) -> Tensor:
    """Grey levels that are whole but for rounding in float32, made whole."""
    whole = levels.round()
    return torch.where((levels - whole).abs() < HAIR, whole, levels)


def check_same_shape(adversarial: Tensor, clean: Tensor) -> None:
    """Refuses images of another shape than their clean twins."""
    if adversarial.shape != clean.shape:
        seen = f"{tuple(adversarial.shape)}, the clean ones {tuple(clean.shape)}"
        raise HashprobeError(f"adversarial images have shape {seen}")


def check_eight_bit(budget: Budget, contract: InputContract) -> None:
    """Refuses a budget within which no 8-bit pixel can change.

    Raises:
        HashprobeError: no channel can change by a whole 1/255.
    """
    if max(reach_of(budget, contract)) < 1:
        raise HashprobeError(
            f"no 8-bit pixel can change within {budget}: take at least 1/255, or an attack that "
            "works in floats, such as dhta"
        )


@checked
def project(
    adversarial: Images,
    clean: Images,
    budget: Budget,
    contract: InputContract,
    lengths: Lengths | None = None,
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
    check_same_shape(adversarial, clean)
    moved = Box.around(clean, budget, contract).clip(adversarial.clone())
    if budget.shared:
        moved = clean + keep_rule(moved - clean, budget, lengths)
    elif clean.ndim == 5:
        kept = kept_frames(moved - clean, budget, lengths)
        moved = torch.where(spread(kept), moved, clean)
    return moved.clamp(0, 1)


@checked
def round_to_bytes(
    adversarial: Images,
    clean: Images8,
    budget: Budget,
    contract: InputContract,
    lengths: Lengths | None = None,
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
    check_same_shape(adversarial, clean)
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
