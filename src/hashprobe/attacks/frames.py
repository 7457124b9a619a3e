"""Which frames of a clip an attack changes, and whether it changes all of them alike."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images
from hashprobe.types import Budget


class FrameRule:
    """The frames that a budget leaves open in each clip, while an attack goes on.

    A budget of m frames is spent where the first gradient promises most: the loss of a clip falls
    by at most eps times the l1 norm of a frame's gradient when that frame alone moves, to first
    order, so the m frames with the largest norm are opened. A shared change is a change of their
    sum; they are chosen by the same norms.

    Args:
        budget: `frames` and `shared` of it.
        images: (N, T, 3, H, W) clean clips.
        lengths: (N,) frames of each clip; None where all have T.

    Example:
        >>> rule = FrameRule(Budget(frames=1), torch.zeros(2, 4, 3, 8, 8), torch.tensor([4, 2]))
        >>> gradient = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(2, 4, 3, 8, 8)
        >>> rule.choose(torch.tensor([0, 1]), gradient)
        >>> rule.open.int().tolist()
        [[0, 0, 0, 1], [0, 1, 0, 0]]
    """

    def __init__(self, budget: Budget, images: Images, lengths: Int64[Tensor, " n"] | None) -> None:
        self.most, self.shared = budget.frames, budget.shared
        self.open = own_frames(images, lengths)

    def choose(self, rows: Int64[Tensor, " m"], gradient: Images) -> None:
        """Opens the frames of some clips that the gradient at the clean clip promises most of.

        Args:
            rows: which clips.
            gradient: (M, T, 3, H, W), theirs.
        """
        if self.most is not None:
            size = gradient.abs().sum((2, 3, 4)).masked_fill(~self.open[rows], -1)
            self.open[rows] &= largest(size, self.most)

    def confine(self, rows: Int64[Tensor, " m"], gradient: Images) -> Images:
        """A gradient of what may change: of the open frames, and of what they have in common.

        Args:
            rows: which clips.
            gradient: (M, T, 3, H, W), theirs.

        Returns:
            (M, T, 3, H, W), 0 in closed frames; the same in all open ones where that is the rule.
        """
        mask = spread(self.open[rows])
        gradient = torch.where(mask, gradient, 0)
        return gradient.sum(1, keepdim=True) * mask if self.shared else gradient


def rule_of(
    budget: Budget, images: Images, lengths: Int64[Tensor, " n"] | None
) -> FrameRule | None:
    """The rule of a budget, or None where all frames may change freely.

    Raises:
        HashprobeError: a rule about frames for images.
    """
    if budget.frames is None and not budget.shared:
        return None
    check_frame_rule(budget, images)
    return FrameRule(budget, images, lengths)


def check_frame_rule(budget: Budget, images: Tensor) -> None:
    """Refuses a rule about frames where there are none.

    Raises:
        HashprobeError: it is one, and these are images.

    Example:
        >>> check_frame_rule(Budget(shared=True), torch.zeros(2, 3, 8, 8))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: frames and shared are for clips; got images
    """
    if (budget.frames is not None or budget.shared) and images.ndim != 5:
        raise HashprobeError("frames and shared are for clips; got images")


def own_frames(images: Tensor, lengths: Int64[Tensor, " n"] | None) -> Bool[Tensor, "n t"]:
    """Which frames are a clip's own, and not padding."""
    count = images.shape[1]
    if lengths is None:
        return torch.ones(len(images), count, dtype=torch.bool, device=images.device)
    return torch.arange(count, device=images.device) < lengths.to(images.device).unsqueeze(1)


def keep_rule(change: Tensor, budget: Budget, lengths: Int64[Tensor, " n"] | None = None) -> Tensor:
    """The part of a change of clips that a budget's rule about frames allows.

    Padding is never changed. Of more frames than `frames` those that change most stay. Where all
    must change alike, each value takes the largest of the changes that the frames have there: a
    shared change that black and white have cut short in some frames comes back whole.

    Args:
        change: (N, T, 3, H, W), floating or of whole grey levels.
        budget: `frames` and `shared` of it.
        lengths: (N,) frames of each clip; None where all have T.

    Returns:
        The same shape and dtype. With `shared` it may lead beyond black and white: clamp it there.

    Example:
        >>> change = torch.tensor([3, -5, 4]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 1, 1)
        >>> keep_rule(change, Budget(frames=2))[0, :, 0, 0, 0].tolist()
        [0, -5, 4]
        >>> keep_rule(change, Budget(shared=True))[0, :, 0, 0, 0].tolist()
        [-5, -5, -5]
    """
    size = change.abs().sum((2, 3, 4), dtype=torch.float64)
    own = own_frames(change, lengths)
    kept = own
    if budget.frames is not None:
        kept = own & (size > 0) & largest(size.masked_fill(~own, -1), budget.frames)
    change = change * spread(kept)
    if budget.shared:
        place = change.abs().argmax(1, keepdim=True)
        change = change.gather(1, place) * spread(kept)
    return change


def largest(size: Tensor, count: int) -> Bool[Tensor, "n t"]:
    """The `count` largest of each row; the first of equal ones."""
    order = size.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(size, dtype=torch.bool).scatter_(1, order, True)


def spread(frames: Bool[Tensor, "n t"]) -> Bool[Tensor, "n t 1 1 1"]:
    """A mask of frames, for their pixels."""
    return frames[:, :, None, None, None]
